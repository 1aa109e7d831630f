//! How the address space of a container lies on its members.
//!
//! ```text
//!   linear   │ member 0            │ member 1  │ member 2               │
//!   stripe   │ 0 │ 1 │ 2 │ 0 │ 1 │ 2 │ ...    chunks of equal size
//! ```

use std::ops::Range;

/// Where the data of each member begins; before it are its label and the two
/// slots of the table.
pub(crate) const DATA_START: u64 = 3 << 20;
/// What is kept free of data at the end of each member, for its second label.
pub(crate) const DATA_END: u64 = 4096;
/// Every size and address is a multiple of it.
pub(crate) const BLOCK_BYTES: u64 = 4096;
/// Chunks are not smaller,
pub(crate) const CHUNK_BYTES_MIN: u64 = 4 << 10;
/// and not larger.
pub(crate) const CHUNK_BYTES_MAX: u64 = 64 << 20;

/// In what order the members are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One after the other.
    Linear,
    /// By turns.
    Stripe {
        /// How many bytes at a turn: a power of 2.
        chunk: u64,
    },
}

/// A part of the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) bytes: u64,
}

impl Extent {
    pub(crate) fn end(self) -> u64 {
        self.start + self.bytes
    }
}

/// A part of a member, counted from the member's beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) member: usize,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// The address space.
#[derive(Debug)]
pub(crate) struct Space {
    layout: Layout,
    /// Where the data of each member begins in a linear one, and where that of
    /// the last ends.
    borders: Vec<u64>,
    /// How many bytes of each member are used in a striped one.
    striped: u64,
}

impl Space {
    /// That of members of which so much is used, label and tables included.
    pub(crate) fn new(layout: Layout, used: &[u64]) -> Self {
        let data = used.iter().map(|used| data_bytes(*used));
        let mut borders = vec![0];
        borders.extend(data.clone().scan(0, |end, bytes| {
            *end += bytes;
            Some(*end)
        }));
        let striped = match layout {
            Layout::Linear => 0,
            Layout::Stripe { chunk } => data.min().unwrap_or(0) / chunk * chunk,
        };
        Self {
            layout,
            borders,
            striped,
        }
    }

    fn members(&self) -> u64 {
        self.borders.len() as u64 - 1
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> u64 {
        match self.layout {
            Layout::Linear => self.borders.last().copied().unwrap_or(0),
            Layout::Stripe { .. } => self.striped * self.members(),
        }
    }

    /// What is best not crossed when there is a choice: in a linear space, the
    /// share of each member.
    pub(crate) fn shares(&self) -> Vec<Extent> {
        let extent = |start, end| Extent {
            start,
            bytes: end - start,
        };
        match self.layout {
            Layout::Linear => {
                let pairs = self.borders.windows(2);
                pairs.map(|pair| extent(pair[0], pair[1])).collect()
            }
            Layout::Stripe { .. } => vec![extent(0, self.bytes())],
        }
    }

    /// Where an extent, which lies inside, lies on the members, in order.
    pub(crate) fn pieces(&self, extent: Extent) -> impl Iterator<Item = Piece> {
        let mut at = extent.start;
        std::iter::from_fn(move || {
            let room = extent.end() - at;
            (room > 0).then(|| {
                let mut piece = self.piece_at(at);
                piece.bytes = piece.bytes.min(room);
                at += piece.bytes;
                piece
            })
        })
    }

    /// The pieces of an extent that lie on the same member, which follow each
    /// other there, as one.
    pub(crate) fn spans(&self, extent: Extent) -> impl Iterator<Item = Piece> {
        (0..self.members() as usize).filter_map(move |member| {
            let before = self.before(member, extent.start);
            let bytes = self.before(member, extent.end()) - before;
            (bytes > 0).then_some(Piece {
                member,
                offset: DATA_START + before,
                bytes,
            })
        })
    }

    /// How much of the data of a member has smaller addresses. It is what the
    /// member's data begins with.
    fn before(&self, member: usize, address: u64) -> u64 {
        match self.layout {
            Layout::Linear => {
                let (start, end) = (self.borders[member], self.borders[member + 1]);
                address.clamp(start, end) - start
            }
            Layout::Stripe { chunk } => {
                let row = chunk * self.members();
                let within = address % row;
                address / row * chunk + within.saturating_sub(member as u64 * chunk).min(chunk)
            }
        }
    }

    /// The address of what is at `offset` of a member. `None` if that is not
    /// data.
    pub(crate) fn address(&self, member: usize, offset: u64) -> Option<u64> {
        let within = offset.checked_sub(DATA_START)?;
        match self.layout {
            Layout::Linear => {
                let share = self.share(member)?;
                Some(share.start + within).filter(|address| share.contains(address))
            }
            Layout::Stripe { chunk } => (within < self.striped).then(|| {
                let turn = within / chunk * self.members() + member as u64;
                turn * chunk + within % chunk
            }),
        }
    }

    /// What begins at an address, and is as long as it goes on there.
    fn piece_at(&self, address: u64) -> Piece {
        match self.layout {
            Layout::Linear => {
                let after = self.borders.partition_point(|border| *border <= address);
                let member = after - 1;
                Piece {
                    member,
                    offset: DATA_START + address - self.borders[member],
                    bytes: self.borders[after] - address,
                }
            }
            Layout::Stripe { chunk } => {
                let turn = address / chunk;
                Piece {
                    member: (turn % self.members()) as usize,
                    offset: DATA_START + turn / self.members() * chunk + address % chunk,
                    bytes: chunk - address % chunk,
                }
            }
        }
    }

    fn share(&self, member: usize) -> Option<Range<u64>> {
        Some(*self.borders.get(member)?..*self.borders.get(member + 1)?)
    }
}

/// How much of a member of which so much is used can hold data.
pub(crate) fn data_bytes(used: u64) -> u64 {
    used.saturating_sub(DATA_START + DATA_END)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn piece(member: usize, offset: u64, bytes: u64) -> Piece {
        Piece {
            member,
            offset: DATA_START + offset,
            bytes,
        }
    }

    #[test]
    fn an_extent_lies_on_the_members_in_order() {
        let used = [4 * MIB, 5 * MIB].map(|used| used + DATA_END);
        let linear = Space::new(Layout::Linear, &used);
        let extent = Extent {
            start: MIB - 4096,
            bytes: 8192,
        };
        let pieces: Vec<_> = linear.pieces(extent).collect();
        assert_eq!(linear.bytes(), 3 * MIB);
        assert_eq!(pieces, [piece(0, MIB - 4096, 4096), piece(1, 0, 4096)]);

        let chunk = 65536;
        let stripe = Space::new(Layout::Stripe { chunk }, &used);
        let extent = Extent {
            start: chunk - 4096,
            bytes: 2 * chunk,
        };
        let pieces: Vec<_> = stripe.pieces(extent).collect();
        let expected = [
            piece(0, chunk - 4096, 4096),
            piece(1, 0, chunk),
            piece(0, chunk, chunk - 4096),
        ];
        assert_eq!(stripe.bytes(), 2 * MIB);
        assert_eq!(pieces, expected);
        let expected = [piece(0, chunk - 4096, chunk), piece(1, 0, chunk)];
        assert_eq!(stripe.spans(extent).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn every_address_has_a_place_of_its_own(
            blocks in prop::collection::vec(1_u64..40, 1..5),
            chunk in prop::option::of(0_u32..3),
            part in any::<(u16, u16)>(),
        ) {
            let used: Vec<_> = blocks
                .iter()
                .map(|blocks| DATA_START + DATA_END + blocks * BLOCK_BYTES)
                .collect();
            let layout = chunk.map_or(Layout::Linear, |power| Layout::Stripe {
                chunk: CHUNK_BYTES_MIN << power,
            });
            let space = Space::new(layout, &used);
            let whole = Extent { start: 0, bytes: space.bytes() };
            let mut at = 0;
            let mut taken = std::collections::HashSet::new();
            for piece in space.pieces(whole) {
                for offset in (piece.offset..piece.offset + piece.bytes).step_by(4096) {
                    prop_assert_eq!(space.address(piece.member, offset), Some(at));
                    prop_assert!(taken.insert((piece.member, offset)));
                    prop_assert!(offset + 4096 <= used[piece.member] - DATA_END);
                    at += 4096;
                }
            }
            prop_assert_eq!(at, space.bytes());

            let start = u64::from(part.0) % space.bytes().max(1);
            let bytes = u64::from(part.1).min(space.bytes() - start);
            let extent = Extent { start, bytes };
            let mut joined: BTreeMap<usize, Piece> = BTreeMap::new();
            for piece in space.pieces(extent) {
                let span = joined.entry(piece.member).or_insert(Piece { bytes: 0, ..piece });
                prop_assert_eq!(span.offset + span.bytes, piece.offset);
                span.bytes += piece.bytes;
            }
            let spans: Vec<_> = space.spans(extent).collect();
            prop_assert_eq!(spans, joined.into_values().collect::<Vec<_>>());
            prop_assert_eq!(space.address(0, 0), None);
        }
    }
}
