//! What may be left, and how that is written down.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use transom_module::{Errno, Error, Result};

use crate::Attached;
use crate::records::format;

/// How long a path is, in bytes: `PATH_MAX` of `<linux/limits.h>`.
const PATH_BYTES_MAX: usize = 4096;

/// Something that stays on the host when the process is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A mount.
    Mount(Attached),
    /// A loop device.
    Loop(LoopDevice),
    /// A directory with all that is in it.
    Scratch(PathBuf),
    /// A socket that somebody listened on.
    Socket(PathBuf),
}

/// A loop device, and what tells whether it still is the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// Its device file.
    pub path: PathBuf,
    /// The device number of the file behind it, `st_dev`.
    pub backing_device: u64,
    /// The number of the file behind it, `st_ino`.
    pub backing_inode: u64,
}

/// What is written besides the path.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    boot: String,
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum What {
    Mount {
        id: u64,
    },
    Loop {
        backing_device: u64,
        backing_inode: u64,
    },
    Scratch,
    Socket,
}

impl Leftover {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Mount(attached) => &attached.path,
            Self::Loop(device) => &device.path,
            Self::Scratch(path) | Self::Socket(path) => path,
        }
    }

    /// Whether it may still be there when the machine was booted again.
    #[must_use]
    pub fn outlives_boot(&self) -> bool {
        matches!(self, Self::Scratch(_) | Self::Socket(_))
    }

    /// The content of an entry that is made during that boot of the machine.
    /// `EINVAL` if the path is not absolute or too long.
    pub fn encode(&self, boot: &str) -> Result<Vec<u8>> {
        let what = match self {
            Self::Mount(attached) => What::Mount { id: attached.id },
            Self::Loop(device) => What::Loop {
                backing_device: device.backing_device,
                backing_inode: device.backing_inode,
            },
            Self::Scratch(_) => What::Scratch,
            Self::Socket(_) => What::Socket,
        };
        let head = Head {
            boot: boot.into(),
            what,
        };
        let path = self.path();
        let encoded =
            require_usable(path).and_then(|()| format::encode(&head, path.as_os_str().as_bytes()));
        encoded.map_err(|wrong| {
            let message = format!("cannot note `{}` for cleaning up: {wrong}", path.display());
            Error::new(Errno::EINVAL, message)
        })
    }

    /// The boot of an entry and what it says, or in a few words what is wrong
    /// with it.
    pub fn decode(bytes: &[u8]) -> std::result::Result<(String, Self), String> {
        let (Head { boot, what }, path) = format::decode::<Head>(bytes)?;
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        require_usable(&path)?;
        let leftover = match what {
            What::Mount { id } => Self::Mount(Attached { path, id }),
            What::Loop {
                backing_device,
                backing_inode,
            } => Self::Loop(LoopDevice {
                path,
                backing_device,
                backing_inode,
            }),
            What::Scratch => Self::Scratch(path),
            What::Socket => Self::Socket(path),
        };
        Ok((boot, leftover))
    }
}

fn require_usable(path: &Path) -> std::result::Result<(), String> {
    let bytes = path.as_os_str().as_bytes();
    if !path.is_absolute() || path.file_name().is_none() {
        Err("its path is not that of something in a directory".into())
    } else if bytes.len() >= PATH_BYTES_MAX || bytes.contains(&0) {
        Err("its path is too long, or contains a zero byte".into())
    } else {
        Ok(())
    }
}
