use std::fmt;

use rustix::fs::{Statx, StatxTimestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use transom_module::{ItemKind, Timestamp};

/// What identifies one version of one host file, as `statx(2)` said it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Device number (`st_dev`).
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content.
    #[serde(with = "seconds")]
    pub modified: Timestamp,
    /// Last change of content or attributes.
    #[serde(with = "seconds")]
    pub changed: Timestamp,
    /// Number of names.
    pub links: u32,
    /// File type and permission bits (`st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Stamp {
    /// What kind of file it is; `None` for what Linux does not know today.
    #[must_use]
    pub fn kind(&self) -> Option<ItemKind> {
        ItemKind::from_mode(self.mode)
    }

    /// Whether both are stamps of the same inode, of whatever version.
    #[must_use]
    pub fn is_same_inode(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

impl From<Statx> for Stamp {
    fn from(statx: Statx) -> Self {
        let time = |time: StatxTimestamp| Timestamp {
            seconds: time.tv_sec,
            nanoseconds: time.tv_nsec,
        };
        Self {
            device: rustix::fs::makedev(statx.stx_dev_major, statx.stx_dev_minor),
            inode: statx.stx_ino,
            size: statx.stx_size,
            modified: time(statx.stx_mtime),
            changed: time(statx.stx_ctime),
            links: statx.stx_nlink,
            mode: u32::from(statx.stx_mode),
            uid: statx.stx_uid,
            gid: statx.stx_gid,
        }
    }
}

/// `inode 12 of device 8:1, 300 bytes, modified 1700000000.5`.
impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "inode {} of device {}:{}, {} bytes, modified {}",
            self.inode,
            rustix::fs::major(self.device),
            rustix::fs::minor(self.device),
            self.size,
            Seconds(self.modified),
        )
    }
}

/// A time as seconds since 1970 with nine decimals, which keeps it exact.
pub(crate) struct Seconds(pub(crate) Timestamp);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.0.seconds, self.0.nanoseconds)
    }
}

/// A time as text, in JSON, whose numbers are not exact everywhere.
mod seconds {
    use super::*;
    use serde::de::Error;

    pub(super) fn serialize<S: Serializer>(
        time: &Timestamp,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Seconds(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parsed = text.split_once('.').and_then(|(seconds, nanoseconds)| {
            Some(Timestamp {
                seconds: seconds.parse().ok()?,
                nanoseconds: nanoseconds.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| D::Error::custom("a time is written like `1700000000.000000005`"))
    }
}
