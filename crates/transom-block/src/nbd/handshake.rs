//! How a client comes to use an export.

use std::io::{self, Read, Write};

use transom_module::Geometry;

use super::wire::{self, Malformed, OptionKind, OptionReply, info};

/// The most that may follow the head of an option, in bytes: a name with a
/// question for every kind of information that there could be.
const OPTION_BYTES_MAX: u32 = 64 << 10;
/// The most options that a client may take to make up its mind.
const OPTIONS_MAX: usize = 1024;

/// The exports that there are to choose from.
pub trait Exports {
    /// What comes of an export that was chosen.
    type Export;

    /// Their names.
    fn names(&self) -> Vec<String>;

    /// The one of that name, with its own name if that is another: the empty
    /// name stands for the one that is used without being named.
    fn find(&self, name: &str) -> Option<(String, Self::Export)>;

    /// What it is like at this moment.
    fn geometry(&self, export: &Self::Export) -> Geometry;
}

/// Answers a client until it has chosen an export, which it uses from then on;
/// `None` if it does not want any. An error of the kind `InvalidData` if it
/// breaks the rules.
pub fn negotiate<E: Exports>(
    stream: &mut (impl Read + Write),
    exports: &E,
) -> io::Result<Option<E::Export>> {
    let mut greeting = wire::GREETING.to_vec();
    greeting.extend(wire::GREETING_FLAGS.to_be_bytes());
    stream.write_all(&greeting)?;
    let no_zeroes = wire::no_zeroes(read(stream)?)?;

    for _ in 0..OPTIONS_MAX {
        let (kind, number, length) = wire::option_head(&read(stream)?)?;
        if length > OPTION_BYTES_MAX {
            return Err(Malformed.into());
        }
        let mut data = vec![0; length as usize];
        stream.read_exact(&mut data)?;
        let mut reply = |reply, data: &[u8]| {
            let bytes = wire::option_reply(number, reply, data);
            stream.write_all(&bytes)
        };
        match kind {
            OptionKind::ExportName => return choose(stream, exports, &data, no_zeroes).map(Some),
            OptionKind::Abort => {
                // It need not wait for that.
                _ = reply(OptionReply::Ack, &[]);
                return Ok(None);
            }
            OptionKind::List if !data.is_empty() => {
                reply(OptionReply::Invalid, b"a list is of everything")?;
            }
            OptionKind::List => {
                for name in exports.names() {
                    let length = (name.len() as u32).to_be_bytes();
                    reply(OptionReply::Server, &[&length, name.as_bytes()].concat())?;
                }
                reply(OptionReply::Ack, &[])?;
            }
            OptionKind::Info | OptionKind::Go => {
                let Ok((name, wanted)) = wire::query(&data) else {
                    reply(OptionReply::Invalid, b"the question is malformed")?;
                    continue;
                };
                let Some((name, export)) = exports.find(name) else {
                    reply(OptionReply::Unknown, b"there is no export of that name")?;
                    continue;
                };
                let geometry = exports.geometry(&export);
                let mut tell = |what: u16, data: &[u8]| {
                    reply(OptionReply::Info, &[&what.to_be_bytes(), data].concat())
                };
                tell(info::EXPORT, &wire::export_info(&geometry))?;
                tell(info::BLOCK_SIZE, &wire::block_size_info(&geometry))?;
                if wanted.contains(&info::NAME) {
                    tell(info::NAME, name.as_bytes())?;
                }
                reply(OptionReply::Ack, &[])?;
                if kind == OptionKind::Go {
                    return Ok(Some(export));
                }
            }
            OptionKind::Other => reply(OptionReply::Unsupported, &[])?,
        }
    }
    Err(Malformed.into())
}

/// The oldest way to choose an export, in which nothing can be refused.
fn choose<E: Exports>(
    stream: &mut impl Write,
    exports: &E,
    name: &[u8],
    no_zeroes: bool,
) -> io::Result<E::Export> {
    let name = wire::export_name(name)?;
    let (_, export) = exports.find(name).ok_or(io::ErrorKind::NotFound)?;
    let mut bytes = wire::export_info(&exports.geometry(&export)).to_vec();
    if !no_zeroes {
        bytes.extend([0; 124]);
    }
    stream.write_all(&bytes)?;
    Ok(export)
}

fn read<const N: usize>(stream: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

impl From<Malformed> for io::Error {
    fn from(_: Malformed) -> Self {
        let message = "the client does not keep to the protocol";
        Self::new(io::ErrorKind::InvalidData, message)
    }
}
