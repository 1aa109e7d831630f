//! Handles by which a file system finds a file again without a name.

use std::ffi::c_int;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Result;

use crate::mount::last_errno;

/// `MAX_HANDLE_SZ` of `<linux/exportfs.h>`.
const BYTES_MAX: usize = 128;

/// `struct file_handle`, with room for any.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FileHandle {
    length: u32,
    kind: c_int,
    bytes: [u8; BYTES_MAX],
}

impl FileHandle {
    /// The handle that its file system gives a file: `name_to_handle_at(2)`.
    /// `file` may be opened with `O_PATH`. `EOPNOTSUPP` where files have none.
    pub fn of(file: impl AsFd) -> Result<Self> {
        let mut handle = Self {
            length: BYTES_MAX as u32,
            kind: 0,
            bytes: [0; BYTES_MAX],
        };
        let mut mount_id: c_int = 0;
        // SAFETY: the kernel reads the C string and writes at most `length`
        // bytes into `bytes`, besides the two fields before and one number.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                file.as_fd().as_raw_fd(),
                c"".as_ptr(),
                &raw mut handle,
                &raw mut mount_id,
                libc::AT_EMPTY_PATH,
            )
        };
        if returned < 0 {
            return Err(last_errno());
        }
        Ok(handle)
    }

    /// A handle put together anew. `None` if it is longer than any can be.
    #[must_use]
    pub fn new(kind: c_int, bytes: &[u8]) -> Option<Self> {
        let mut handle = Self {
            length: bytes.len() as u32,
            kind,
            bytes: [0; BYTES_MAX],
        };
        handle.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(handle)
    }

    /// How its bytes are to be understood: an `enum fid_type` of
    /// `<linux/exportfs.h>`, or the file system's own number.
    #[must_use]
    pub fn kind(&self) -> c_int {
        self.kind
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..(self.length as usize).min(BYTES_MAX)]
    }

    /// Opens the file it stands for in the file system that `mount`, any open
    /// file of it, lies in: `open_by_handle_at(2)`. `mount` must not be opened
    /// with `O_PATH`.
    ///
    /// `ESTALE` if there is no such file any more; `EPERM` without
    /// `CAP_DAC_READ_SEARCH`, since any file of the file system can be reached
    /// this way, whatever directories lead to it.
    pub fn open(&self, mount: impl AsFd, flags: OFlags) -> Result<OwnedFd> {
        // SAFETY: the kernel reads the two fields and `length` bytes.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                mount.as_fd().as_raw_fd(),
                std::ptr::from_ref(self),
                (flags | OFlags::CLOEXEC).bits(),
            )
        };
        if returned < 0 {
            return Err(last_errno());
        }
        // SAFETY: the call has just made this descriptor; nobody else has it.
        Ok(unsafe { OwnedFd::from_raw_fd(returned as c_int) })
    }
}

impl fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileHandle")
            .field("kind", &self.kind)
            .field("bytes", &self.bytes())
            .finish()
    }
}
