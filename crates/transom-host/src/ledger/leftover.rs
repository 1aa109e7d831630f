//! What may be left, and how that is written down.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use transom_block::LoopIdentity;
use transom_module::{Errno, Error, Result};

use crate::Attachment;
use crate::records::format;

/// How long a path is, in bytes: `PATH_MAX` of `<linux/limits.h>`.
const PATH_BYTES_MAX: usize = 4096;

/// Something that stays on the host when the process is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leftover {
    /// A mount.
    Mount(Attachment),
    /// A loop device.
    Loop(LoopIdentity),
    /// A directory with all that is in it.
    Scratch(PathBuf),
    /// A socket that somebody listened on.
    Socket(PathBuf),
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
    Mount { id: u64 },
    Loop { name: String },
    Scratch,
    Socket,
}

impl Leftover {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Mount(attachment) => attachment.path(),
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
            Self::Mount(attachment) => What::Mount {
                id: attachment.id(),
            },
            Self::Loop(device) => What::Loop {
                name: device.name.clone(),
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
            What::Mount { id } => Self::Mount(Attachment::new(path, id)),
            What::Loop { name } if name.is_empty() => {
                return Err("it says nothing of the file behind a device".into());
            }
            What::Loop { name } => Self::Loop(LoopIdentity { path, name }),
            What::Scratch => Self::Scratch(path),
            What::Socket => Self::Socket(path),
        };
        Ok((boot, leftover))
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Self::Mount(_) => "the mount at",
            Self::Loop(_) => "the loop device",
            Self::Scratch(_) => "the scratch directory",
            Self::Socket(_) => "the socket",
        };
        write!(f, "{what} `{}`", self.path().display())
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
