//! Block volumes as ublk devices: `/dev/ublkbN`.
//!
//! One thread fetches requests and says what became of them, since the kernel
//! takes both from the same thread only. Others do what is asked for, so that
//! none waits for another, and copy its bytes.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags};
use transom_module::{BlockVolume, Errno, Error, Geometry, Result, write_zeroes_as_data};
use transom_sys::io_flusher::starting_io_flushers;
use transom_sys::ublk::{self, Control, Description, Operation, Queue, Request};

use crate::caught::caught;
use crate::jobs::{Jobs, REQUEST_BYTES_MAX, REQUESTS_MAX};
use crate::{Withdrawal, extent};

// Otherwise the thread that fetches requests would wait for those that do them.
const _: () = assert!(
    ublk::DEPTH as usize <= REQUESTS_MAX
        && ublk::DEPTH as usize * ublk::REQUEST_BYTES_MAX as usize <= REQUEST_BYTES_MAX
);

/// A block volume as a ublk device. Dropping it makes the device vanish.
pub struct UblkDevice {
    control: Control,
    number: u32,
    path: PathBuf,
    volume: Arc<dyn BlockVolume>,
    /// `None` when it was withdrawn.
    serving: Mutex<Option<Serving>>,
}

/// The thread that fetches requests, if it was started.
#[derive(Default)]
struct Serving(Option<JoinHandle<()>>);

/// Publishes a block volume through ublk. Needs to be root, and Linux 6.9 with
/// the module `ublk_drv`; `EOPNOTSUPP` where that is missing.
pub fn publish_ublk(volume: Arc<dyn BlockVolume>) -> Result<UblkDevice> {
    let geometry = volume.geometry();
    if !extent::is_block_size(geometry.block_bytes) {
        let message = format!(
            "a ublk device cannot have blocks of {} bytes",
            geometry.block_bytes
        );
        return Err(Error::new(Errno::EINVAL, message));
    }
    let control = Control::open().map_err(unavailable)?;
    let number = control.add().map_err(unavailable)?;
    // From now on it is taken back by `Drop`.
    let device = UblkDevice {
        control,
        number,
        path: format!("/dev/ublkb{number}").into(),
        volume,
        serving: Mutex::new(Some(Serving::default())),
    };
    device.start(&geometry).map_err(|error| {
        let message = format!("ublk: cannot start {}", device.path.display());
        Error::from_host(error, message)
    })?;
    Ok(device)
}

impl UblkDevice {
    /// Where the device is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the device the size that the volume has now. `EOPNOTSUPP` before
    /// Linux 6.16.
    pub fn resize(&self) -> Result<()> {
        let bytes = self.volume.geometry().bytes;
        let resized = self.control.resize(self.number, bytes);
        resized.map_err(|error| Error::from_host(error, "ublk: cannot change the size"))
    }

    /// Makes the device vanish. `EBUSY` while it is mounted, or somebody else
    /// uses it exclusively; who merely has it open meets errors. `ENXIO` if it
    /// was withdrawn already.
    pub fn withdraw(&self, how: Withdrawal) -> Result<()> {
        if how == Withdrawal::IfUnused {
            let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
            let opened = rustix::fs::open(&self.path, flags, Mode::empty());
            // What else may be wrong with it is no reason to keep it.
            if opened.is_err_and(|error| error == rustix::io::Errno::BUSY) {
                let message = format!("{} is in use", self.path.display());
                return Err(Error::new(Errno::EBUSY, message));
            }
        }
        self.vanish()
    }

    fn start(&self, geometry: &Geometry) -> io::Result<()> {
        let description = Description {
            bytes: geometry.bytes,
            block_bytes: geometry.block_bytes,
            preferred_bytes: geometry.preferred_bytes,
            read_only: geometry.read_only,
            discards: geometry.discards,
        };
        self.control.describe(self.number, &description)?;
        let file = format!("/dev/ublkc{}", self.number);
        let file = Arc::new(File::options().read(true).write(true).open(file)?);
        let (fetching, fetched) = mpsc::channel();
        let volume = Arc::clone(&self.volume);
        let server = thread::Builder::new().name("ublk".into());
        let server = starting_io_flushers(|| {
            server.spawn(move || match Queue::new(Arc::clone(&file)) {
                Ok(queue) => serve(queue, &file, &*volume, &fetching),
                Err(error) => _ = fetching.send(Err(error)),
            })
        })?;
        *lock(&self.serving) = Some(Serving(Some(server)));
        // The kernel would wait for ever for requests to be fetched.
        fetched.recv().unwrap_or(Err(io::ErrorKind::Other.into()))?;
        self.control.start(self.number)
    }

    fn vanish(&self) -> Result<()> {
        let Serving(server) = lock(&self.serving).take().ok_or(Errno::ENXIO)?;
        let stopped = self.control.stop(self.number);
        if let (Ok(()), Some(server)) = (&stopped, server) {
            // Its panic would be told already.
            _ = server.join();
        }
        stopped
            .and_then(|()| self.control.delete(self.number))
            .map_err(|error| Error::from_host(error, "ublk: cannot withdraw a device"))
    }
}

impl Drop for UblkDevice {
    fn drop(&mut self) {
        match self.vanish() {
            Err(error) if error.is_notable() => {
                tracing::warn!(%error, "a ublk device stays: {}", self.path.display());
            }
            _ => {}
        }
    }
}

impl fmt::Debug for UblkDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UblkDevice")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Serves a device until it is stopped.
fn serve(
    mut queue: Queue,
    file: &File,
    volume: &dyn BlockVolume,
    fetching: &mpsc::Sender<io::Result<()>>,
) {
    let done = Mutex::new(Vec::new());
    let waker = queue.waker();
    let work = |request: Request| {
        let result = match caught(|| perform(volume, file, &request)) {
            Ok(()) => i32::try_from(request.bytes).unwrap_or(0),
            Err(errno) => -errno.raw(),
        };
        lock(&done).push((request.tag, result));
        waker.wake();
    };
    Jobs::run(work, |give| {
        let started = queue.start();
        let failed = started.is_err();
        _ = fetching.send(started);
        if failed {
            return;
        }
        loop {
            let next = queue.wait(|request| give(request, memory_bytes(&request)));
            // Outside of the lock: to commit may take a while.
            let committed = std::mem::take(&mut *lock(&done));
            let committed = committed
                .into_iter()
                .try_for_each(|(tag, result)| queue.commit(tag, result));
            match next.and_then(|more| committed.map(|()| more)) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "a ublk device is served no more");
                    return;
                }
            }
        }
    });
}

fn memory_bytes(request: &Request) -> usize {
    match request.operation {
        Operation::Read | Operation::Write => request.bytes as usize,
        _ => 0,
    }
}

fn perform(volume: &dyn BlockVolume, file: &File, request: &Request) -> Result<()> {
    let Request { tag, offset, .. } = *request;
    if request.operation == Operation::Flush {
        // What it says of a part means nothing.
        return volume.flush();
    }
    let range = extent::part(&volume.geometry(), offset, request.bytes).map_err(Errno::from)?;
    let copied = |error| Error::from_host(error, "ublk: cannot copy the bytes of a request");
    match request.operation {
        Operation::Read => {
            let mut bytes = vec![0; memory_bytes(request)];
            volume.read(offset, &mut bytes)?;
            ublk::copy_to(file, tag, &bytes).map_err(copied)
        }
        Operation::Write => {
            let mut bytes = vec![0; memory_bytes(request)];
            ublk::copy_from(file, tag, &mut bytes).map_err(copied)?;
            volume.write(offset, &bytes)
        }
        Operation::Discard => volume.discard(range),
        Operation::WriteZeroes { keep_space: true } => write_zeroes_as_data(volume, range),
        Operation::WriteZeroes { .. } => volume.write_zeroes(range),
        Operation::Flush | Operation::Other => Err(Errno::EOPNOTSUPP.into()),
    }
}

fn unavailable(error: io::Error) -> Error {
    let message = match error.kind() {
        io::ErrorKind::NotFound => format!(
            "ublk: the kernel has no {} (it comes with the module ublk_drv; Linux 6.9 is needed)",
            ublk::CONTROL
        ),
        io::ErrorKind::Unsupported => {
            "ublk: the kernel cannot copy for its server (Linux 6.9 is needed)".into()
        }
        _ => return Error::from_host(error, "ublk: cannot add a device"),
    };
    Error::new(Errno::EOPNOTSUPP, message)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
