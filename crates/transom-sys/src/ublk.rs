//! ublk: block devices that a process serves, without a file system between.
//!
//! ```text
//!   Control   /dev/ublk-control: add, describe, start, stop, delete a device
//!   Queue     /dev/ublkcN: its requests, which one thread fetches and commits
//!   copy_*    /dev/ublkcN: the bytes of a request, from any thread
//! ```
//!
//! Everything is a command to io_uring. A command of a queue is answered when
//! there is a request; committing a request is at once the command that waits
//! for the next one of the same number, its *tag*. The bytes of a request are
//! read from the device by its server, or written to it (`UBLK_F_USER_COPY`,
//! Linux 6.5), so the kernel never touches memory of ours that could be gone.
//!
//! Source of facts: `<linux/ublk_cmd.h>` (`abi.rs`), and
//! `Documentation/block/ublk.rst` of the kernel.

mod abi;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::event::EventfdFlags;
use zerocopy::{FromZeros, IntoBytes};

use self::abi::{ControlCommand, Descriptor, DeviceInfo, QueueCommand};
pub use self::abi::{DEPTH, Description, Operation, REQUEST_BYTES_MAX, Request};

/// The device that manages the others.
pub const CONTROL: &str = "/dev/ublk-control";

/// The device that manages the others.
#[derive(Debug)]
pub struct Control(File);

impl Control {
    /// Opens it. `NotFound` if the kernel has no ublk.
    pub fn open() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(CONTROL)?;
        Ok(Self(file))
    }

    /// Adds a device and returns its number. `Unsupported` if the kernel cannot
    /// let its server copy what is read and written.
    pub fn add(&self) -> io::Result<u32> {
        let mut info = DeviceInfo::new_zeroed();
        info.queues = 1;
        info.depth = DEPTH;
        info.request_bytes_max = REQUEST_BYTES_MAX;
        info.device = abi::ANY_DEVICE;
        info.flags = abi::FLAG_USER_COPY;
        self.run_with(abi::ADD_DEVICE, abi::ANY_DEVICE, &mut info)?;
        if info.flags & abi::FLAG_USER_COPY == 0 {
            self.delete(info.device)?;
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(info.device)
    }

    /// Says what the device is like, before it is started.
    pub fn describe(&self, device: u32, description: &Description) -> io::Result<()> {
        let mut parameters = abi::parameters(description);
        self.run_with(abi::SET_PARAMETERS, device, &mut parameters)
    }

    /// Makes the device appear. All requests must have been
    /// [fetched](Queue::start), and have to be served meanwhile.
    pub fn start(&self, device: u32) -> io::Result<()> {
        self.run(abi::START_DEVICE, device, std::process::id().into())
    }

    /// Changes its size. Linux 6.16.
    pub fn resize(&self, device: u32, bytes: u64) -> io::Result<()> {
        self.run(abi::UPDATE_SIZE, device, bytes >> 9)
    }

    /// Makes the device vanish. Its requests are served to the end, and fetched
    /// no more.
    pub fn stop(&self, device: u32) -> io::Result<()> {
        self.run(abi::STOP_DEVICE, device, 0)
    }

    /// Gives the number back, as soon as nobody has the device or `/dev/ublkcN`
    /// open. Linux 6.9.
    pub fn delete(&self, device: u32) -> io::Result<()> {
        self.run(abi::DELETE_DEVICE_LATER, device, 0)
    }

    fn run(&self, number: u32, device: u32, data: u64) -> io::Result<()> {
        let command = ControlCommand {
            device,
            queue: abi::NO_QUEUE,
            data,
            ..ControlCommand::new_zeroed()
        };
        // SAFETY: the command has no address.
        unsafe { self.submit(number, &command) }
    }

    fn run_with<T>(&self, number: u32, device: u32, argument: &mut T) -> io::Result<()> {
        let command = ControlCommand {
            device,
            queue: abi::NO_QUEUE,
            length: size_of::<T>() as u16,
            address: (&raw mut *argument).addr() as u64,
            ..ControlCommand::new_zeroed()
        };
        // SAFETY: the commands that have an argument read and write a `T`, whose
        // length they are told, until they are answered; it lives until then.
        unsafe { self.submit(number, &command) }
    }

    /// Submits a command and waits for its answer.
    ///
    /// # Safety
    ///
    /// The command's address, if it has one, is good until this returns.
    unsafe fn submit(&self, number: u32, command: &ControlCommand) -> io::Result<()> {
        let mut bytes = [0; 80];
        bytes[..size_of::<ControlCommand>()].copy_from_slice(command.as_bytes());
        let file = types::Fd(self.0.as_raw_fd());
        let entry = opcode::UringCmd80::new(file, number).cmd(bytes).build();
        let mut ring = IoUring::<squeue::Entry128, cqueue::Entry>::builder().build(1)?;
        // SAFETY: the file is open while the ring exists. What the command refers
        // to is good until this returns, and until then it has been answered, or
        // was never submitted.
        unsafe { ring.submission().push(&entry) }.map_err(io::Error::other)?;
        loop {
            let waited = ring.submit_and_wait(1);
            if let Some(answer) = ring.completion().next() {
                return check(answer.result());
            }
            match waited {
                Err(error) if !ring.submission().is_empty() && !is_passing(&error) => {
                    return Err(error);
                }
                _ => {}
            }
        }
    }
}

/// Whether a signal has come, or the kernel is short of something.
fn is_passing(error: &io::Error) -> bool {
    let passing = [libc::EINTR, libc::EAGAIN, libc::EBUSY];
    error
        .raw_os_error()
        .is_some_and(|number| passing.contains(&number))
}

/// The requests of a device, for the one thread that has fetched them.
pub struct Queue {
    ring: IoUring,
    device: Arc<File>,
    descriptors: Descriptors,
    wake: Arc<OwnedFd>,
    /// Requests that will yet be answered, or refused for good.
    fetched: u16,
}

/// Wakes the thread that waits for requests.
#[derive(Debug, Clone)]
pub struct Waker(Arc<OwnedFd>);

/// What tells a wake-up from a request.
const WAKE: u64 = u64::MAX;

impl Queue {
    /// Prepares to fetch requests of a device, whose file `/dev/ublkcN` it is.
    pub fn new(device: Arc<File>) -> io::Result<Self> {
        Ok(Self {
            ring: IoUring::new(2 * u32::from(DEPTH))?,
            descriptors: Descriptors::map(device.as_fd())?,
            device,
            wake: Arc::new(rustix::event::eventfd(
                0,
                EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK,
            )?),
            fetched: 0,
        })
    }

    /// What wakes the thread that [waits](Self::wait).
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// Fetches requests, as many as there may be. From now on this thread alone
    /// may use the queue.
    pub fn start(&mut self) -> io::Result<()> {
        for tag in 0..DEPTH {
            self.push(abi::FETCH, tag, -1)?;
        }
        self.await_wake()?;
        self.ring.submit()?;
        self.fetched = DEPTH;
        Ok(())
    }

    /// Waits, and hands over the requests that there are; none if it was woken.
    /// False when there will be none any more.
    pub fn wait(&mut self, mut request: impl FnMut(Request)) -> io::Result<bool> {
        match self.ring.submit_and_wait(1) {
            Err(error) if !is_passing(&error) => return Err(error),
            _ => {}
        }
        let answers: Vec<_> = self.ring.completion().collect();
        for answer in answers {
            match (answer.user_data(), answer.result()) {
                (WAKE, _) => {
                    // Several wake-ups are one, and none is no error.
                    _ = rustix::io::read(&*self.wake, &mut [0; 8]);
                    self.await_wake()?;
                }
                (tag, 0) => request(self.descriptors.request(tag as u16)),
                // The device was stopped.
                _ => self.fetched -= 1,
            }
        }
        Ok(self.fetched > 0)
    }

    /// Says what became of a request, and fetches the next of that tag: how many
    /// bytes were read or written, or a negative error number.
    pub fn commit(&mut self, tag: u16, result: i32) -> io::Result<()> {
        self.push(abi::COMMIT_AND_FETCH, tag, result)
    }

    fn push(&mut self, number: u32, tag: u16, result: i32) -> io::Result<()> {
        let command = QueueCommand {
            tag,
            result,
            ..QueueCommand::new_zeroed()
        };
        let file = types::Fd(self.device.as_raw_fd());
        let entry = opcode::UringCmd16::new(file, number)
            .cmd(zerocopy::transmute!(command))
            .build()
            .user_data(tag.into());
        self.submit_later(&entry)
    }

    fn await_wake(&mut self) -> io::Result<()> {
        let file = types::Fd(self.wake.as_raw_fd());
        let entry = opcode::PollAdd::new(file, libc::POLLIN as u32)
            .build()
            .user_data(WAKE);
        self.submit_later(&entry)
    }

    fn submit_later(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: no entry refers to memory, and the files are open for as long
        // as the ring exists.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Waker {
    /// Wakes the thread, now or when it waits the next time.
    pub fn wake(&self) {
        // It fails only when there are 2^64 of them.
        _ = rustix::io::write(&*self.0, &1u64.to_ne_bytes());
    }
}

/// Fetches the bytes that a request is to write.
pub fn copy_from(device: &File, tag: u16, buffer: &mut [u8]) -> io::Result<()> {
    device.read_exact_at(buffer, abi::buffer_offset(tag))
}

/// Hands the bytes over that a request was to read.
pub fn copy_to(device: &File, tag: u16, bytes: &[u8]) -> io::Result<()> {
    device.write_all_at(bytes, abi::buffer_offset(tag))
}

/// What requests are about, in memory that the kernel writes.
struct Descriptors {
    start: NonNull<Descriptor>,
    bytes: usize,
}

// SAFETY: the memory belongs to no thread; it is read alone.
unsafe impl Send for Descriptors {}

impl Descriptors {
    fn map(device: BorrowedFd<'_>) -> io::Result<Self> {
        let bytes = size_of::<Descriptor>() * usize::from(DEPTH);
        let bytes = bytes.next_multiple_of(rustix::param::page_size());
        // SAFETY: new memory is mapped, which nothing refers to yet.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                device.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, bytes })
    }

    /// The request of that tag, which was just fetched.
    fn request(&self, tag: u16) -> Request {
        let tag = tag % DEPTH;
        // SAFETY: there are as many descriptors as tags, and the kernel does not
        // write this one before the request is committed.
        let descriptor = unsafe { self.start.add(tag.into()).read_volatile() };
        abi::request(tag, descriptor)
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing refers to it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

fn check(result: i32) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}
