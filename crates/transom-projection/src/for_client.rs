//! Opening host files for somebody else.
//!
//! A server with privilege serves views to [`Client`]s without any, and a
//! client's view must not hold what the client could not open itself: not when
//! the view is made, and not when a name is looked up years later. So each
//! access to the host that is made for such a view is made with the rights of
//! its client (`transom_sys::credentials` has how), and three more things are
//! to be known.
//!
//! * **`O_PATH` asks for no permission on the file**, and what reads the file
//!   later is the kernel, by the server's rights. So whether the client may
//!   read is found out by opening the file for reading, once and without doing
//!   so. Nothing else gives the answer that the client would get: access
//!   control lists, security modules and servers of network file systems all
//!   have a say. Only regular files and directories are opened that way, so
//!   nobody waits at a pipe, and no device notices.
//! * **Some files say different things to different readers.** What `/proc`
//!   or `/sys` answer depends on who opened the file, and that would be the
//!   server: addresses in the kernel, the state of its own process. Such file
//!   systems are none that inputs lie on, and nothing on them is opened.
//! * **A FUSE file system that is private to root** compares other ids of the
//!   caller than those that a thread can take for one call, and would let the
//!   server pass for every client. Nothing on it is opened either.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags, fstatfs, major, minor};
use rustix::io::Errno;
use transom_module::ItemKind;
use transom_sys::credentials::{Client, Credentials};

use crate::host::HostFile;

/// The file systems whose content the kernel makes up for whoever opens it:
/// their `f_type`, from `<linux/magic.h>` and their sources.
const MADE_BY_THE_KERNEL: [u32; 24] = [
    0x0000_9fa0, // proc
    0x0000_9fa1, // openpromfs
    0x0000_1cd1, // devpts
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0x6265_6570, // configfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0xde5e_81e4, // efivarfs
    0x6165_676c, // pstore
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0x4249_4e4d, // binfmt_misc
    0x6573_5543, // fusectl
    0x6759_6969, // rpc_pipefs
    0x6e66_7364, // nfsd
    0x6e73_6673, // nsfs
    0x5049_4446, // pidfs
    0x0765_5821, // resctrl
    0xabba_1974, // xenfs
];

/// `f_type` of FUSE.
const FUSE: u32 = 0x6573_5546;

/// Why a file is not opened for a client, whatever its permissions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Withheld {
    #[error(
        "what it says depends on who opens it, which would be the server; copy what you need of \
         it to a file, and map that"
    )]
    MadeByTheKernel,
    #[error(
        "it lies on a FUSE file system that another user has mounted for himself; it would have \
         to be mounted with `allow_other`"
    )]
    PrivateFuse,
}

/// Whom files are opened for, and how.
#[derive(Debug)]
pub(crate) struct ForClient {
    client: Arc<Client>,
    own: Credentials,
}

impl ForClient {
    /// `PermissionDenied` if this process cannot act for that client.
    pub(crate) fn new(client: Client) -> io::Result<Self> {
        let own = Credentials::of_this_thread()?;
        let this = Self {
            client: Arc::new(client),
            own,
        };
        this.act(|| Ok(()))?;
        Ok(this)
    }

    /// Calls `act` with the client's rights over files.
    pub(crate) fn act<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        self.own.act_as(&self.client, act)?
    }

    /// Refuses what must not be opened for clients.
    pub(crate) fn check(&self, file: &HostFile) -> io::Result<()> {
        // What is no filesystem's magic number compares with none of them.
        let kind = fstatfs(&file.descriptor)?.f_type as u32;
        let withheld = if MADE_BY_THE_KERNEL.contains(&kind) {
            Withheld::MadeByTheKernel
        } else if kind == FUSE && !self.may_use_fuse(file.stamp.device)? {
            Withheld::PrivateFuse
        } else {
            return Ok(());
        };
        Err(io::Error::new(io::ErrorKind::PermissionDenied, withheld))
    }

    /// Whether the client may read a regular file, or list and search a
    /// directory, that is open with `O_PATH`.
    pub(crate) fn may_read(&self, file: BorrowedFd<'_>, kind: Option<ItemKind>) -> bool {
        let (path, flags) = match kind {
            Some(ItemKind::File) => ("", OFlags::NONBLOCK | OFlags::NOCTTY),
            Some(ItemKind::Directory) => ("/.", OFlags::DIRECTORY),
            _ => return false,
        };
        let path = format!("/proc/self/fd/{}{path}", file.as_raw_fd());
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC;
        let opened = self.act(|| Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?));
        match opened {
            Ok(_) => true,
            // Somebody holds a lease on it, which is asked for after the
            // permissions.
            Err(error) => Errno::from_io_error(&error) == Some(Errno::AGAIN),
        }
    }

    /// Whether the kernel would let the client into the FUSE file system with
    /// that device number: into its own, or one that is open to all.
    fn may_use_fuse(&self, device: u64) -> io::Result<bool> {
        let device = format!("{}:{}", major(device), minor(device));
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        // One that is mounted nowhere any more is private enough.
        let options = mounts.lines().find_map(|line| {
            let (mount, superblock) = line.split_once(" - ")?;
            let is_it = mount.split(' ').nth(2) == Some(&device);
            is_it.then(|| superblock.rsplit(' ').next()).flatten()
        });
        let own = format!("user_id={}", self.client.uid);
        Ok(options.is_some_and(|options| {
            options
                .split(',')
                .any(|option| option == "allow_other" || option == own)
        }))
    }
}
