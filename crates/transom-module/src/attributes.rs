use std::fmt;
use std::time::{Duration, SystemTime};

/// The stable number of an item.
///
/// Equal ids mean the same item: a transport shares one cached item, its
/// pages and its backing file between all names whose lookup returned that
/// id. An item that comes to stand for other bytes (a replaced host file)
/// therefore needs a new id. A *directory* has one id per path, because the
/// kernel moves a directory's cached name to wherever its id was seen last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(u64);

impl ItemId {
    /// The root of every volume.
    pub const ROOT: Self = Self(1);

    /// Wraps a number. Zero means "no item" on most wires, hence `None`.
    #[must_use]
    pub const fn new(raw: u64) -> Option<Self> {
        match raw {
            0 => None,
            _ => Some(Self(raw)),
        }
    }

    /// The number.
    #[must_use]
    pub fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
}

impl ItemKind {
    /// The file type bits of `st_mode`.
    #[must_use]
    pub fn mode_bits(self) -> u32 {
        match self {
            Self::File => libc::S_IFREG,
            Self::Directory => libc::S_IFDIR,
            Self::Symlink => libc::S_IFLNK,
            Self::Fifo => libc::S_IFIFO,
            Self::Socket => libc::S_IFSOCK,
            Self::CharacterDevice => libc::S_IFCHR,
            Self::BlockDevice => libc::S_IFBLK,
        }
    }

    /// The kind that the file type bits of a `st_mode` stand for.
    #[must_use]
    pub fn from_mode(mode: u32) -> Option<Self> {
        Some(match mode & libc::S_IFMT {
            libc::S_IFREG => Self::File,
            libc::S_IFDIR => Self::Directory,
            libc::S_IFLNK => Self::Symlink,
            libc::S_IFIFO => Self::Fifo,
            libc::S_IFSOCK => Self::Socket,
            libc::S_IFCHR => Self::CharacterDevice,
            libc::S_IFBLK => Self::BlockDevice,
            _ => return None,
        })
    }
}

/// A point in time: seconds and nanoseconds since 1970-01-01 UTC, the
/// nanoseconds always counted forward (0..1 000 000 000).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    /// Whole seconds, negative before 1970.
    pub seconds: i64,
    /// Nanoseconds on top of `seconds`.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// The present moment.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO);
        Self {
            seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: since.subsec_nanos(),
        }
    }
}

/// The attributes of an item, as `stat(2)` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attributes {
    /// Stable number of the item (`st_ino`).
    pub id: ItemId,
    /// What it is.
    pub kind: ItemKind,
    /// Permission bits with set-id and sticky bits (`0o7777`).
    pub permissions: u16,
    /// Number of names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number, for devices.
    pub device: u32,
    /// Length in bytes.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Preferred I/O size in bytes.
    pub block_size: u32,
    /// Last access.
    pub accessed: Timestamp,
    /// Last change of the content.
    pub modified: Timestamp,
    /// Last change of content or attributes.
    pub changed: Timestamp,
    /// When it was made. A volume knows it of all its items or of none.
    pub created: Option<Timestamp>,
}

impl Attributes {
    /// Attributes of an item that exists only in memory: owned by root, all
    /// times zero, no content. Callers adjust what they know better.
    #[must_use]
    pub fn synthetic(id: ItemId, kind: ItemKind, permissions: u16) -> Self {
        Self {
            id,
            kind,
            permissions,
            links: if kind == ItemKind::Directory { 2 } else { 1 },
            uid: 0,
            gid: 0,
            device: 0,
            size: 0,
            blocks: 0,
            block_size: 4096,
            accessed: Timestamp::default(),
            modified: Timestamp::default(),
            changed: Timestamp::default(),
            created: None,
        }
    }
}

/// Space and limits of a volume, as `statfs(2)` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatFs {
    /// Size of a block in bytes.
    pub block_size: u32,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Free blocks that an unprivileged user may take.
    pub blocks_available: u64,
    /// Items in all.
    pub items: u64,
    /// Items that can still be made.
    pub items_free: u64,
    /// Longest name in bytes.
    pub name_bytes_max: u32,
}
