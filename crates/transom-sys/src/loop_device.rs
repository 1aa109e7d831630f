//! Loop devices: block devices of the kernel whose content is a file.
//!
//! The file may be one that this very process serves, and then nearly every call
//! here waits for an answer of ours: the kernel asks for the size of the file,
//! drains what is under way, and writes back what it kept when the device is
//! closed. So all of it is done in a thread apart (see `apart.rs`), and no
//! descriptor of a device or of its file ever gets into the table that our
//! workers' descriptors are in.
//!
//! A number is all that tells loop devices apart, and it is another's as soon as
//! it is free. What does not change hands is the *name of the file*: whoever
//! attaches one here gives it a name that no other file has, and every later
//! call looks, with the device open so that it cannot be attached anew, whether
//! it still is a file of that name.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use zerocopy::FromZeros;

use crate::apart::apart;

/// The device that free loop devices are asked of.
pub const CONTROL: &str = "/dev/loop-control";
/// The longest name that a file may have, in bytes: what the kernel remembers.
pub const NAME_BYTES_MAX: usize = 63;

/// Loop devices are block devices of this major number.
const MAJOR: u32 = 7;
/// How often a free device is asked for before somebody else stops being
/// faster.
const ATTEMPTS_MAX: usize = 16;

// `<linux/loop.h>`
const CLEAR_FD: libc::Ioctl = 0x4c01;
const SET_STATUS64: libc::Ioctl = 0x4c04;
const GET_STATUS64: libc::Ioctl = 0x4c05;
const SET_CAPACITY: libc::Ioctl = 0x4c07;
const CONFIGURE: libc::Ioctl = 0x4c0a;
const CONTROL_GET_FREE: libc::Ioctl = 0x4c82;
const FLAG_AUTOCLEAR: u32 = 4;
const FLAG_DIRECT_IO: u32 = 16;

/// `struct loop_info64`
#[derive(Debug, Clone, Copy, FromZeros)]
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config`
#[derive(Debug, Clone, Copy, FromZeros)]
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Info>() == 232 && size_of::<Config>() == 304);

/// How a file is attached.
#[derive(Debug, Clone, Copy)]
pub struct Attachment {
    /// The device can be written.
    pub writable: bool,
    /// The smallest unit that the device reads and writes, in bytes.
    pub block_bytes: u32,
    /// Past the page cache of the file. The kernel does it where it can.
    pub direct: bool,
}

/// When a device is detached from its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    /// Now, and not at all if somebody has it open.
    IfUnused,
    /// When nobody has it open any more.
    AtLastClose,
    /// The same, and until then it has no content: reading and writing fail.
    Forced,
}

/// A loop device and the name of the file that was attached to it. Dropping it
/// changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopDevice {
    /// Where the device is.
    pub path: PathBuf,
    /// The name of its file: no other file's.
    pub name: String,
}

impl LoopDevice {
    /// Attaches the file `name` of `directory` to a free device. The name has
    /// at most [`NAME_BYTES_MAX`] bytes, and no other file ever has it.
    pub fn attach(
        directory: impl AsFd,
        name: &str,
        how: Attachment,
    ) -> Result<Self, LoopDeviceError> {
        let path = in_thread(directory.as_fd(), |directory| attach(directory, name, how))?;
        Ok(Self {
            path,
            name: name.into(),
        })
    }

    /// Whether it still is attached to its file.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        let is_it = || Ok::<_, io::Error>(file_is(&devices()?, number_of(&self.path)?, &self.name));
        is_it().unwrap_or(false)
    }

    /// Takes over the size that its file has now.
    pub fn read_size(&self) -> Result<(), LoopDeviceError> {
        self.with_device(|device| {
            // Before Linux 6.16 the kernel takes the size that it knows. This
            // makes it ask for all attributes of the file, if they may be old.
            let mut info = Info::new_zeroed();
            // SAFETY: the kernel writes one `loop_info64` through the pointer,
            // which lives until the call returns.
            check(unsafe { libc::ioctl(device.as_raw_fd(), GET_STATUS64, &raw mut info) })?;
            // SAFETY: the request has no argument.
            check(unsafe { libc::ioctl(device.as_raw_fd(), SET_CAPACITY) })
        })
    }

    /// Detaches it. [`LoopDeviceError::Busy`] if somebody has it open, and has
    /// to have it no more.
    pub fn detach(&self, when: Detach) -> Result<(), LoopDeviceError> {
        self.with_device(|device| {
            if when == Detach::Forced {
                // One sector is the smallest content that a device can have.
                return set_status(device, &self.name, 512, FLAG_AUTOCLEAR);
            }
            if when == Detach::IfUnused {
                // What somebody wrote who has closed it meanwhile, but not as
                // the last one: as we have it open.
                rustix::fs::fsync(device)?;
            }
            // SAFETY: the request has no argument.
            check(unsafe { libc::ioctl(device.as_raw_fd(), CLEAR_FD) })?;
            if when == Detach::AtLastClose {
                return Ok(());
            }
            // The kernel has now detached it if we alone have it open, and else
            // resolved to do so when the last one closes it. That can still be
            // taken back, since we are one of them.
            match set_status(device, &self.name, 0, 0) {
                Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
                Ok(()) => Err(io::Error::from_raw_os_error(libc::EBUSY)),
                Err(error) => Err(error),
            }
        })
    }

    /// Opens the device, in a thread apart, and makes sure that it is this one.
    fn with_device(
        &self,
        request: impl FnOnce(&File) -> io::Result<()> + Send,
    ) -> Result<(), LoopDeviceError> {
        let node_error = |error| LoopDeviceError::Node(self.path.clone(), error);
        let number = number_of(&self.path).map_err(node_error)?;
        let devices = devices().map_err(node_error)?;
        in_thread(devices.as_fd(), |devices| {
            // Not for writing: who watches devices would look at it anew.
            let device = open_device(&self.path, false).map_err(node_error)?;
            if !file_is(devices, number, &self.name) {
                return Err(LoopDeviceError::Gone(self.path.clone()));
            }
            request(&device).map_err(|error| match error.raw_os_error() {
                Some(libc::EBUSY) => LoopDeviceError::Busy(self.path.clone()),
                Some(libc::ENXIO) => LoopDeviceError::Gone(self.path.clone()),
                _ => LoopDeviceError::Request(self.path.clone(), error),
            })
        })
    }
}

/// What went wrong with a loop device.
#[derive(Debug)]
pub enum LoopDeviceError {
    /// The device that hands out loop devices cannot be used.
    Control(io::Error),
    /// The device itself cannot be opened.
    Node(PathBuf, io::Error),
    /// The file cannot be opened.
    File(io::Error),
    /// The device is attached to nothing, or to another's file.
    Gone(PathBuf),
    /// Somebody has it open: it is mounted, for example.
    Busy(PathBuf),
    /// The kernel refused.
    Request(PathBuf, io::Error),
    /// There is no thread to do it in.
    Thread(io::Error),
}

impl LoopDeviceError {
    /// The error number that says it best.
    #[must_use]
    pub fn raw_os_error(&self) -> i32 {
        match self {
            Self::Busy(_) => libc::EBUSY,
            Self::Gone(_) => libc::ENXIO,
            Self::Control(error)
            | Self::Node(_, error)
            | Self::File(error)
            | Self::Request(_, error)
            | Self::Thread(error) => error.raw_os_error().unwrap_or(libc::EIO),
        }
    }
}

impl fmt::Display for LoopDeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
        match self {
            Self::Control(error) if missing(error) => write!(
                f,
                "{CONTROL} does not exist: the kernel lacks loop devices (try `modprobe loop`), \
                 or /dev is not the host's, as in a container"
            ),
            Self::Control(error) => write!(f, "cannot get a loop device of {CONTROL}: {error}"),
            Self::Node(path, error) if missing(error) => write!(
                f,
                "{} does not exist, though the kernel has this device: /dev is not the host's, \
                 as in a container (make it with `mknod`, as a block device of number {MAJOR})",
                path.display()
            ),
            Self::Node(path, error) => write!(f, "cannot open {}: {error}", path.display()),
            Self::File(error) => write!(f, "cannot open the file of a loop device: {error}"),
            Self::Gone(path) => write!(f, "{} is attached to nothing of ours", path.display()),
            Self::Busy(path) => write!(
                f,
                "{} is in use: it is mounted, or somebody has it open",
                path.display()
            ),
            Self::Request(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for LoopDeviceError {}

fn in_thread<T: Send>(
    kept: BorrowedFd<'_>,
    work: impl FnOnce(BorrowedFd<'_>) -> Result<T, LoopDeviceError> + Send,
) -> Result<T, LoopDeviceError> {
    apart("loop-device", kept, work).map_err(LoopDeviceError::Thread)?
}

fn attach(
    directory: BorrowedFd<'_>,
    name: &str,
    how: Attachment,
) -> Result<PathBuf, LoopDeviceError> {
    let access = match how.writable {
        true => OFlags::RDWR,
        false => OFlags::RDONLY,
    };
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(directory, name, flags, Mode::empty())
        .map_err(|error| LoopDeviceError::File(error.into()))?;
    let control = File::options()
        .read(true)
        .write(true)
        .open(CONTROL)
        .map_err(LoopDeviceError::Control)?;

    let mut config = Config::new_zeroed();
    config.fd = file.as_raw_fd().cast_unsigned();
    config.block_size = how.block_bytes;
    config.info = info(name);
    if how.direct {
        config.info.flags |= FLAG_DIRECT_IO;
    }
    let mut attempts = 0;
    loop {
        attempts += 1;
        // SAFETY: the request has no argument.
        let number = check_number(unsafe { libc::ioctl(control.as_raw_fd(), CONTROL_GET_FREE) })
            .map_err(LoopDeviceError::Control)?;
        let path = PathBuf::from(format!("/dev/loop{number}"));
        let device = open_device(&path, how.writable)
            .map_err(|error| LoopDeviceError::Node(path.clone(), error))?;
        // SAFETY: the kernel reads one `loop_config` through the pointer, which
        // lives until the call returns.
        let configured =
            check(unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, &raw const config) });
        match configured {
            Ok(()) => return Ok(path),
            // Somebody else was given the same one, and was faster.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) && attempts < ATTEMPTS_MAX => {}
            Err(error) => return Err(LoopDeviceError::Request(path, error)),
        }
    }
}

fn info(name: &str) -> Info {
    let mut info = Info::new_zeroed();
    let length = name.len().min(NAME_BYTES_MAX);
    info.file_name[..length].copy_from_slice(&name.as_bytes()[..length]);
    info
}

/// Says anew what may change while a device is attached. A limit of 0 is none.
fn set_status(device: &File, name: &str, size_limit: u64, flags: u32) -> io::Result<()> {
    let info = Info {
        size_limit,
        flags,
        ..info(name)
    };
    // SAFETY: the kernel reads one `loop_info64` through the pointer, which
    // lives until the call returns.
    check(unsafe { libc::ioctl(device.as_raw_fd(), SET_STATUS64, &raw const info) })
}

fn open_device(path: &Path, writable: bool) -> io::Result<File> {
    File::options()
        .read(true)
        .write(writable)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// The minor number of the loop device at `path`.
fn number_of(path: &Path) -> io::Result<u32> {
    let metadata = fs::symlink_metadata(path)?;
    let device = metadata.rdev();
    match metadata.file_type().is_block_device() && libc::major(device) == MAJOR {
        true => Ok(libc::minor(device)),
        false => Err(io::Error::other("it is no loop device")),
    }
}

/// What the kernel tells of all block devices.
fn devices() -> io::Result<File> {
    File::open("/sys/dev/block")
}

/// Whether the file that is attached to a device has that name. Asking sysfs
/// does not ask whoever serves the file.
fn file_is(devices: impl AsFd, number: u32, name: &str) -> bool {
    let path = format!("{MAJOR}:{number}/loop/backing_file");
    let open = || rustix::fs::openat(devices, path, OFlags::CLOEXEC, Mode::empty());
    let mut file = String::new();
    if !open().is_ok_and(|opened| File::from(opened).read_to_string(&mut file).is_ok()) {
        return false;
    }
    // The kernel says so of a file whose name it has forgotten.
    let file = file.trim_end_matches('\n');
    let file = file.strip_suffix(" (deleted)").unwrap_or(file);
    Path::new(file).file_name() == Some(name.as_ref())
}

fn check(returned: libc::c_int) -> io::Result<()> {
    check_number(returned).map(drop)
}

fn check_number(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(returned)
}
