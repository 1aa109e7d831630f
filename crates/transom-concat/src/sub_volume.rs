//! The content of a sub-volume: reading and writing it across members.
//!
//! Who reads or writes holds the lock of the state meanwhile, shared. So when a
//! change of the size has had it alone once, nobody uses what was lost, and it
//! can be given to another sub-volume.

use std::fmt::Write;
use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use transom_module::{Errno, Error, Result, Timestamp};

use crate::layout::{Extent, Piece};
use crate::member::Member;
use crate::members::Members;
use crate::store::Medium;
use crate::table::Row;

/// A sub-volume of a container.
#[derive(Debug)]
pub struct SubVolume {
    members: Arc<Members>,
    state: RwLock<State>,
    /// The members, a bit each, that have writes which were not flushed.
    unflushed: AtomicU64,
    /// Held by who flushes, so that nobody believes there to be nothing to
    /// flush while it is under way.
    flushing: Mutex<()>,
    modified: Mutex<Timestamp>,
}

#[derive(Debug)]
struct State {
    row: Row,
    /// Where each extent ends in the content.
    ends: Vec<u64>,
}

impl SubVolume {
    pub(crate) fn new(members: Arc<Members>, row: Row) -> Self {
        Self {
            members,
            state: RwLock::new(State::new(row)),
            unflushed: AtomicU64::new(0),
            flushing: Mutex::default(),
            modified: Mutex::new(Timestamp::now()),
        }
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn name(&self) -> String {
        self.state().row.name.clone()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.state().bytes()
    }

    /// When it was last written, or else loaded.
    pub(crate) fn modified(&self) -> Timestamp {
        *self.modified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is what that row says. Returns when nobody uses what it
    /// was before.
    pub(crate) fn become_row(&self, row: Row) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        *state = State::new(row);
    }

    /// `EIO` if a part of it is on a missing member, with which one.
    pub(crate) fn check_complete(&self) -> Result<()> {
        let state = self.state();
        let space = self.members.space();
        let pieces = state
            .row
            .extents
            .iter()
            .flat_map(|extent| space.spans(*extent));
        for piece in pieces {
            self.members.get(piece.member).map_err(|error| {
                let name = &state.row.name;
                let message = format!("volume `{name}` cannot be used: {error}");
                Error::new(error.errno(), message)
            })?;
        }
        Ok(())
    }

    /// What it is and where it lies, for people.
    pub(crate) fn description(&self) -> String {
        let (state, members) = (self.state(), &self.members);
        let label = members.label();
        let mut text = format!(
            "name: {}\nbytes: {}\ncontainer: {} ({})\n",
            state.row.name,
            state.bytes(),
            label.shown(),
            label.container
        );
        let space = members.space();
        for piece in state
            .row
            .extents
            .iter()
            .flat_map(|extent| space.spans(*extent))
        {
            let Piece {
                member,
                offset,
                bytes,
            } = piece;
            let _ = writeln!(
                text,
                "{bytes} bytes at {offset} of {}",
                members.name_of(member)
            );
        }
        text
    }

    /// Reads all of `buffer`.
    pub(crate) fn read_content(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let range = range(offset, buffer.len())?;
        let mut rest = buffer;
        self.each_piece(range, |member, piece| {
            let (now, later) = mem::take(&mut rest).split_at_mut(piece.bytes as usize);
            rest = later;
            member.read(piece.offset, now)
        })
    }

    /// Writes all of `data`.
    pub(crate) fn write_content(&self, offset: u64, data: &[u8]) -> Result<()> {
        self.check_writable()?;
        let range = range(offset, data.len())?;
        let mut rest = data;
        self.each_piece(range, |member, piece| {
            let (now, later) = rest.split_at(piece.bytes as usize);
            rest = later;
            self.changed(piece, member.write(piece.offset, now))
        })
    }

    /// Makes a range zeroes.
    pub(crate) fn zero_content(&self, range: Range<u64>) -> Result<()> {
        self.check_writable()?;
        self.each_span(range, |member, piece| {
            self.changed(piece, member.write_zeroes(piece.offset, piece.bytes))
        })
    }

    /// Gives the space of a range back, where members can do that.
    pub(crate) fn discard_content(&self, range: Range<u64>) -> Result<()> {
        self.check_writable()?;
        self.each_span(range, |member, piece| {
            let punched = member.punch(piece.offset, piece.bytes);
            self.changed(piece, punched.map(|_| ()))
        })
    }

    /// Makes everything durable that was written when this was called.
    pub(crate) fn flush_content(&self) -> Result<()> {
        let _alone = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unflushed = self.unflushed.swap(0, Ordering::AcqRel);
        while unflushed != 0 {
            let member = unflushed.trailing_zeros() as usize;
            let flushed = self
                .members
                .get(member)
                .and_then(|member| member.synchronize());
            if let Err(error) = flushed {
                self.unflushed.fetch_or(unflushed, Ordering::AcqRel);
                return Err(error);
            }
            unflushed &= unflushed - 1;
        }
        Ok(())
    }

    fn check_writable(&self) -> Result<()> {
        match self.members.read_only() {
            true => Err(Errno::EROFS.into()),
            false => Ok(()),
        }
    }

    /// Notes that something was written to a member, in whole or in part.
    fn changed(&self, piece: Piece, result: Result<()>) -> Result<()> {
        self.unflushed.fetch_or(1 << piece.member, Ordering::AcqRel);
        *self.modified.lock().unwrap_or_else(PoisonError::into_inner) = Timestamp::now();
        result
    }

    fn each_piece(
        &self,
        range: Range<u64>,
        mut act: impl FnMut(&Member, Piece) -> Result<()>,
    ) -> Result<()> {
        let (state, space) = (self.state(), self.members.space());
        let mut pieces = state
            .extents(range)?
            .flat_map(|extent| space.pieces(extent));
        pieces.try_for_each(|piece| act(self.members.get(piece.member)?, piece))
    }

    fn each_span(
        &self,
        range: Range<u64>,
        act: impl Fn(&Member, Piece) -> Result<()>,
    ) -> Result<()> {
        let (state, space) = (self.state(), self.members.space());
        let mut spans = state.extents(range)?.flat_map(|extent| space.spans(extent));
        spans.try_for_each(|piece| act(self.members.get(piece.member)?, piece))
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(row: Row) -> Self {
        let ends = row.extents.iter().scan(0, |end, extent| {
            *end += extent.bytes;
            Some(*end)
        });
        Self {
            ends: ends.collect(),
            row,
        }
    }

    fn bytes(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Where a range of the content lies. `ENXIO` if it is not all inside, as
    /// after the volume was made smaller or removed.
    fn extents(&self, range: Range<u64>) -> Result<impl Iterator<Item = Extent>> {
        if range.end > self.bytes() {
            return Err(Errno::ENXIO.into());
        }
        let first = self.ends.partition_point(|end| *end <= range.start);
        let places = self.row.extents[first..].iter().zip(&self.ends[first..]);
        let touched = move |(extent, end): (&Extent, &u64)| {
            let start = end - extent.bytes;
            let from = range.start.max(start);
            let bytes = range.end.min(*end).checked_sub(from)?;
            (bytes > 0).then_some(Extent {
                start: extent.start + (from - start),
                bytes,
            })
        };
        Ok(places.map_while(touched))
    }
}

fn range(offset: u64, length: usize) -> Result<Range<u64>> {
    let end = offset.checked_add(length as u64).ok_or(Errno::ENXIO)?;
    Ok(offset..end)
}
