//! Decoding of requests: bytes in, typed values out, nothing else.
//!
//! The kernel is trusted to follow its protocol, but a descriptor can be
//! handed over, injected or fuzzed; so nothing here assumes that a length, a
//! count or a name is what it should be. Structures are copied out, names and
//! data borrow from the request.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use transom_module::Caller;
use transom_sys::fuse_abi as abi;
use transom_sys::fuse_abi::Opcode;
use zerocopy::{FromBytes, Immutable, KnownLayout};

/// One decoded request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// Number to answer with.
    pub unique: u64,
    /// The node it is about.
    pub node: u64,
    /// Who asked.
    pub caller: Caller,
    /// What is asked.
    pub operation: Operation<'a>,
}

/// What a request asks, with its arguments.
///
/// The structures are the kernel's; a borrowed name never holds NUL and is
/// never empty, that of a directory entry never holds `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "names and fields are those of <linux/fuse.h>")]
pub enum Operation<'a> {
    Lookup {
        name: &'a OsStr,
    },
    Forget {
        lookups: u64,
    },
    BatchForget {
        forgets: Vec<abi::ForgetOne>,
    },
    Getattr(abi::GetattrIn),
    Setattr(abi::SetattrIn),
    Readlink,
    Symlink {
        name: &'a OsStr,
        target: &'a OsStr,
    },
    Mknod {
        args: abi::MknodIn,
        name: &'a OsStr,
    },
    Mkdir {
        args: abi::MkdirIn,
        name: &'a OsStr,
    },
    Unlink {
        name: &'a OsStr,
    },
    Rmdir {
        name: &'a OsStr,
    },
    Rename {
        new_directory: u64,
        flags: u32,
        name: &'a OsStr,
        new_name: &'a OsStr,
    },
    Link {
        args: abi::LinkIn,
        name: &'a OsStr,
    },
    Open(abi::OpenIn),
    Read(abi::ReadIn),
    Write {
        args: abi::WriteIn,
        data: &'a [u8],
    },
    Statfs,
    Release(abi::ReleaseIn),
    Fsync(abi::FsyncIn),
    Setxattr {
        args: abi::SetxattrIn,
        name: &'a OsStr,
        value: &'a [u8],
    },
    Getxattr {
        args: abi::GetxattrIn,
        name: &'a OsStr,
    },
    Listxattr(abi::GetxattrIn),
    Removexattr {
        name: &'a OsStr,
    },
    Flush(abi::FlushIn),
    Init {
        major: u32,
        minor: u32,
        max_readahead: u32,
        flags: u64,
    },
    Opendir(abi::OpenIn),
    Readdir(abi::ReadIn),
    Readdirplus(abi::ReadIn),
    Releasedir(abi::ReleaseIn),
    Fsyncdir(abi::FsyncIn),
    Getlk(abi::LkIn),
    Setlk(abi::LkIn),
    Setlkw(abi::LkIn),
    Access(abi::AccessIn),
    Create {
        args: abi::CreateIn,
        name: &'a OsStr,
    },
    Tmpfile(abi::CreateIn),
    Interrupt {
        unique: u64,
    },
    Bmap(abi::BmapIn),
    Destroy,
    Ioctl {
        args: abi::IoctlIn,
        data: &'a [u8],
    },
    Poll(abi::PollIn),
    NotifyReply {
        args: abi::NotifyRetrieveIn,
        data: &'a [u8],
    },
    Fallocate(abi::FallocateIn),
    Lseek(abi::LseekIn),
    CopyFileRange(abi::CopyFileRangeIn),
    CopyFileRange64(abi::CopyFileRangeIn),
    Setupmapping(abi::SetupmappingIn),
    Removemapping {
        ranges: Vec<abi::RemovemappingOne>,
    },
    Syncfs,
    Statx(abi::StatxIn),
}

/// Why some bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// Shorter than the head of a request, or than its own `len` says.
    Truncated,
    /// An opcode newer than this protocol version. The kernel expects
    /// `ENOSYS`.
    UnknownOpcode {
        /// Number to answer with.
        unique: u64,
        /// The opcode.
        opcode: u32,
    },
    /// The arguments of a known opcode do not fit the request.
    Arguments {
        /// Number to answer with.
        unique: u64,
        /// The opcode.
        opcode: Opcode,
    },
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(f, "the request is shorter than its header says"),
            Self::UnknownOpcode { opcode, .. } => write!(f, "unknown opcode {opcode}"),
            Self::Arguments { opcode, .. } => {
                write!(f, "arguments of {opcode:?} do not fit the request")
            }
        }
    }
}

impl std::error::Error for Malformed {}

impl<'a> Request<'a> {
    /// Decodes the request at the start of `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (head, _) = abi::InHeader::read_from_prefix(bytes).map_err(|_| Malformed::Truncated)?;
        let extensions = usize::from(head.total_extlen) * 8;
        let (arguments, extensions) = bytes
            .get(size_of::<abi::InHeader>()..head.len as usize)
            .and_then(|rest| rest.split_at_checked(rest.len().checked_sub(extensions)?))
            .ok_or(Malformed::Truncated)?;
        let unique = head.unique;
        let opcode = Opcode::from_raw(head.opcode).ok_or(Malformed::UnknownOpcode {
            unique,
            opcode: head.opcode,
        })?;
        let operation = Operation::decode(opcode, &mut Cursor(arguments))
            .ok_or(Malformed::Arguments { unique, opcode })?;
        let caller = Caller {
            uid: head.uid,
            gid: head.gid,
            pid: head.pid,
            directory_group: directory_group(extensions),
        };
        Ok(Self {
            unique,
            node: head.nodeid,
            caller,
            operation,
        })
    }
}

impl<'a> Operation<'a> {
    fn decode(opcode: Opcode, cursor: &mut Cursor<'a>) -> Option<Self> {
        Some(match opcode {
            Opcode::Lookup => Self::Lookup {
                name: cursor.name()?,
            },
            Opcode::Forget => Self::Forget {
                lookups: cursor.take::<abi::ForgetIn>()?.nlookup,
            },
            Opcode::BatchForget => {
                let count = cursor.take::<abi::BatchForgetIn>()?.count;
                Self::BatchForget {
                    forgets: cursor.array(count)?,
                }
            }
            Opcode::Getattr => Self::Getattr(cursor.take()?),
            Opcode::Setattr => Self::Setattr(cursor.take()?),
            Opcode::Readlink => Self::Readlink,
            Opcode::Symlink => Self::Symlink {
                name: cursor.name()?,
                target: cursor.string()?,
            },
            Opcode::Mknod => Self::Mknod {
                args: cursor.take()?,
                name: cursor.name()?,
            },
            Opcode::Mkdir => Self::Mkdir {
                args: cursor.take()?,
                name: cursor.name()?,
            },
            Opcode::Unlink => Self::Unlink {
                name: cursor.name()?,
            },
            Opcode::Rmdir => Self::Rmdir {
                name: cursor.name()?,
            },
            Opcode::Rename => {
                let args: abi::RenameIn = cursor.take()?;
                Self::Rename {
                    new_directory: args.newdir,
                    flags: 0,
                    name: cursor.name()?,
                    new_name: cursor.name()?,
                }
            }
            Opcode::Rename2 => {
                let abi::Rename2In { newdir, flags, .. } = cursor.take()?;
                Self::Rename {
                    new_directory: newdir,
                    flags,
                    name: cursor.name()?,
                    new_name: cursor.name()?,
                }
            }
            Opcode::Link => Self::Link {
                args: cursor.take()?,
                name: cursor.name()?,
            },
            Opcode::Open => Self::Open(cursor.take()?),
            Opcode::Read => Self::Read(cursor.take()?),
            Opcode::Write => {
                let args: abi::WriteIn = cursor.take()?;
                Self::Write {
                    args,
                    data: cursor.bytes(args.size)?,
                }
            }
            Opcode::Statfs => Self::Statfs,
            Opcode::Release => Self::Release(cursor.take()?),
            Opcode::Fsync => Self::Fsync(cursor.take()?),
            Opcode::Setxattr => {
                let args: abi::SetxattrIn = cursor.take()?;
                Self::Setxattr {
                    args,
                    name: cursor.label()?,
                    value: cursor.bytes(args.size)?,
                }
            }
            Opcode::Getxattr => Self::Getxattr {
                args: cursor.take()?,
                name: cursor.label()?,
            },
            Opcode::Listxattr => Self::Listxattr(cursor.take()?),
            Opcode::Removexattr => Self::Removexattr {
                name: cursor.label()?,
            },
            Opcode::Flush => Self::Flush(cursor.take()?),
            Opcode::Init => {
                let init: abi::InitIn = cursor.take()?;
                let flags = u64::from(init.flags) | u64::from(init.flags2) << 32;
                Self::Init {
                    major: init.major,
                    minor: init.minor,
                    max_readahead: init.max_readahead,
                    flags,
                }
            }
            Opcode::Opendir => Self::Opendir(cursor.take()?),
            Opcode::Readdir => Self::Readdir(cursor.take()?),
            Opcode::Readdirplus => Self::Readdirplus(cursor.take()?),
            Opcode::Releasedir => Self::Releasedir(cursor.take()?),
            Opcode::Fsyncdir => Self::Fsyncdir(cursor.take()?),
            Opcode::Getlk => Self::Getlk(cursor.take()?),
            Opcode::Setlk => Self::Setlk(cursor.take()?),
            Opcode::Setlkw => Self::Setlkw(cursor.take()?),
            Opcode::Access => Self::Access(cursor.take()?),
            Opcode::Create => Self::Create {
                args: cursor.take()?,
                name: cursor.name()?,
            },
            // Carries a name that stands for nothing.
            Opcode::Tmpfile => Self::Tmpfile(cursor.take()?),
            Opcode::Interrupt => Self::Interrupt {
                unique: cursor.take::<abi::InterruptIn>()?.unique,
            },
            Opcode::Bmap => Self::Bmap(cursor.take()?),
            Opcode::Destroy => Self::Destroy,
            Opcode::Ioctl => {
                let args: abi::IoctlIn = cursor.take()?;
                Self::Ioctl {
                    args,
                    data: cursor.bytes(args.in_size)?,
                }
            }
            Opcode::Poll => Self::Poll(cursor.take()?),
            Opcode::NotifyReply => {
                let args: abi::NotifyRetrieveIn = cursor.take()?;
                Self::NotifyReply {
                    args,
                    data: cursor.bytes(args.size)?,
                }
            }
            Opcode::Fallocate => Self::Fallocate(cursor.take()?),
            Opcode::Lseek => Self::Lseek(cursor.take()?),
            Opcode::CopyFileRange => Self::CopyFileRange(cursor.take()?),
            Opcode::CopyFileRange64 => Self::CopyFileRange64(cursor.take()?),
            Opcode::Setupmapping => Self::Setupmapping(cursor.take()?),
            Opcode::Removemapping => {
                let count = cursor.take::<abi::RemovemappingIn>()?.count;
                Self::Removemapping {
                    ranges: cursor.array(count)?,
                }
            }
            Opcode::Syncfs => Self::Syncfs,
            Opcode::Statx => Self::Statx(cursor.take()?),
        })
    }

    /// Which opcode it came as.
    #[must_use]
    pub fn opcode(&self) -> Opcode {
        match self {
            Self::Lookup { .. } => Opcode::Lookup,
            Self::Forget { .. } => Opcode::Forget,
            Self::BatchForget { .. } => Opcode::BatchForget,
            Self::Getattr(_) => Opcode::Getattr,
            Self::Setattr(_) => Opcode::Setattr,
            Self::Readlink => Opcode::Readlink,
            Self::Symlink { .. } => Opcode::Symlink,
            Self::Mknod { .. } => Opcode::Mknod,
            Self::Mkdir { .. } => Opcode::Mkdir,
            Self::Unlink { .. } => Opcode::Unlink,
            Self::Rmdir { .. } => Opcode::Rmdir,
            Self::Rename { .. } => Opcode::Rename2,
            Self::Link { .. } => Opcode::Link,
            Self::Open(_) => Opcode::Open,
            Self::Read(_) => Opcode::Read,
            Self::Write { .. } => Opcode::Write,
            Self::Statfs => Opcode::Statfs,
            Self::Release(_) => Opcode::Release,
            Self::Fsync(_) => Opcode::Fsync,
            Self::Setxattr { .. } => Opcode::Setxattr,
            Self::Getxattr { .. } => Opcode::Getxattr,
            Self::Listxattr(_) => Opcode::Listxattr,
            Self::Removexattr { .. } => Opcode::Removexattr,
            Self::Flush(_) => Opcode::Flush,
            Self::Init { .. } => Opcode::Init,
            Self::Opendir(_) => Opcode::Opendir,
            Self::Readdir(_) => Opcode::Readdir,
            Self::Readdirplus(_) => Opcode::Readdirplus,
            Self::Releasedir(_) => Opcode::Releasedir,
            Self::Fsyncdir(_) => Opcode::Fsyncdir,
            Self::Getlk(_) => Opcode::Getlk,
            Self::Setlk(_) => Opcode::Setlk,
            Self::Setlkw(_) => Opcode::Setlkw,
            Self::Access(_) => Opcode::Access,
            Self::Create { .. } => Opcode::Create,
            Self::Tmpfile(_) => Opcode::Tmpfile,
            Self::Interrupt { .. } => Opcode::Interrupt,
            Self::Bmap(_) => Opcode::Bmap,
            Self::Destroy => Opcode::Destroy,
            Self::Ioctl { .. } => Opcode::Ioctl,
            Self::Poll(_) => Opcode::Poll,
            Self::NotifyReply { .. } => Opcode::NotifyReply,
            Self::Fallocate(_) => Opcode::Fallocate,
            Self::Lseek(_) => Opcode::Lseek,
            Self::CopyFileRange(_) => Opcode::CopyFileRange,
            Self::CopyFileRange64(_) => Opcode::CopyFileRange64,
            Self::Setupmapping(_) => Opcode::Setupmapping,
            Self::Removemapping { .. } => Opcode::Removemapping,
            Self::Syncfs => Opcode::Syncfs,
            Self::Statx(_) => Opcode::Statx,
        }
    }
}

/// The group that the extension of kind `EXT_GROUPS` names: with what makes an
/// item, the kernel sends the group of the directory if the caller has it as a
/// supplementary one. What cannot be understood is as good as absent.
fn directory_group(extensions: &[u8]) -> Option<u32> {
    let mut rest = extensions;
    while let Ok((head, _)) = abi::ExtHeader::read_from_prefix(rest) {
        let (extension, others) = rest.split_at_checked(head.size as usize)?;
        let mut cursor = Cursor(extension.get(size_of::<abi::ExtHeader>()..)?);
        if head.kind == abi::EXT_GROUPS {
            let count: u32 = cursor.take()?;
            return (count > 0).then(|| cursor.take()).flatten();
        }
        rest = others;
    }
    None
}

/// What is left of a request's arguments.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<T: FromBytes + KnownLayout + Immutable>(&mut self) -> Option<T> {
        let (value, rest) = T::read_from_prefix(self.0).ok()?;
        self.0 = rest;
        Some(value)
    }

    fn bytes(&mut self, length: u32) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(bytes)
    }

    /// `count` structures. The count is checked against the bytes that are
    /// there before anything is allocated for it.
    fn array<T: FromBytes + KnownLayout + Immutable>(&mut self, count: u32) -> Option<Vec<T>> {
        if self.0.len() / size_of::<T>() < count as usize {
            return None;
        }
        (0..count).map(|_| self.take()).collect()
    }

    /// Bytes up to a NUL, which is skipped.
    fn string(&mut self) -> Option<&'a OsStr> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let (string, rest) = self.0.split_at(end);
        self.0 = &rest[1..];
        Some(OsStr::from_bytes(string))
    }

    /// The name of an extended attribute, which may contain `/`.
    fn label(&mut self) -> Option<&'a OsStr> {
        self.string().filter(|label| !label.is_empty())
    }

    /// The name of a directory entry.
    fn name(&mut self) -> Option<&'a OsStr> {
        self.string()
            .filter(|name| !name.is_empty() && !name.as_bytes().contains(&b'/'))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    fn request(opcode: u32, arguments: &[u8]) -> Vec<u8> {
        let head = abi::InHeader {
            len: u32::try_from(size_of::<abi::InHeader>() + arguments.len()).unwrap(),
            opcode,
            unique: 42,
            nodeid: 7,
            uid: 1,
            gid: 2,
            pid: 3,
            total_extlen: 0,
            padding: 0,
        };
        [head.as_bytes(), arguments].concat()
    }

    #[test]
    fn a_lookup() {
        let bytes = request(1, b"main.c\0");
        let decoded = Request::decode(&bytes).unwrap();
        assert_eq!(
            (decoded.unique, decoded.node, decoded.caller.pid),
            (42, 7, 3)
        );
        assert_eq!(
            decoded.operation,
            Operation::Lookup {
                name: OsStr::new("main.c")
            }
        );
    }

    #[test]
    fn two_names() {
        let bytes = request(
            45,
            &[&9u64.to_ne_bytes()[..], &1u64.to_ne_bytes(), b"old\0new\0"].concat(),
        );
        let Operation::Rename {
            new_directory,
            flags,
            name,
            new_name,
        } = Request::decode(&bytes).unwrap().operation
        else {
            panic!("not a rename");
        };
        assert_eq!((new_directory, flags), (9, 1));
        assert_eq!((name, new_name), (OsStr::new("old"), OsStr::new("new")));
    }

    #[test]
    fn extensions_are_not_arguments() {
        let mut bytes = request(1, b"ab\0\0\0\0\0\0extended");
        bytes[36] = 1;
        assert_eq!(
            Request::decode(&bytes).unwrap().operation,
            Operation::Lookup {
                name: OsStr::new("ab")
            }
        );
        bytes[36] = 200;
        assert_eq!(Request::decode(&bytes), Err(Malformed::Truncated));
    }

    #[test]
    fn the_callers_group_comes_as_an_extension() {
        let extension = [16u32, abi::EXT_GROUPS, 1, 77]
            .map(u32::to_ne_bytes)
            .concat();
        let other = [8u32, 1].map(u32::to_ne_bytes).concat();
        let group = |extensions: &[u8]| {
            let mut bytes = request(9, &[&[0; 8][..], b"new\0\0\0\0\0", extensions].concat());
            bytes[36] = u8::try_from(extensions.len() / 8).unwrap();
            Request::decode(&bytes).unwrap().caller.directory_group
        };
        assert_eq!(group(&[]), None);
        assert_eq!(group(&extension), Some(77));
        assert_eq!(group(&[other, extension.clone()].concat()), Some(77));
        assert_eq!(group(&extension[..8]), None);
        assert_eq!(group(&[0; 16]), None);
    }

    #[test]
    fn names_are_checked() {
        for name in [&b"\0"[..], b"a/b\0", b"no end"] {
            let bytes = request(1, name);
            assert_eq!(
                Request::decode(&bytes),
                Err(Malformed::Arguments {
                    unique: 42,
                    opcode: Opcode::Lookup
                }),
                "{name:?}"
            );
        }
    }

    #[test]
    fn attributes_may_have_slashes() {
        let bytes = request(24, b"user.a/b\0");
        assert_eq!(
            Request::decode(&bytes).unwrap().operation,
            Operation::Removexattr {
                name: OsStr::new("user.a/b")
            }
        );
        assert!(Request::decode(&request(24, b"\0")).is_err());
    }

    #[test]
    fn counts_are_checked_before_they_are_believed() {
        let arguments = [u32::MAX.to_ne_bytes(), [0; 4]].concat();
        for opcode in [Opcode::BatchForget, Opcode::Write, Opcode::Removemapping] {
            let bytes = request(opcode as u32, &arguments);
            assert_eq!(
                Request::decode(&bytes),
                Err(Malformed::Arguments { unique: 42, opcode })
            );
        }
    }

    #[test]
    fn unknown_opcodes_are_told_apart() {
        for opcode in [0, 7, 19, 54, 4096, u32::MAX] {
            let bytes = request(opcode, &[]);
            assert_eq!(
                Request::decode(&bytes),
                Err(Malformed::UnknownOpcode { unique: 42, opcode })
            );
        }
    }

    #[test]
    fn every_opcode_decodes_from_enough_bytes() {
        for opcode in Opcode::ALL {
            // Counts of 0x2e2e would be too large, so the numbers are zero and
            // two names follow the largest structure.
            for head in (0..=88).step_by(4) {
                let bytes = request(opcode as u32, &[&vec![0; head][..], b"a\0b\0"].concat());
                if let Ok(decoded) = Request::decode(&bytes) {
                    let same = decoded.operation.opcode() == opcode || opcode == Opcode::Rename;
                    assert!(
                        same,
                        "{opcode:?} decoded as {:?}",
                        decoded.operation.opcode()
                    );
                    break;
                }
                assert!(head < 88, "{opcode:?} never decodes");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(&bytes);
        }

        #[test]
        fn any_arguments_are_survived(opcode in 0u32..60, arguments in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Request::decode(&request(opcode, &arguments));
        }
    }
}
