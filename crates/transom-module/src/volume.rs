use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::{
    Attributes, Backing, Context, Cookie, DirectorySink, Errno, ItemId, Name, Result, StatFs,
};

/// One mountable tree.
///
/// Five operations are required; the others have defaults that say "not
/// supported" in the way callers expect. Operations run concurrently on any
/// number of threads.
pub trait Volume: Send + Sync + 'static {
    /// A live item: what [`lookup`](Self::lookup) found and the transport
    /// keeps until nobody refers to it any more.
    type Item: Send + Sync + 'static;

    /// An open file whose bytes this volume serves itself.
    type Handle: Send + Sync + 'static;

    /// Listings depend on the directory alone, never on an open descriptor of
    /// it. The kernel then opens directories without asking and caches their
    /// listings until [`Invalidation::Listing`].
    const STATELESS_DIRECTORIES: bool = false;

    /// The root directory, whose id must be [`ItemId::ROOT`]. Asked once per
    /// mount.
    fn root(&self) -> Result<Entry<Self::Item>>;

    /// Finds `name` in `directory`. A name that does not exist is an answer,
    /// [`Lookup::Absent`], not an error.
    fn lookup(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        name: &OsStr,
    ) -> Result<Lookup<Self::Item>>;

    /// Current attributes of an item, and how long they may be cached.
    fn attributes(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
    ) -> Result<(Attributes, Lifetime)>;

    /// Lists `directory` from `from` on into `sink`, including `.` and `..`.
    fn enumerate(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Self::Item>,
    ) -> Result<()>;

    /// Opens a regular file. Every open of an item must choose the same
    /// variant of [`Opened`]; with passthrough, the same backing file.
    fn open(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        mode: OpenMode,
    ) -> Result<Opened<Self::Handle>>;

    /// The target of a symbolic link.
    fn read_link(&self, _context: &Context<'_>, _item: &Self::Item) -> Result<OsString> {
        Err(Errno::EINVAL.into())
    }

    /// Reads into `buffer` from `offset` on. Fewer bytes than asked for mean
    /// end of file; at or past the end, 0. Never called for a passthrough
    /// open.
    fn read(
        &self,
        _context: &Context<'_>,
        _item: &Self::Item,
        _handle: &Self::Handle,
        _offset: u64,
        _buffer: &mut [u8],
    ) -> Result<usize> {
        Err(Errno::EOPNOTSUPP.into())
    }

    /// The last descriptor and mapping of this open are gone.
    fn close(&self, handle: Self::Handle) {
        drop(handle);
    }

    /// Nobody refers to the item any more. Called exactly once for every item
    /// the volume handed out, also when the volume is unmounted.
    fn reclaim(&self, item: Self::Item) {
        drop(item);
    }

    /// Space and limits.
    fn statfs(&self) -> Result<StatFs> {
        Ok(StatFs {
            block_size: 4096,
            name_bytes_max: 255,
            ..StatFs::default()
        })
    }
}

/// How long an answer may be cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lifetime(Duration);

impl Lifetime {
    /// Not at all: ask every time.
    pub const NONE: Self = Self(Duration::ZERO);
    /// Until it is invalidated.
    pub const FOREVER: Self = Self(Duration::MAX);

    /// For a while.
    #[must_use]
    pub fn for_duration(duration: Duration) -> Self {
        Self(duration)
    }

    /// The time it stands for.
    #[must_use]
    pub fn duration(self) -> Duration {
        self.0
    }
}

/// An item that was found, and for how long what is said of it holds.
#[derive(Debug, Clone)]
pub struct Entry<I> {
    /// The item.
    pub item: I,
    /// Its attributes; `attributes.id` identifies it.
    pub attributes: Attributes,
    /// For how long the name leads to this item.
    pub name_lifetime: Lifetime,
    /// For how long the attributes hold.
    pub attributes_lifetime: Lifetime,
}

/// The answer to a lookup.
#[derive(Debug, Clone)]
pub enum Lookup<I> {
    /// The name exists.
    Found(Entry<I>),
    /// It does not, and will not for that long.
    Absent(Lifetime),
}

/// What an open asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenMode {
    /// Read or execute.
    pub read: bool,
    /// Write or append.
    pub write: bool,
    /// Cut the file to length 0.
    pub truncate: bool,
}

/// The answer to an open.
#[derive(Debug)]
pub enum Opened<H> {
    /// The kernel does the I/O on this host file.
    Passthrough(Backing),
    /// The volume serves the bytes through the page cache. With `keep`, pages
    /// cached by earlier opens stay valid.
    Cached {
        /// The open file.
        handle: H,
        /// Whether the content is the same as at the last open.
        keep: bool,
    },
    /// The volume serves every read itself, nothing is cached.
    Direct(H),
}

/// Something cached that no longer holds. Operations that change a volume from
/// outside (steering a projection) return these as values, and whoever serves
/// the volume passes them to the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invalidation {
    /// `name` in `directory` leads elsewhere or nowhere now.
    Name {
        /// The directory.
        directory: ItemId,
        /// The name in it.
        name: Name,
    },
    /// The listing of the directory has changed.
    Listing(ItemId),
    /// Attributes and data of the item have changed.
    Content(ItemId),
    /// Every cached name of the whole volume must be asked for again; all at
    /// once, which single names cannot be. Linux forgets the names themselves,
    /// and with a name whatever is mounted on it, in every mount namespace: not
    /// for volumes that others mount upon.
    Epoch,
}
