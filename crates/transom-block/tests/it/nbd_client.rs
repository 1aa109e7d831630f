//! The smallest NBD client: it says what it is told to, right or wrong.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(crate) const READ: u16 = 0;
pub(crate) const WRITE: u16 = 1;
pub(crate) const DISCONNECT: u16 = 2;
pub(crate) const FLUSH: u16 = 3;
pub(crate) const TRIM: u16 = 4;
pub(crate) const WRITE_ZEROES: u16 = 6;

pub(crate) const FUA: u16 = 1;
pub(crate) const NO_HOLE: u16 = 2;
pub(crate) const FAST_ZERO: u16 = 16;

pub(crate) const EPERM: u32 = 1;
pub(crate) const EIO: u32 = 5;
pub(crate) const EINVAL: u32 = 22;
pub(crate) const ENOSPC: u32 = 28;

pub(crate) const OPT_EXPORT_NAME: u32 = 1;
pub(crate) const OPT_ABORT: u32 = 2;
pub(crate) const OPT_LIST: u32 = 3;
pub(crate) const OPT_STRUCTURED_REPLY: u32 = 8;
pub(crate) const OPT_GO: u32 = 7;

pub(crate) const REP_ACK: u32 = 1;
pub(crate) const REP_UNSUPPORTED: u32 = 0x8000_0001;
pub(crate) const REP_INVALID: u32 = 0x8000_0003;
pub(crate) const REP_UNKNOWN: u32 = 0x8000_0006;

pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    pub(crate) bytes: u64,
    pub(crate) flags: u16,
}

impl Client {
    /// Connects, and has been greeted.
    pub(crate) fn greeted(socket: &Path) -> Self {
        let mut client = Self {
            stream: UnixStream::connect(socket).unwrap(),
            bytes: 0,
            flags: 0,
        };
        let mut greeting = [0; 18];
        client.stream.read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"NBDMAGICIHAVEOPT\0\x03");
        client.stream.write_all(&3u32.to_be_bytes()).unwrap();
        client
    }

    /// Connects and uses an export.
    pub(crate) fn using(socket: &Path, export: &str) -> Self {
        let mut client = Self::greeted(socket);
        assert_eq!(client.go(export), REP_ACK);
        client
    }

    /// Asks for an export; returns the reply.
    pub(crate) fn go(&mut self, export: &str) -> u32 {
        let length = (export.len() as u32).to_be_bytes();
        let query = [&length, export.as_bytes(), &[0, 0]].concat();
        let (reply, informed) = self.option(OPT_GO, &query);
        for info in informed {
            if info.starts_with(&[0, 0]) {
                self.bytes = u64::from_be_bytes(info[2..10].try_into().unwrap());
                self.flags = u16::from_be_bytes(info[10..12].try_into().unwrap());
            }
        }
        reply
    }

    /// Sends an option; returns the last reply to it, and the data of the
    /// others.
    pub(crate) fn option(&mut self, option: u32, data: &[u8]) -> (u32, Vec<Vec<u8>>) {
        self.send_option(option, data.len() as u32, data).unwrap();
        let mut others = Vec::new();
        loop {
            let mut head = [0; 20];
            self.stream.read_exact(&mut head).unwrap();
            assert_eq!(head[..8], 0x3_e889_0455_65a9_u64.to_be_bytes());
            assert_eq!(head[8..12], option.to_be_bytes());
            let number = |at: usize| u32::from_be_bytes(head[at..at + 4].try_into().unwrap());
            let mut data = vec![0; number(16) as usize];
            self.stream.read_exact(&mut data).unwrap();
            if number(12) == REP_ACK || number(12) > REP_UNSUPPORTED - 1 {
                return (number(12), others);
            }
            others.push(data);
        }
    }

    pub(crate) fn send_option(&mut self, option: u32, length: u32, data: &[u8]) -> io::Result<()> {
        let head = [
            &b"IHAVEOPT"[..],
            &option.to_be_bytes(),
            &length.to_be_bytes(),
            data,
        ];
        self.stream.write_all(&head.concat())
    }

    /// Sends a request. Its cookie is its offset.
    pub(crate) fn send(
        &mut self,
        command: u16,
        flags: u16,
        offset: u64,
        length: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let head = [
            &0x2560_9513_u32.to_be_bytes()[..],
            &flags.to_be_bytes(),
            &command.to_be_bytes(),
            &offset.to_be_bytes(),
            &offset.to_be_bytes(),
            &length.to_be_bytes(),
            payload,
        ];
        self.stream.write_all(&head.concat())
    }

    /// The next reply: its cookie, and its error.
    pub(crate) fn reply(&mut self) -> io::Result<(u64, u32)> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        assert_eq!(head[..4], 0x6744_6698_u32.to_be_bytes());
        let error = u32::from_be_bytes(head[4..8].try_into().unwrap());
        let cookie = u64::from_be_bytes(head[8..].try_into().unwrap());
        Ok((cookie, error))
    }

    /// What becomes of a request: an error, which may be 0.
    pub(crate) fn ask(&mut self, command: u16, flags: u16, offset: u64, length: u32) -> u32 {
        let payload = match command {
            WRITE => vec![7; length as usize],
            _ => Vec::new(),
        };
        self.send(command, flags, offset, length, &payload).unwrap();
        let (cookie, error) = self.reply().unwrap();
        assert_eq!(cookie, offset);
        if command == READ && error == 0 {
            let mut bytes = vec![0; length as usize];
            self.stream.read_exact(&mut bytes).unwrap();
        }
        error
    }

    pub(crate) fn read(&mut self, offset: u64, length: u32) -> Vec<u8> {
        self.send(READ, 0, offset, length, &[]).unwrap();
        assert_eq!(self.reply().unwrap(), (offset, 0));
        let mut bytes = vec![0; length as usize];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Whether the server has ended the connection, having said nothing more.
    pub(crate) fn is_cut(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0) | Err(_))
    }
}
