//! The FUSE wire format, version 7.45, as `<linux/fuse.h>` defines it.
//!
//! Plain structures and numbers, nothing else: encoding, decoding and meaning
//! live in `transom-fuse`. Every structure is padded to 64 bits by the
//! protocol itself, so none has padding of the compiler's; the size of each
//! is asserted below against the kernel's.

#![expect(
    missing_debug_implementations,
    reason = "zerocopy derives helper types without it"
)]

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Major protocol version.
pub const MAJOR: u32 = 7;
/// Newest minor protocol version spoken here.
pub const MINOR: u32 = 45;
/// Oldest minor version accepted: passthrough appeared in 7.40 (Linux 6.9).
pub const MINOR_OLDEST: u32 = 40;

/// The read buffer must be at least this large, in bytes.
pub const READ_BUFFER_MIN: usize = 8192;
/// Bit of a request's `unique` that marks an interrupt; real requests have it
/// clear.
pub const UNIQUE_INTERRUPT: u64 = 1;
/// Bit of a request's `unique` that marks a request sent again after
/// `NOTIFY_RESEND`.
pub const UNIQUE_RESEND: u64 = 1 << 63;

macro_rules! wire {
    ($($(#[$meta:meta])* $name:ident($size:literal) { $($field:ident: $type:ty,)* })*) => {
        $(
            $(#[$meta])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
            #[repr(C)]
            #[allow(missing_docs, reason = "the fields are the kernel's and documented there")]
            pub struct $name { $(pub $field: $type,)* }

            const _: () = assert!(size_of::<$name>() == $size);
        )*
    };
}

wire! {
    /// Head of every request.
    InHeader(40) { len: u32, opcode: u32, unique: u64, nodeid: u64, uid: u32, gid: u32, pid: u32, total_extlen: u16, padding: u16, }
    /// Head of every reply and notification.
    OutHeader(16) { len: u32, error: i32, unique: u64, }
    /// Attributes of a node.
    Attr(88) {
        ino: u64, size: u64, blocks: u64, atime: u64, mtime: u64, ctime: u64, atimensec: u32, mtimensec: u32,
        ctimensec: u32, mode: u32, nlink: u32, uid: u32, gid: u32, rdev: u32, blksize: u32, flags: u32,
    }
    /// Answer to LOOKUP and to everything that makes a name.
    EntryOut(128) {
        nodeid: u64, generation: u64, entry_valid: u64, attr_valid: u64, entry_valid_nsec: u32, attr_valid_nsec: u32, attr: Attr,
    }
    /// A time of STATX.
    SxTime(16) { tv_sec: i64, tv_nsec: u32, reserved: i32, }
    /// Attributes of a node, as STATX has them.
    Statx(256) {
        mask: u32, blksize: u32, attributes: u64, nlink: u32, uid: u32, gid: u32, mode: u16, spare0: u16,
        ino: u64, size: u64, blocks: u64, attributes_mask: u64, atime: SxTime, btime: SxTime, ctime: SxTime, mtime: SxTime,
        rdev_major: u32, rdev_minor: u32, dev_major: u32, dev_minor: u32, spare2: [u64; 14],
    }
    /// Answer to STATX.
    StatxOut(288) { attr_valid: u64, attr_valid_nsec: u32, flags: u32, spare: [u64; 2], stat: Statx, }
    /// Head of one extension at the end of a request. The size includes it.
    ExtHeader(8) { size: u32, kind: u32, }
    /// Answer to GETATTR and SETATTR.
    AttrOut(104) { attr_valid: u64, attr_valid_nsec: u32, dummy: u32, attr: Attr, }
    /// FORGET.
    ForgetIn(8) { nlookup: u64, }
    /// One of the forgets of BATCH_FORGET.
    ForgetOne(16) { nodeid: u64, nlookup: u64, }
    /// BATCH_FORGET, followed by `count` [`ForgetOne`].
    BatchForgetIn(8) { count: u32, dummy: u32, }
    /// GETATTR.
    GetattrIn(16) { getattr_flags: u32, dummy: u32, fh: u64, }
    /// STATX.
    StatxIn(24) { getattr_flags: u32, reserved: u32, fh: u64, sx_flags: u32, sx_mask: u32, }
    /// MKNOD.
    MknodIn(16) { mode: u32, rdev: u32, umask: u32, padding: u32, }
    /// MKDIR.
    MkdirIn(8) { mode: u32, umask: u32, }
    /// RENAME.
    RenameIn(8) { newdir: u64, }
    /// RENAME2.
    Rename2In(16) { newdir: u64, flags: u32, padding: u32, }
    /// LINK.
    LinkIn(8) { oldnodeid: u64, }
    /// SETATTR.
    SetattrIn(88) {
        valid: u32, padding: u32, fh: u64, size: u64, lock_owner: u64, atime: u64, mtime: u64, ctime: u64,
        atimensec: u32, mtimensec: u32, ctimensec: u32, mode: u32, unused4: u32, uid: u32, gid: u32, unused5: u32,
    }
    /// OPEN and OPENDIR.
    OpenIn(8) { flags: u32, open_flags: u32, }
    /// CREATE and TMPFILE.
    CreateIn(16) { flags: u32, mode: u32, umask: u32, open_flags: u32, }
    /// Answer to OPEN and OPENDIR.
    OpenOut(16) { fh: u64, open_flags: u32, backing_id: i32, }
    /// RELEASE and RELEASEDIR.
    ReleaseIn(24) { fh: u64, flags: u32, release_flags: u32, lock_owner: u64, }
    /// FLUSH.
    FlushIn(24) { fh: u64, unused: u32, padding: u32, lock_owner: u64, }
    /// READ, READDIR and READDIRPLUS.
    ReadIn(40) { fh: u64, offset: u64, size: u32, read_flags: u32, lock_owner: u64, flags: u32, padding: u32, }
    /// WRITE, followed by the data.
    WriteIn(40) { fh: u64, offset: u64, size: u32, write_flags: u32, lock_owner: u64, flags: u32, padding: u32, }
    /// Answer to WRITE and COPY_FILE_RANGE.
    WriteOut(8) { size: u32, padding: u32, }
    /// Answer to STATFS.
    StatfsOut(80) {
        blocks: u64, bfree: u64, bavail: u64, files: u64, ffree: u64, bsize: u32, namelen: u32, frsize: u32, padding: u32, spare: [u32; 6],
    }
    /// FSYNC and FSYNCDIR.
    FsyncIn(16) { fh: u64, fsync_flags: u32, padding: u32, }
    /// SETXATTR, with SETXATTR_EXT negotiated, which it always is.
    SetxattrIn(16) { size: u32, flags: u32, setxattr_flags: u32, padding: u32, }
    /// GETXATTR and LISTXATTR.
    GetxattrIn(8) { size: u32, padding: u32, }
    /// Answer to GETXATTR and LISTXATTR that asked for a size.
    GetxattrOut(8) { size: u32, padding: u32, }
    /// GETLK, SETLK and SETLKW.
    LkIn(48) { fh: u64, owner: u64, start: u64, end: u64, kind: u32, pid: u32, lk_flags: u32, padding: u32, }
    /// Answer to GETLK.
    LkOut(24) { start: u64, end: u64, kind: u32, pid: u32, }
    /// ACCESS.
    AccessIn(8) { mask: u32, padding: u32, }
    /// INIT, as far as every kernel of 7.36 and later sends it.
    InitIn(64) { major: u32, minor: u32, max_readahead: u32, flags: u32, flags2: u32, unused: [u32; 11], }
    /// Answer to INIT.
    InitOut(64) {
        major: u32, minor: u32, max_readahead: u32, flags: u32, max_background: u16, congestion_threshold: u16,
        max_write: u32, time_gran: u32, max_pages: u16, map_alignment: u16, flags2: u32, max_stack_depth: u32,
        request_timeout: u16, unused: [u16; 11],
    }
    /// INTERRUPT: the request it is about.
    InterruptIn(8) { unique: u64, }
    /// BMAP.
    BmapIn(16) { block: u64, blocksize: u32, padding: u32, }
    /// IOCTL, followed by `in_size` bytes.
    IoctlIn(32) { fh: u64, flags: u32, cmd: u32, arg: u64, in_size: u32, out_size: u32, }
    /// Answer to IOCTL, followed by what the caller takes back.
    IoctlOut(16) { result: i32, flags: u32, in_iovs: u32, out_iovs: u32, }
    /// POLL.
    PollIn(24) { fh: u64, kh: u64, flags: u32, events: u32, }
    /// FALLOCATE.
    FallocateIn(32) { fh: u64, offset: u64, length: u64, mode: u32, padding: u32, }
    /// LSEEK.
    LseekIn(24) { fh: u64, offset: u64, whence: u32, padding: u32, }
    /// Answer to LSEEK.
    LseekOut(8) { offset: u64, }
    /// COPY_FILE_RANGE and COPY_FILE_RANGE_64.
    CopyFileRangeIn(56) { fh_in: u64, off_in: u64, nodeid_out: u64, fh_out: u64, off_out: u64, len: u64, flags: u64, }
    /// Answer to COPY_FILE_RANGE_64.
    CopyFileRangeOut(8) { bytes_copied: u64, }
    /// SYNCFS.
    SyncfsIn(8) { padding: u64, }
    /// SETUPMAPPING.
    SetupmappingIn(40) { fh: u64, foffset: u64, len: u64, flags: u64, moffset: u64, }
    /// REMOVEMAPPING, followed by `count` [`RemovemappingOne`].
    RemovemappingIn(4) { count: u32, }
    /// One range of REMOVEMAPPING.
    RemovemappingOne(16) { moffset: u64, len: u64, }
    /// NOTIFY_REPLY: data that NOTIFY_RETRIEVE asked for.
    NotifyRetrieveIn(40) { dummy1: u64, offset: u64, size: u32, dummy2: u32, dummy3: u64, dummy4: u64, }
    /// Head of an entry of a READDIR answer, followed by the name.
    Dirent(24) { ino: u64, off: u64, namelen: u32, kind: u32, }
    /// NOTIFY_INVAL_INODE.
    NotifyInvalInodeOut(24) { ino: u64, off: i64, len: i64, }
    /// NOTIFY_INVAL_ENTRY, followed by the name and a NUL.
    NotifyInvalEntryOut(16) { parent: u64, namelen: u32, flags: u32, }
    /// NOTIFY_PRUNE, followed by `count` numbers of nodes.
    NotifyPruneOut(16) { count: u32, padding: u32, spare: u64, }
    /// Argument of the ioctl that registers a backing file.
    BackingMap(16) { fd: i32, flags: u32, padding: u64, }
}

/// What a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u32)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub enum Opcode {
    Lookup = 1,
    Forget = 2,
    Getattr = 3,
    Setattr = 4,
    Readlink = 5,
    Symlink = 6,
    Mknod = 8,
    Mkdir = 9,
    Unlink = 10,
    Rmdir = 11,
    Rename = 12,
    Link = 13,
    Open = 14,
    Read = 15,
    Write = 16,
    Statfs = 17,
    Release = 18,
    Fsync = 20,
    Setxattr = 21,
    Getxattr = 22,
    Listxattr = 23,
    Removexattr = 24,
    Flush = 25,
    Init = 26,
    Opendir = 27,
    Readdir = 28,
    Releasedir = 29,
    Fsyncdir = 30,
    Getlk = 31,
    Setlk = 32,
    Setlkw = 33,
    Access = 34,
    Create = 35,
    Interrupt = 36,
    Bmap = 37,
    Destroy = 38,
    Ioctl = 39,
    Poll = 40,
    NotifyReply = 41,
    BatchForget = 42,
    Fallocate = 43,
    Readdirplus = 44,
    Rename2 = 45,
    Lseek = 46,
    CopyFileRange = 47,
    Setupmapping = 48,
    Removemapping = 49,
    Syncfs = 50,
    Tmpfile = 51,
    Statx = 52,
    CopyFileRange64 = 53,
}

impl Opcode {
    /// One more than the largest opcode, for tables.
    pub const COUNT: usize = 54;

    /// Every opcode, in order of its number.
    pub const ALL: [Self; 51] = {
        use Opcode::*;
        [
            Lookup,
            Forget,
            Getattr,
            Setattr,
            Readlink,
            Symlink,
            Mknod,
            Mkdir,
            Unlink,
            Rmdir,
            Rename,
            Link,
            Open,
            Read,
            Write,
            Statfs,
            Release,
            Fsync,
            Setxattr,
            Getxattr,
            Listxattr,
            Removexattr,
            Flush,
            Init,
            Opendir,
            Readdir,
            Releasedir,
            Fsyncdir,
            Getlk,
            Setlk,
            Setlkw,
            Access,
            Create,
            Interrupt,
            Bmap,
            Destroy,
            Ioctl,
            Poll,
            NotifyReply,
            BatchForget,
            Fallocate,
            Readdirplus,
            Rename2,
            Lseek,
            CopyFileRange,
            Setupmapping,
            Removemapping,
            Syncfs,
            Tmpfile,
            Statx,
            CopyFileRange64,
        ]
    };

    /// The opcode of that number.
    #[must_use]
    pub fn from_raw(raw: u32) -> Option<Self> {
        const BY_NUMBER: [Option<Opcode>; Opcode::COUNT] = {
            let mut table = [None; Opcode::COUNT];
            let mut index = 0;
            while index < Opcode::ALL.len() {
                table[Opcode::ALL[index] as usize] = Some(Opcode::ALL[index]);
                index += 1;
            }
            table
        };
        BY_NUMBER.get(raw as usize).copied().flatten()
    }
}

/// What the server announces to the kernel unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub enum NotifyCode {
    InvalInode = 2,
    InvalEntry = 3,
    Resend = 7,
    IncEpoch = 8,
    Prune = 9,
}

/// Flags of INIT. The upper half travels in `flags2`.
#[allow(missing_docs, reason = "the names are the kernel's")]
pub mod init {
    pub const ASYNC_READ: u64 = 1 << 0;
    pub const POSIX_LOCKS: u64 = 1 << 1;
    pub const ATOMIC_O_TRUNC: u64 = 1 << 3;
    pub const EXPORT_SUPPORT: u64 = 1 << 4;
    pub const BIG_WRITES: u64 = 1 << 5;
    pub const DONT_MASK: u64 = 1 << 6;
    pub const FLOCK_LOCKS: u64 = 1 << 10;
    pub const AUTO_INVAL_DATA: u64 = 1 << 12;
    pub const DO_READDIRPLUS: u64 = 1 << 13;
    pub const READDIRPLUS_AUTO: u64 = 1 << 14;
    pub const ASYNC_DIO: u64 = 1 << 15;
    pub const WRITEBACK_CACHE: u64 = 1 << 16;
    pub const NO_OPEN_SUPPORT: u64 = 1 << 17;
    pub const PARALLEL_DIROPS: u64 = 1 << 18;
    pub const POSIX_ACL: u64 = 1 << 20;
    pub const ABORT_ERROR: u64 = 1 << 21;
    pub const MAX_PAGES: u64 = 1 << 22;
    pub const CACHE_SYMLINKS: u64 = 1 << 23;
    pub const NO_OPENDIR_SUPPORT: u64 = 1 << 24;
    pub const EXPLICIT_INVAL_DATA: u64 = 1 << 25;
    pub const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    pub const SETXATTR_EXT: u64 = 1 << 29;
    pub const INIT_EXT: u64 = 1 << 30;
    pub const CREATE_SUPP_GROUP: u64 = 1 << 34;
    pub const HAS_EXPIRE_ONLY: u64 = 1 << 35;
    pub const DIRECT_IO_ALLOW_MMAP: u64 = 1 << 36;
    pub const PASSTHROUGH: u64 = 1 << 37;
    pub const NO_EXPORT_SUPPORT: u64 = 1 << 38;
    pub const HAS_RESEND: u64 = 1 << 39;
    pub const ALLOW_IDMAP: u64 = 1 << 40;
    pub const OVER_IO_URING: u64 = 1 << 41;
}

/// Flags of the answer to OPEN.
#[allow(missing_docs, reason = "the names are the kernel's")]
pub mod open {
    pub const DIRECT_IO: u32 = 1 << 0;
    pub const KEEP_CACHE: u32 = 1 << 1;
    pub const NOFLUSH: u32 = 1 << 5;
    pub const PARALLEL_DIRECT_WRITES: u32 = 1 << 6;
    pub const PASSTHROUGH: u32 = 1 << 7;
}

/// Which fields of SETATTR count.
#[allow(missing_docs, reason = "the names are the kernel's")]
pub mod fattr {
    pub const MODE: u32 = 1 << 0;
    pub const UID: u32 = 1 << 1;
    pub const GID: u32 = 1 << 2;
    pub const SIZE: u32 = 1 << 3;
    pub const ATIME: u32 = 1 << 4;
    pub const MTIME: u32 = 1 << 5;
    pub const FH: u32 = 1 << 6;
    pub const ATIME_NOW: u32 = 1 << 7;
    pub const MTIME_NOW: u32 = 1 << 8;
    pub const KILL_SUIDGID: u32 = 1 << 11;
}

/// Flags of the other requests.
#[allow(missing_docs, reason = "the names are the kernel's")]
pub mod flags {
    pub const OPEN_KILL_SUIDGID: u32 = 1 << 0;
    pub const WRITE_CACHE: u32 = 1 << 0;
    pub const WRITE_KILL_SUIDGID: u32 = 1 << 2;
    pub const FSYNC_FDATASYNC: u32 = 1 << 0;
    pub const RELEASE_FLOCK_UNLOCK: u32 = 1 << 1;
    pub const LK_FLOCK: u32 = 1 << 0;
    pub const SETXATTR_ACL_KILL_SGID: u32 = 1 << 0;
    pub const IOCTL_DIR: u32 = 1 << 4;
}

/// Kind of the extension that lists groups of the caller: a count, then the
/// groups, each 32 bits.
pub const EXT_GROUPS: u32 = 32;
