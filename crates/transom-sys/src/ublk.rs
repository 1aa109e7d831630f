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
//! Source of facts: `<linux/ublk_cmd.h>`, and `Documentation/block/ublk.rst` of
//! the kernel.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::ptr::NonNull;
use std::sync::Arc;

use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::event::EventfdFlags;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// The device that manages the others.
pub const CONTROL: &str = "/dev/ublk-control";
/// Requests of a device that are under way at a time.
pub const DEPTH: u16 = 16;
/// The most bytes of one request.
pub const REQUEST_BYTES_MAX: u32 = 1 << 20;

const fn command(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (b'u' as u32) << 8 | number
}

const fn control(direction: u32, number: u32) -> u32 {
    command(direction, number, size_of::<ControlCommand>())
}

const ADD_DEVICE: u32 = control(3, 0x04);
const START_DEVICE: u32 = control(3, 0x06);
const STOP_DEVICE: u32 = control(3, 0x07);
const SET_PARAMETERS: u32 = control(3, 0x08);
const DELETE_DEVICE_LATER: u32 = control(2, 0x14);
const UPDATE_SIZE: u32 = control(3, 0x15);
const FETCH: u32 = command(3, 0x20, size_of::<QueueCommand>());
const COMMIT_AND_FETCH: u32 = command(3, 0x21, size_of::<QueueCommand>());

const FLAG_USER_COPY: u64 = 1 << 7;
const ANY_DEVICE: u32 = u32::MAX;
const NO_QUEUE: u16 = u16::MAX;

/// Where the bytes of requests begin in the device file.
const BUFFERS_OFFSET: u64 = 0x8000_0000;
const BUFFER_BITS: u32 = 25;

/// `struct ublksrv_ctrl_cmd`
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct ControlCommand {
    device: u32,
    queue: u16,
    length: u16,
    address: u64,
    data: u64,
    path_length: u16,
    padding: u16,
    reserved: u32,
}

/// `struct ublksrv_ctrl_dev_info`
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
struct DeviceInfo {
    queues: u16,
    depth: u16,
    state: u16,
    padding: u16,
    request_bytes_max: u32,
    device: u32,
    server: i32,
    padding_1: u32,
    flags: u64,
    server_flags: u64,
    owner_uid: u32,
    owner_gid: u32,
    reserved: [u64; 2],
}

/// `struct ublk_params`, as far as it is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromZeros)]
#[repr(C)]
struct Parameters {
    length: u32,
    types: u32,
    attributes: u32,
    logical_shift: u8,
    physical_shift: u8,
    optimal_shift: u8,
    minimal_shift: u8,
    sectors_max: u32,
    chunk_sectors: u32,
    sectors: u64,
    virtual_boundary: u64,
    discard_alignment: u32,
    discard_granularity: u32,
    discard_sectors_max: u32,
    write_zeroes_sectors_max: u32,
    discard_segments_max: u16,
    reserved: u16,
    padding: u32,
}

/// `struct ublksrv_io_cmd`
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
struct QueueCommand {
    queue: u16,
    tag: u16,
    result: i32,
    address: u64,
}

/// `struct ublksrv_io_desc`
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
struct Descriptor {
    operation_and_flags: u32,
    sectors: u32,
    first_sector: u64,
    address: u64,
}

const _: () = assert!(
    size_of::<ControlCommand>() == 32
        && size_of::<DeviceInfo>() == 64
        && size_of::<Parameters>() == 64
        && size_of::<QueueCommand>() == 16
        && size_of::<Descriptor>() == 24
);

/// What a device is like.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Its size in bytes.
    pub bytes: u64,
    /// The smallest unit, in bytes: a power of 2, at most a page.
    pub block_bytes: u32,
    /// The preferred unit, in bytes: a power of 2. More than a page is a page.
    pub preferred_bytes: u32,
    /// It cannot be written.
    pub read_only: bool,
    /// It takes [`Operation::Discard`].
    pub discards: bool,
}

/// What a request is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read bytes: [`copy_to`] hands them over.
    Read,
    /// Write bytes: [`copy_from`] fetches them.
    Write,
    /// Make what was written durable.
    Flush,
    /// The content is not needed any more.
    Discard,
    /// Make the content zeroes.
    WriteZeroes {
        /// They are to take up space.
        keep_space: bool,
    },
    /// Something that was not offered.
    Other,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What tells it from the others that are under way.
    pub tag: u16,
    /// What to do.
    pub operation: Operation,
    /// Where, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub bytes: u64,
}

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
        info.device = ANY_DEVICE;
        info.flags = FLAG_USER_COPY;
        self.run_with(ADD_DEVICE, ANY_DEVICE, &mut info)?;
        if info.flags & FLAG_USER_COPY == 0 {
            self.delete(info.device)?;
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(info.device)
    }

    /// Says what the device is like, before it is started.
    pub fn describe(&self, device: u32, description: &Description) -> io::Result<()> {
        let mut parameters = parameters(description);
        self.run_with(SET_PARAMETERS, device, &mut parameters)
    }

    /// Makes the device appear. All requests must have been
    /// [fetched](Queue::start), and have to be served meanwhile.
    pub fn start(&self, device: u32) -> io::Result<()> {
        self.run(START_DEVICE, device, std::process::id().into())
    }

    /// Changes its size. Linux 6.16.
    pub fn resize(&self, device: u32, bytes: u64) -> io::Result<()> {
        self.run(UPDATE_SIZE, device, bytes >> 9)
    }

    /// Makes the device vanish. Its requests are served to the end, and fetched
    /// no more.
    pub fn stop(&self, device: u32) -> io::Result<()> {
        self.run(STOP_DEVICE, device, 0)
    }

    /// Gives the number back, as soon as nobody has the device or `/dev/ublkcN`
    /// open. Linux 6.9.
    pub fn delete(&self, device: u32) -> io::Result<()> {
        self.run(DELETE_DEVICE_LATER, device, 0)
    }

    fn run(&self, number: u32, device: u32, data: u64) -> io::Result<()> {
        let command = ControlCommand {
            device,
            queue: NO_QUEUE,
            data,
            ..ControlCommand::new_zeroed()
        };
        // SAFETY: the command has no address.
        unsafe { self.submit(number, &command) }
    }

    fn run_with<T>(&self, number: u32, device: u32, argument: &mut T) -> io::Result<()> {
        let command = ControlCommand {
            device,
            queue: NO_QUEUE,
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
            self.push(FETCH, tag, -1)?;
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
        self.push(COMMIT_AND_FETCH, tag, result)
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
    device.read_exact_at(buffer, buffer_offset(tag))
}

/// Hands the bytes over that a request was to read.
pub fn copy_to(device: &File, tag: u16, bytes: &[u8]) -> io::Result<()> {
    device.write_all_at(bytes, buffer_offset(tag))
}

fn buffer_offset(tag: u16) -> u64 {
    BUFFERS_OFFSET + (u64::from(tag) << BUFFER_BITS)
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
        request(tag, descriptor)
    }
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nothing refers to it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

fn request(tag: u16, descriptor: Descriptor) -> Request {
    const FLAG_NO_UNMAP: u32 = 1 << 15;
    let said = descriptor.operation_and_flags;
    Request {
        tag,
        operation: match said & 0xff {
            0 => Operation::Read,
            1 => Operation::Write,
            2 => Operation::Flush,
            3 => Operation::Discard,
            5 => Operation::WriteZeroes {
                keep_space: said & FLAG_NO_UNMAP != 0,
            },
            _ => Operation::Other,
        },
        offset: descriptor.first_sector << 9,
        bytes: u64::from(descriptor.sectors) << 9,
    }
}

fn parameters(description: &Description) -> Parameters {
    const TYPE_BASIC: u32 = 1;
    const TYPE_DISCARD: u32 = 2;
    const READ_ONLY: u32 = 1;
    const VOLATILE_CACHE: u32 = 1 << 2;
    /// 2 GiB
    const SECTORS_MAX: u32 = 1 << 22;
    let page = rustix::param::page_size() as u32;
    let block = description.block_bytes;
    let preferred = description.preferred_bytes.clamp(block, page.max(block));
    let mut parameters = Parameters::new_zeroed();
    parameters.length = size_of::<Parameters>() as u32;
    parameters.types = TYPE_BASIC;
    parameters.attributes = VOLATILE_CACHE;
    parameters.logical_shift = block.ilog2() as u8;
    parameters.physical_shift = preferred.ilog2() as u8;
    parameters.optimal_shift = parameters.physical_shift;
    parameters.minimal_shift = parameters.physical_shift;
    parameters.sectors_max = REQUEST_BYTES_MAX >> 9;
    parameters.sectors = description.bytes >> 9;
    if description.read_only {
        parameters.attributes |= READ_ONLY;
        return parameters;
    }
    parameters.types |= TYPE_DISCARD;
    parameters.discard_granularity = preferred;
    parameters.write_zeroes_sectors_max = SECTORS_MAX;
    if description.discards {
        parameters.discard_sectors_max = SECTORS_MAX;
        parameters.discard_segments_max = 1;
    }
    parameters
}

fn check(result: i32) -> io::Result<()> {
    match result {
        0.. => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Description = Description {
        bytes: 1 << 30,
        block_bytes: 512,
        preferred_bytes: 4096,
        read_only: false,
        discards: true,
    };

    /// As `<linux/ublk_cmd.h>` has them, by way of a C compiler.
    #[test]
    fn commands_have_the_numbers_of_the_kernel() {
        assert_eq!(ADD_DEVICE, 0xc020_7504);
        assert_eq!(DELETE_DEVICE_LATER, 0x8020_7514);
        assert_eq!(START_DEVICE, 0xc020_7506);
        assert_eq!(STOP_DEVICE, 0xc020_7507);
        assert_eq!(SET_PARAMETERS, 0xc020_7508);
        assert_eq!(UPDATE_SIZE, 0xc020_7515);
        assert_eq!(FETCH, 0xc010_7520);
        assert_eq!(COMMIT_AND_FETCH, 0xc010_7521);
        assert_eq!(buffer_offset(0), 0x8000_0000);
        assert_eq!(buffer_offset(3), 0x8000_0000 + 3 * (32 << 20));
    }

    #[test]
    fn a_device_is_described_in_sectors_and_powers_of_2() {
        let described = parameters(&DISK);
        assert_eq!((described.length, described.types), (64, 3));
        assert_eq!(described.attributes, 4, "what is written has to be flushed");
        assert_eq!((described.logical_shift, described.physical_shift), (9, 12));
        assert_eq!((described.sectors, described.sectors_max), (2 << 20, 2048));
        assert_eq!(described.discard_segments_max, 1);
        let read_only = parameters(&Description {
            read_only: true,
            ..DISK
        });
        assert_eq!((read_only.types, read_only.attributes), (1, 5));
        let rigid = parameters(&Description {
            preferred_bytes: 1 << 20,
            discards: false,
            ..DISK
        });
        assert_eq!(
            (rigid.discard_sectors_max, rigid.discard_segments_max),
            (0, 0)
        );
        assert_eq!(rigid.physical_shift, 12, "no more than a page");
    }

    #[test]
    fn requests_are_read_from_what_the_kernel_writes() {
        let descriptor = |operation_and_flags| Descriptor {
            operation_and_flags,
            sectors: 8,
            first_sector: 100,
            address: 0,
        };
        let read = request(3, descriptor(1 << 8));
        let expected = Request {
            tag: 3,
            operation: Operation::Read,
            offset: 51200,
            bytes: 4096,
        };
        assert_eq!(read, expected);
        let operation = |said| request(0, descriptor(said)).operation;
        assert_eq!(operation(2), Operation::Flush);
        assert_eq!(operation(3), Operation::Discard);
        assert_eq!(operation(4), Operation::Other);
        let zeroes = |keep_space| Operation::WriteZeroes { keep_space };
        assert_eq!(operation(5), zeroes(false));
        assert_eq!(operation(1 << 15 | 5), zeroes(true));
    }
}
