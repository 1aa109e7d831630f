use std::ffi::{OsStr, OsString};
use std::time::Duration;

use crate::{
    Attributes, Backing, Context, Cookie, DirectorySink, Errno, ItemId, Name, Result, StatFs,
};

/// One mountable tree.
///
/// Five operations are required; the others have defaults that say "not
/// supported" in the way callers expect. What more a volume can do, it claims
/// in its [`VolumeDefinition`](crate::VolumeDefinition), group by group.
/// Operations run concurrently on any number of threads.
pub trait Volume: Send + Sync + 'static {
    /// A live item: what [`lookup`](Self::lookup) found and the transport
    /// keeps until nobody refers to it any more.
    type Item: Send + Sync + 'static;

    /// What the volume remembers of an open file or directory; `()` if
    /// nothing.
    type Handle: Send + Sync + 'static;

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
    ///
    /// A volume whose listings need something open meanwhile claims
    /// [`OpenDirectories`](crate::OpenDirectories), and is asked there.
    fn enumerate(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Self::Item>,
    ) -> Result<()>;

    /// Opens a regular file. `ELOOP` for a symbolic link.
    ///
    /// With [`Io::Passthrough`], every open of an item must name the same host
    /// file.
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
    /// end of file; at or past the end, 0. Never called for a file that was
    /// opened with [`Io::Passthrough`].
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

    /// The last descriptor and mapping of this open are gone. Called exactly
    /// once for every handle, also when the volume is unmounted.
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

/// An item that was found or made, and for how long what is said of it holds.
#[derive(Debug, Clone)]
pub struct Entry<I> {
    /// The item.
    pub item: I,
    /// Its attributes; `attributes.id` identifies it.
    pub attributes: Attributes,
    /// Tells items apart that have had the same id one after the other. 0 if
    /// ids are never used again.
    pub generation: u64,
    /// For how long the name leads to this item.
    pub name_lifetime: Lifetime,
    /// For how long the attributes hold.
    pub attributes_lifetime: Lifetime,
}

impl<I> Entry<I> {
    /// An item of which all that is said holds until it is invalidated, and
    /// whose id is never used again.
    #[must_use]
    pub fn lasting(item: I, attributes: Attributes) -> Self {
        Self {
            item,
            attributes,
            generation: 0,
            name_lifetime: Lifetime::FOREVER,
            attributes_lifetime: Lifetime::FOREVER,
        }
    }
}

/// The answer to a lookup.
#[derive(Debug, Clone)]
pub enum Lookup<I> {
    /// The name exists.
    Found(Entry<I>),
    /// It does not, and will not for that long.
    Absent(Lifetime),
}

/// What an open asks for. The caller's right to it was checked already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenMode {
    /// Read or execute.
    pub read: bool,
    /// Write or append.
    pub write: bool,
    /// Cut the file to length 0.
    pub truncate: bool,
    /// Every write goes to the end of the file (`O_APPEND`).
    pub append: bool,
    /// Past the page cache (`O_DIRECT`).
    pub direct: bool,
    /// Writes return when they are on stable storage (`O_SYNC`, `O_DSYNC`).
    pub synchronous: bool,
    /// With `truncate`: the set-id bits and capabilities of the file must go,
    /// as with [`AttributeChanges`](crate::AttributeChanges).
    pub drop_privileges: bool,
}

/// An open file: what the volume remembers of it, and who moves its bytes.
#[derive(Debug)]
pub struct Opened<H> {
    /// The volume's own; comes back with every operation on the open file.
    pub handle: H,
    /// How its bytes are read and written.
    pub io: Io,
}

/// Who reads and writes the bytes of an open file.
#[derive(Debug, Clone)]
pub enum Io {
    /// They are those of this host file. The kernel reads and writes it; where
    /// it does not, the transport does. Either way the volume is asked for no
    /// byte of it, nor to resize, flush, synchronize, allocate, seek or copy
    /// through this open.
    Passthrough(Backing),
    /// The volume serves them, through the page cache.
    Cached {
        /// The content is what it was at the last open: pages stay valid.
        keep: bool,
    },
    /// The volume serves every read and write, nothing is cached.
    Direct,
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
