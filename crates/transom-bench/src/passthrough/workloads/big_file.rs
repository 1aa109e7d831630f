use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Result;
use rustix::fs::{Advice, fadvise};

use crate::passthrough::workload::{Scale, Workload};

/// One big file that is read or written, by one thread that waits for each
/// block.
#[derive(Debug)]
pub(crate) struct BigFile {
    action: Action,
    access: Access,
    /// Of the file.
    bytes: u64,
    /// Where each block begins.
    offsets: Vec<u64>,
    buffer: Box<Buffer>,
}

/// In which order, and in blocks of which size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// All of the file, in large blocks.
    Sequential,
    /// Some small blocks of it.
    Random,
}

/// Where the pages of the file are when reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// In the host's cache. The mount has not seen the file yet.
    OfHost,
    /// Wherever reading the same through the same mount has left them.
    OfMount,
    /// Not in memory.
    Nowhere,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Read(Pages),
    Write,
}

const NAME: &str = "big";
const MEBIBYTES: u32 = 512;
const LARGE_BLOCK: usize = 1 << 20;
const SMALL_BLOCK: usize = 4096;
const SMALL_BLOCKS: u32 = 16_384;

/// Aligned to pages: to an unaligned one the kernel copies so slowly that
/// every file system looks as good as the best.
#[derive(Debug)]
#[repr(align(4096))]
struct Buffer([u8; LARGE_BLOCK]);

impl BigFile {
    pub(crate) fn to_read(
        backing: &Path,
        scale: Scale,
        access: Access,
        pages: Pages,
    ) -> Result<Box<dyn Workload>> {
        let mut file = Self::new(scale, access, Action::Read(pages));
        file.fill(backing)?;
        Ok(Box::new(file))
    }

    /// Sequentially, a new file is written; at random, one that is there.
    pub(crate) fn to_write(
        backing: &Path,
        scale: Scale,
        access: Access,
    ) -> Result<Box<dyn Workload>> {
        let mut file = Self::new(scale, access, Action::Write);
        if access == Access::Random {
            file.fill(backing)?;
        }
        Ok(Box::new(file))
    }

    fn new(scale: Scale, access: Access, action: Action) -> Self {
        let bytes = u64::from(scale.of(MEBIBYTES)) << 20;
        let offsets = match access {
            Access::Sequential => (0..bytes).step_by(LARGE_BLOCK).collect(),
            Access::Random => {
                let blocks = bytes / SMALL_BLOCK as u64;
                let random = random_numbers().map(|number| number % blocks * SMALL_BLOCK as u64);
                random.take(scale.of(SMALL_BLOCKS) as usize).collect()
            }
        };
        Self {
            action,
            access,
            bytes,
            offsets,
            buffer: Box::new(Buffer([0; LARGE_BLOCK])),
        }
    }

    /// Each page begins with its number.
    fn fill(&mut self, backing: &Path) -> Result<()> {
        let file = File::create(backing.join(NAME))?;
        for offset in (0..self.bytes).step_by(LARGE_BLOCK) {
            for (page, number) in self.buffer.0.chunks_mut(SMALL_BLOCK).zip(offset >> 12..) {
                page[..8].copy_from_slice(&number.to_le_bytes());
            }
            file.write_all_at(&self.buffer.0, offset)?;
        }
        Ok(file.sync_all()?)
    }

    fn block(&self) -> usize {
        match self.access {
            Access::Sequential => LARGE_BLOCK,
            Access::Random => SMALL_BLOCK,
        }
    }

    fn read(&mut self, root: &Path) -> Result<u64> {
        let file = File::open(root.join(NAME))?;
        let block = self.block();
        let mut sum = 0_u64;
        for offset in &self.offsets {
            let buffer = &mut self.buffer.0[..block];
            file.read_exact_at(buffer, *offset)?;
            sum = sum.wrapping_mul(31).wrapping_add(first_word(buffer));
        }
        Ok(sum)
    }

    fn write(&mut self, root: &Path) -> Result<u64> {
        let mut options = OpenOptions::new();
        let file = match self.access {
            Access::Sequential => options.write(true).create_new(true).open(root.join(NAME))?,
            Access::Random => options.write(true).open(root.join(NAME))?,
        };
        let block = self.block();
        for offset in &self.offsets {
            self.buffer.0[..8].copy_from_slice(&offset.to_le_bytes());
            file.write_all_at(&self.buffer.0[..block], *offset)?;
        }
        Ok(self.offsets.len() as u64)
    }
}

impl Workload for BigFile {
    fn about(&self) -> String {
        let mebibytes = self.bytes >> 20;
        let count = self.offsets.len();
        let what = match (self.action, self.access) {
            (Action::Read(_), Access::Sequential) => {
                format!("a file of {mebibytes} MiB is opened and read in blocks of 1 MiB")
            }
            (Action::Read(_), Access::Random) => format!(
                "a file of {mebibytes} MiB is opened, and {count} blocks of 4 KiB at random \
                 places read"
            ),
            (Action::Write, Access::Sequential) => format!(
                "a file of {mebibytes} MiB is created, written in blocks of 1 MiB and closed; no \
                 fsync"
            ),
            (Action::Write, Access::Random) => format!(
                "a file of {mebibytes} MiB that is in the host's cache is opened, {count} blocks \
                 of 4 KiB at random places overwritten, and closed; no fsync"
            ),
        };
        let pages = match self.action {
            Action::Read(Pages::OfHost) => "; it is in the host's cache",
            Action::Read(Pages::OfMount) => "; the same was read through this mount before",
            Action::Read(Pages::Nowhere) => "; it is not in the file system's cache",
            Action::Write => "",
        };
        what + pages
    }

    fn prepare(&mut self, backing: &Path) -> Result<()> {
        let path = backing.join(NAME);
        match (self.action, self.access) {
            (Action::Read(Pages::Nowhere), _) => {
                let file = File::open(path)?;
                file.sync_all()?;
                fadvise(&file, 0, None, Advice::DontNeed)?;
            }
            (Action::Read(_), _) => {
                self.read(backing)?;
            }
            (Action::Write, Access::Random) => {}
            (Action::Write, Access::Sequential) => {
                if path.exists() {
                    fs::remove_file(path)?;
                }
            }
        }
        Ok(())
    }

    fn warm_up(&mut self, root: &Path) -> Result<()> {
        if self.action == Action::Read(Pages::OfMount) {
            self.read(root)?;
        }
        Ok(())
    }

    fn run(&mut self, root: &Path) -> Result<u64> {
        match self.action {
            Action::Read(_) => self.read(root),
            Action::Write => self.write(root),
        }
    }

    fn examine(&mut self, backing: &Path) -> Result<u64> {
        match self.action {
            Action::Read(_) => Ok(0),
            Action::Write => self.read(backing),
        }
    }
}

fn first_word(block: &[u8]) -> u64 {
    block[..8]
        .iter()
        .rev()
        .fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Always the same ones: a linear congruential generator, whose upper bits are
/// the better ones.
fn random_numbers() -> impl Iterator<Item = u64> {
    const FACTOR: u64 = 6_364_136_223_846_793_005;
    const STEP: u64 = 1_442_695_040_888_963_407;
    let next = |state: &u64| Some(state.wrapping_mul(FACTOR).wrapping_add(STEP));
    std::iter::successors(Some(1), next)
        .skip(1)
        .map(|state| state >> 33)
}
