//! The words of the protocol, as bytes. All numbers are big-endian.
//!
//! Source of facts: `doc/proto.md` of the NBD project,
//! <https://github.com/NetworkBlockDevice/nbd>.

use transom_module::{Errno, Geometry};

use crate::jobs::REQUEST_BYTES_MAX;

/// The longest name that the protocol allows, in bytes.
pub const NAME_BYTES_MAX: usize = 4096;
/// The most that is read or written at once, in bytes: what every client may
/// rely on.
pub const PAYLOAD_BYTES_MAX: u32 = REQUEST_BYTES_MAX as u32;

/// What the server says first, before its [`GREETING_FLAGS`].
pub(super) const GREETING: &[u8; 16] = b"NBDMAGICIHAVEOPT";
/// Fixed newstyle, and no zeroes at the end of it if the client wants that.
pub(super) const GREETING_FLAGS: u16 = 1 | CLIENT_NO_ZEROES as u16;
const CLIENT_FIXED: u32 = 1;
const CLIENT_NO_ZEROES: u32 = 2;

const OPTION_MAGIC: u64 = u64::from_be_bytes(*b"IHAVEOPT");
const OPTION_REPLY_MAGIC: u64 = 0x0003_e889_0455_65a9;
const REQUEST_MAGIC: u32 = 0x2560_9513;
const REPLY_MAGIC: u32 = 0x6744_6698;

/// `NBD_REP_*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum OptionReply {
    Ack = 1,
    Server = 2,
    Info = 3,
    Unsupported = 0x8000_0001,
    Invalid = 0x8000_0003,
    Unknown = 0x8000_0006,
}

/// `NBD_INFO_*`
pub(super) mod info {
    pub(crate) const EXPORT: u16 = 0;
    pub(crate) const NAME: u16 = 1;
    pub(crate) const BLOCK_SIZE: u16 = 3;
}

mod transmission {
    pub(super) const HAS_FLAGS: u16 = 1;
    pub(super) const READ_ONLY: u16 = 1 << 1;
    pub(super) const FLUSH: u16 = 1 << 2;
    pub(super) const FUA: u16 = 1 << 3;
    pub(super) const TRIM: u16 = 1 << 5;
    pub(super) const WRITE_ZEROES: u16 = 1 << 6;
    pub(super) const MULTI_CONN: u16 = 1 << 8;
}

/// What was said breaks the rules of the protocol, so that what follows cannot
/// be understood: the connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What the client says of itself. True if the zeroes at the end of the oldest
/// way to choose an export are to be left out.
pub(super) fn no_zeroes(client_flags: [u8; 4]) -> Result<bool, Malformed> {
    let flags = u32::from_be_bytes(client_flags);
    match flags & !(CLIENT_FIXED | CLIENT_NO_ZEROES) {
        0 => Ok(flags & CLIENT_NO_ZEROES != 0),
        _ => Err(Malformed),
    }
}

/// `NBD_OPT_*`: what a client asks for before it uses an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionKind {
    ExportName,
    Abort,
    List,
    Info,
    Go,
    /// One that this server does not know, or does not want.
    Other,
}

/// The head of an option: what it is, its number, and how many bytes follow.
pub(super) fn option_head(head: &[u8; 16]) -> Result<(OptionKind, u32, u32), Malformed> {
    let mut fields = Fields(head);
    if fields.u64()? != OPTION_MAGIC {
        return Err(Malformed);
    }
    let (number, length) = (fields.u32()?, fields.u32()?);
    let kind = match number {
        1 => OptionKind::ExportName,
        2 => OptionKind::Abort,
        3 => OptionKind::List,
        6 => OptionKind::Info,
        7 => OptionKind::Go,
        _ => OptionKind::Other,
    };
    Ok((kind, number, length))
}

/// What follows the head of `NBD_OPT_INFO` and `NBD_OPT_GO`: the name of an
/// export, and what is asked about it.
pub(super) fn query(data: &[u8]) -> Result<(&str, Vec<u16>), Malformed> {
    let mut fields = Fields(data);
    let name = fields.u32()?;
    let name = export_name(fields.bytes(name as usize)?)?;
    let wanted = (0..fields.u16()?).map(|_| fields.u16());
    let wanted = wanted.collect::<Result<_, _>>()?;
    match fields.0 {
        [] => Ok((name, wanted)),
        _ => Err(Malformed),
    }
}

/// The name of an export.
pub(super) fn export_name(bytes: &[u8]) -> Result<&str, Malformed> {
    match bytes.len() {
        0..=NAME_BYTES_MAX => std::str::from_utf8(bytes).map_err(|_| Malformed),
        _ => Err(Malformed),
    }
}

/// A reply to the option of that number.
pub(super) fn option_reply(option: u32, reply: OptionReply, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(20 + data.len());
    bytes.extend(OPTION_REPLY_MAGIC.to_be_bytes());
    bytes.extend(option.to_be_bytes());
    bytes.extend((reply as u32).to_be_bytes());
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

/// Size and abilities of an export, as the client is told.
pub(super) fn export_info(geometry: &Geometry) -> [u8; 10] {
    use transmission as can;
    let mut flags = can::HAS_FLAGS | can::FLUSH | can::FUA | can::MULTI_CONN;
    flags |= match geometry.read_only {
        true => can::READ_ONLY,
        false => can::WRITE_ZEROES,
    };
    if geometry.discards && !geometry.read_only {
        flags |= can::TRIM;
    }
    let mut bytes = [0; 10];
    bytes[..8].copy_from_slice(&geometry.bytes.to_be_bytes());
    bytes[8..].copy_from_slice(&flags.to_be_bytes());
    bytes
}

/// The sizes of requests that an export takes.
pub(super) fn block_size_info(geometry: &Geometry) -> Vec<u8> {
    let smallest = geometry.block_bytes;
    let preferred = geometry.preferred_bytes.clamp(smallest, PAYLOAD_BYTES_MAX);
    let sizes = [smallest, preferred, PAYLOAD_BYTES_MAX];
    sizes.into_iter().flat_map(u32::to_be_bytes).collect()
}

/// `NBD_CMD_*`: what a client does with an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Read bytes.
    Read,
    /// Write the bytes that follow the request.
    Write,
    /// End the connection. This alone is not replied to.
    Disconnect,
    /// Make all writes durable that were replied to.
    Flush,
    /// The content is not needed any more.
    Trim,
    /// Make the content zeroes.
    WriteZeroes,
    /// One that this server does not know.
    Other,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// `NBD_CMD_FLAG_*`
    pub flags: u16,
    /// The client's own: comes back with the reply.
    pub cookie: u64,
    /// Where, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub length: u32,
}

impl Request {
    /// The size of a request, without the bytes that are to be written.
    pub const BYTES: usize = 28;
    /// The flag of a request that is to be replied to when its effect is
    /// durable.
    pub const FUA: u16 = 1;
    /// The flag of zeroes that are to take up space.
    pub const NO_HOLE: u16 = 1 << 1;

    /// Reads a request.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Result<Self, Malformed> {
        let mut fields = Fields(bytes);
        if fields.u32()? != REQUEST_MAGIC {
            return Err(Malformed);
        }
        Ok(Self {
            flags: fields.u16()?,
            command: match fields.u16()? {
                0 => Command::Read,
                1 => Command::Write,
                2 => Command::Disconnect,
                3 => Command::Flush,
                4 => Command::Trim,
                6 => Command::WriteZeroes,
                _ => Command::Other,
            },
            cookie: fields.u64()?,
            offset: fields.u64()?,
            length: fields.u32()?,
        })
    }

    /// How many bytes follow the request.
    #[must_use]
    pub fn payload_bytes(&self) -> u32 {
        match self.command {
            Command::Write => self.length,
            _ => 0,
        }
    }

    /// How many bytes it takes up in memory until it is replied to.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self.command {
            Command::Read | Command::Write => self.length.min(PAYLOAD_BYTES_MAX) as usize,
            _ => 0,
        }
    }
}

/// The head of a reply. What was read follows it, if there is no error.
pub(super) fn reply_head(cookie: u64, error: Result<(), ErrorNumber>) -> [u8; 16] {
    let number = error.err().map_or(0, |error| error as u32);
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&REPLY_MAGIC.to_be_bytes());
    bytes[4..8].copy_from_slice(&number.to_be_bytes());
    bytes[8..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// The errors that a client may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorNumber {
    /// Not permitted, also because an export is read-only.
    Permission = 1,
    /// The volume failed.
    InputOutput = 5,
    /// Out of memory.
    Memory = 12,
    /// A request that makes no sense, or is not aligned, or is too large.
    Invalid = 22,
    /// No space, also because an export ends before that.
    Space = 28,
}

impl From<Errno> for ErrorNumber {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::EACCES | Errno::EPERM | Errno::EROFS => Self::Permission,
            Errno::ENOMEM => Self::Memory,
            Errno::EINVAL => Self::Invalid,
            Errno::ENOSPC | Errno::EFBIG => Self::Space,
            _ => Self::InputOutput,
        }
    }
}

/// What is left to read of some bytes.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_a_name_and_numbers_and_nothing_else() {
        let good = b"\0\0\0\x04disk\0\x02\0\x01\0\x03";
        assert_eq!(query(good), Ok(("disk", vec![1, 3])));
        assert_eq!(query(b"\0\0\0\0\0\0"), Ok(("", vec![])));
        for end in 0..good.len() {
            assert_eq!(query(&good[..end]), Err(Malformed), "{end} bytes");
        }
        assert_eq!(query(b"\0\0\0\0\0\0x"), Err(Malformed));
        assert_eq!(query(b"\xff\xff\xff\xffdisk\0\0"), Err(Malformed));
        assert_eq!(query(b"\0\0\0\x01\xff\0\0"), Err(Malformed), "no UTF-8");
        assert_eq!(export_name(&[b'a'; NAME_BYTES_MAX + 1]), Err(Malformed));
    }

    #[test]
    fn requests_are_read_as_the_protocol_has_them() {
        let mut bytes = *b"\x25\x60\x95\x13\0\x01\0\x01cookie!!\0\0\0\0\0\0\x10\0\0\0\x02\0";
        let request = Request::decode(&bytes).unwrap();
        let expected = Request {
            command: Command::Write,
            flags: Request::FUA,
            cookie: u64::from_be_bytes(*b"cookie!!"),
            offset: 4096,
            length: 512,
        };
        assert_eq!(request, expected);
        assert_eq!(request.payload_bytes(), 512);
        bytes[0] = 0;
        assert_eq!(Request::decode(&bytes), Err(Malformed));
    }

    #[test]
    fn clients_are_told_what_an_export_can_do() {
        let mut geometry = Geometry {
            bytes: 1 << 20,
            block_bytes: 512,
            preferred_bytes: 4096,
            read_only: false,
            discards: true,
        };
        let flags = |geometry: &Geometry| {
            let info = export_info(geometry);
            assert_eq!(info[..8], (1u64 << 20).to_be_bytes());
            u16::from_be_bytes([info[8], info[9]])
        };
        assert_eq!(flags(&geometry), 0b1_0110_1101);
        geometry.discards = false;
        assert_eq!(flags(&geometry), 0b1_0100_1101);
        geometry.read_only = true;
        assert_eq!(flags(&geometry), 0b1_0000_1111);
        assert_eq!(
            block_size_info(&geometry),
            b"\0\0\x02\0\0\0\x10\0\x02\0\0\0"
        );
    }

    #[test]
    fn clients_that_say_what_nobody_knows_are_refused() {
        assert_eq!(no_zeroes([0, 0, 0, 0]), Ok(false));
        assert_eq!(no_zeroes([0, 0, 0, 3]), Ok(true));
        assert_eq!(no_zeroes([0, 0, 0, 4]), Err(Malformed));
        assert_eq!(no_zeroes([0x80, 0, 0, 3]), Err(Malformed));
    }
}
