//! The patrol: reads every block of every member while everything is in use, so
//! that what has become unreadable is known before it is needed.
//!
//! It reads past the page cache, which would answer for blocks that the medium
//! has lost, and which is for what users read.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::OFlags;
use transom_module::{Outcome, Stop, Task};

use crate::container::Concat;
use crate::layout::BLOCK_BYTES;
use crate::member::Member;

/// What this work is called.
pub(crate) const KIND: &str = "patrol";

/// How much is read at once: some milliseconds of a slow disk.
const STEP_BYTES: u64 = 1 << 20;
/// How often the position is saved, in bytes.
const SAVED_BYTES: u64 = 64 << 20;
/// How many unreadable blocks are told one by one.
const TOLD_MAX: u64 = 64;

/// What was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    /// How many blocks cannot be read.
    unreadable: u64,
    /// What is wrong with labels and tables.
    copies: Vec<String>,
}

impl Damage {
    /// What is wrong, if anything is.
    pub(crate) fn message(&self) -> Option<String> {
        let mut all = Vec::new();
        if self.unreadable > 0 {
            all.push(format!(
                "{} blocks of {BLOCK_BYTES} bytes cannot be read",
                self.unreadable
            ));
        }
        all.extend(self.copies.iter().cloned());
        (!all.is_empty()).then(|| format!("the last patrol has found: {}", all.join("; ")))
    }
}

/// Goes on where `task` was suspended. What stops it is the error.
pub(crate) fn run(container: &Concat, task: &Task) -> Result<Damage, Outcome> {
    crate::options::none(KIND, task.options())?;
    let members = container.members();
    let of = members.label().used.iter().sum();
    let mut state = task.saved().and_then(State::decode).unwrap_or_default();
    state.position = state.position.min(of);
    let mut buffer = Aligned::new();
    let mut start = 0;
    for (index, used) in members.label().used.iter().copied().enumerate() {
        let end = start + used;
        match members.get(index) {
            Ok(member) if state.position < end => {
                let reading = Reading {
                    container,
                    task,
                    of,
                    index,
                    start,
                    file: open_direct(member),
                };
                reading.read(used, &mut state, &mut buffer)?;
            }
            Ok(_) => {}
            Err(missing) => task.log(missing.to_string()),
        }
        start = end;
        state.position = state.position.max(end);
    }
    let damage = Damage {
        unreadable: state.unreadable,
        copies: members
            .label_damage()
            .chain(container.table_damage())
            .collect(),
    };
    task.progress(of, of);
    match damage.message() {
        Some(message) => task.log(message),
        None => task.log(format!(
            "{of} bytes are readable, and all labels and tables whole"
        )),
    }
    Ok(damage)
}

/// Where it is, counted over all members, and what it has found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct State {
    position: u64,
    unreadable: u64,
}

impl State {
    fn encode(self) -> [u8; 16] {
        zerocopy::transmute!([self.position.to_le(), self.unreadable.to_le()])
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        let [position, unreadable]: [u64; 2] = zerocopy::transmute!(bytes);
        Some(Self {
            position: u64::from_le(position),
            unreadable: u64::from_le(unreadable),
        })
    }
}

/// One member that is being read.
struct Reading<'a> {
    container: &'a Concat,
    task: &'a Task,
    of: u64,
    index: usize,
    /// What was before it.
    start: u64,
    file: io::Result<File>,
}

impl Reading<'_> {
    fn read(&self, used: u64, state: &mut State, buffer: &mut Aligned) -> Result<(), Outcome> {
        let file = match &self.file {
            Ok(file) => file,
            Err(error) => {
                let name = self.container.members().name_of(self.index);
                self.task.log(format!("{name} is not read: {error}"));
                return Ok(());
            }
        };
        while state.position < self.start + used {
            if let Err(stop) = self.task.checkpoint() {
                if stop == Stop::Suspended {
                    self.task.save(&state.encode())?;
                }
                return Err(stop.into());
            }
            let offset = state.position - self.start;
            let length = STEP_BYTES.min(used - offset);
            if file.read_exact_at(buffer.part(length), offset).is_err() {
                self.narrow(file, offset, length, state, buffer);
            }
            let before = state.position / SAVED_BYTES;
            state.position += length;
            self.task.progress(state.position, self.of);
            if state.position / SAVED_BYTES != before {
                self.task.save(&state.encode())?;
            }
        }
        Ok(())
    }

    /// Finds out which blocks of a part cannot be read.
    fn narrow(
        &self,
        file: &File,
        offset: u64,
        length: u64,
        state: &mut State,
        buffer: &mut Aligned,
    ) {
        for block in (offset..offset + length).step_by(BLOCK_BYTES as usize) {
            let Err(error) = file.read_exact_at(buffer.part(BLOCK_BYTES), block) else {
                continue;
            };
            state.unreadable += 1;
            if state.unreadable <= TOLD_MAX {
                let members = self.container.members();
                let name = members.name_of(self.index);
                let address = members.space().address(self.index, block);
                let of = match address.and_then(|address| self.container.volume_at(address)) {
                    Some(volume) => format!(", of volume `{volume}`"),
                    None => String::new(),
                };
                self.task
                    .log(format!("{name}: the block at {block}{of}: {error}"));
            }
        }
    }
}

/// Opens a member once more, to be read past the page cache if its file system
/// can do that.
fn open_direct(member: &Member) -> io::Result<File> {
    let itself = format!("/proc/self/fd/{}", member.file().as_raw_fd());
    let direct = OFlags::DIRECT.bits() as i32;
    OpenOptions::new()
        .read(true)
        .custom_flags(direct)
        .open(itself)
        .or_else(|_| member.file().try_clone())
}

/// Memory that can be read to past the page cache.
struct Aligned(Vec<u8>);

impl Aligned {
    fn new() -> Self {
        Self(vec![0; (STEP_BYTES + BLOCK_BYTES) as usize])
    }

    fn part(&mut self, length: u64) -> &mut [u8] {
        let start = self.0.as_ptr().align_offset(BLOCK_BYTES as usize);
        &mut self.0[start..start + length as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_state_is_read_as_it_was_written() {
        let state = State {
            position: 1 << 40,
            unreadable: 3,
        };
        assert_eq!(State::decode(&state.encode()), Some(state));
        assert_eq!(State::decode(b"short"), None);
    }
}
