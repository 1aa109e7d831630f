use std::ffi::OsStr;

use crate::{
    Attributes, Context, Entry, Errno, Lifetime, OpenMode, Opened, Result, Timestamp, Volume,
};

/// Changing the tree and the attributes of its items: what makes a volume
/// writable.
///
/// The kernel has checked the caller's rights against the attributes it was
/// told, and answers the questions that names alone decide (`EEXIST`,
/// `ENOTDIR`, `EBUSY` for a mount point) from its own cache first; the volume
/// decides them again, since others may change it too. Removing a name frees
/// nothing: an item lives until [`Volume::reclaim`].
pub trait Changes: Volume {
    /// Changes attributes, all or none, and returns what they are then.
    /// `handle` is the open file that the caller did it through, if any.
    fn set_attributes(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        handle: Option<&Self::Handle>,
        changes: &AttributeChanges,
    ) -> Result<(Attributes, Lifetime)>;

    /// Makes an item of any kind, owned by the caller. `EEXIST` if the name is
    /// taken.
    fn create(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        name: &OsStr,
        new: &NewItem<'_>,
    ) -> Result<Entry<Self::Item>>;

    /// Makes a regular file and opens it, in one step. `EEXIST` if the name is
    /// taken and `exclusive`; if not exclusive, `ESTALE`, which makes the
    /// kernel look again: nobody has checked the caller's right to open what
    /// is there.
    ///
    /// `ENOSYS`, the default, makes the kernel do it in two steps.
    fn create_open(
        &self,
        _context: &Context<'_>,
        _directory: &Self::Item,
        _name: &OsStr,
        _new: &NewItem<'_>,
        _mode: OpenMode,
        _exclusive: bool,
    ) -> Result<Created<Self::Item, Self::Handle>> {
        Err(Errno::ENOSYS.into())
    }

    /// Makes a regular file without a name in `directory`, and opens it
    /// (`O_TMPFILE`). It may be given a name later by [`link`](Self::link).
    fn create_unnamed(
        &self,
        _context: &Context<'_>,
        _directory: &Self::Item,
        _new: &NewItem<'_>,
        _mode: OpenMode,
    ) -> Result<Created<Self::Item, Self::Handle>> {
        Err(Errno::EOPNOTSUPP.into())
    }

    /// Gives `item` a further name. The entry is of the same item: equal id.
    fn link(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        directory: &Self::Item,
        name: &OsStr,
    ) -> Result<Entry<Self::Item>>;

    /// Takes a name away. `EISDIR` or `ENOTDIR` if it stands for the other
    /// kind, `ENOTEMPTY` for a directory with entries.
    fn remove(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        name: &OsStr,
        removed: Removed,
    ) -> Result<()>;

    /// Moves an item to another name. What had the new name loses it, and must
    /// be an empty directory if a directory takes its place.
    fn rename(
        &self,
        context: &Context<'_>,
        from: (&Self::Item, &OsStr),
        to: (&Self::Item, &OsStr),
        options: RenameOptions,
    ) -> Result<()>;
}

/// A file that was made and opened, or only opened.
#[derive(Debug)]
pub struct Created<I, H> {
    /// The file.
    pub entry: Entry<I>,
    /// The open file.
    pub opened: Opened<H>,
}

/// Attributes to change; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AttributeChanges {
    /// Permission bits with set-id and sticky bits (`0o7777`).
    pub permissions: Option<u16>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes; what is added reads as zeroes.
    pub size: Option<u64>,
    /// Last access.
    pub accessed: Option<NewTime>,
    /// Last change of the content.
    pub modified: Option<NewTime>,
    /// The set-user-id and set-group-id bits and capabilities of the file must
    /// go: somebody without a right to keep them changes its content.
    pub drop_privileges: bool,
}

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTime {
    /// The present moment, as the volume counts it.
    Now,
    /// This one.
    At(Timestamp),
}

/// What is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewItem<'a> {
    /// What it is.
    pub kind: NewKind<'a>,
    /// Permission bits as the caller gave them. A symbolic link has none.
    pub permissions: u16,
    /// Bits that the caller's process takes away from `permissions`, unless
    /// the directory has a default access control list.
    pub umask: u16,
}

/// The kind of an item to be made, with what it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewKind<'a> {
    /// An empty regular file.
    File,
    /// An empty directory.
    Directory,
    /// A symbolic link to this target.
    Symlink(&'a OsStr),
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A character device of this number.
    CharacterDevice(u32),
    /// A block device of this number.
    BlockDevice(u32),
}

/// What [`Changes::remove`] is to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Anything but a directory (`unlink`).
    File,
    /// An empty directory (`rmdir`).
    Directory,
}

/// How to rename: the flags of `renameat2(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RenameOptions {
    /// Fail with `EEXIST` if the new name is taken.
    pub no_replace: bool,
    /// Let both names change places; both must exist.
    pub exchange: bool,
    /// Leave a whiteout, as overlay file systems know it, at the old name.
    pub whiteout: bool,
}
