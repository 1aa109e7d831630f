//! Block volumes to publish.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Signal, getpid, kill_process};
use tempfile::TempDir;
use transom_block::FileVolume;
use transom_module::{BlockVolume, Geometry, Result};

/// A sparse file of the host.
pub(crate) struct HostFile {
    directory: TempDir,
}

impl HostFile {
    pub(crate) fn new(bytes: u64) -> Self {
        let directory = transom_test::temp_dir().unwrap();
        let file = Self { directory };
        File::create(file.path()).unwrap().set_len(bytes).unwrap();
        file
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    pub(crate) fn volume(&self) -> Arc<FileVolume> {
        Arc::new(volume_of(&self.path()))
    }

    /// The space that it takes, in bytes.
    pub(crate) fn space(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        self.path().metadata().unwrap().blocks() * 512
    }

    pub(crate) fn resize(&self, bytes: u64) {
        let file = File::options().write(true).open(self.path()).unwrap();
        file.set_len(bytes).unwrap();
    }
}

pub(crate) fn volume_of(path: &Path) -> FileVolume {
    let file = File::options().read(true).write(true).open(path).unwrap();
    FileVolume::new(std::os::fd::OwnedFd::from(file)).unwrap()
}

/// A volume that keeps what is written in memory until it is flushed: what it
/// has not been told to flush is lost with its process.
pub(crate) struct Unflushed {
    file: File,
    bytes: u64,
    written: Mutex<BTreeMap<u64, [u8; BLOCK]>>,
}

const BLOCK: usize = 512;

impl Unflushed {
    pub(crate) fn new(path: &Path) -> Self {
        let file = File::options().read(true).write(true).open(path).unwrap();
        Self {
            bytes: file.metadata().unwrap().len(),
            file,
            written: Mutex::default(),
        }
    }
}

impl BlockVolume for Unflushed {
    fn geometry(&self) -> Geometry {
        Geometry {
            bytes: self.bytes,
            block_bytes: BLOCK as u32,
            preferred_bytes: 4096,
            read_only: false,
            discards: false,
        }
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let written = self.written.lock().unwrap();
        self.file.read_exact_at(buffer, offset).unwrap();
        for (index, block) in buffer.chunks_mut(BLOCK).enumerate() {
            if let Some(newer) = written.get(&(offset + (index * BLOCK) as u64)) {
                block.copy_from_slice(newer);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut written = self.written.lock().unwrap();
        for (index, block) in data.chunks(BLOCK).enumerate() {
            written.insert(offset + (index * BLOCK) as u64, block.try_into().unwrap());
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        let mut written = self.written.lock().unwrap();
        for (offset, block) in std::mem::take(&mut *written) {
            self.file.write_all_at(&block, offset).unwrap();
        }
        Ok(())
    }
}

/// A volume whose reads beyond the middle do not return before it is told so.
pub(crate) struct Slow<V> {
    pub(crate) inner: V,
    pub(crate) gate: Gate,
}

/// Something to wait at.
#[derive(Default)]
pub(crate) struct Gate {
    open: Mutex<bool>,
    opened: std::sync::Condvar,
}

impl Gate {
    pub(crate) fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }
}

impl<V: BlockVolume> BlockVolume for Slow<V> {
    fn geometry(&self) -> Geometry {
        self.inner.geometry()
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        if offset >= self.geometry().bytes / 2 {
            self.gate.pass();
        }
        self.inner.read(offset, buffer)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.inner.write(offset, data)
    }

    fn flush(&self) -> Result<()> {
        self.inner.flush()
    }
}

/// A volume that is the end of its process when the kernel asks for its size,
/// as it does of one that is being published.
#[derive(Default)]
pub(crate) struct Fatal(AtomicBool);

impl BlockVolume for Fatal {
    fn geometry(&self) -> Geometry {
        if self.0.swap(true, Ordering::Relaxed) {
            kill_process(getpid(), Signal::KILL).unwrap();
            std::thread::sleep(4 * crate::PATIENCE);
        }
        Geometry {
            bytes: 1 << 20,
            block_bytes: BLOCK as u32,
            preferred_bytes: 4096,
            read_only: false,
            discards: false,
        }
    }

    fn read(&self, _: u64, _: &mut [u8]) -> Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> Result<()> {
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}
