//! The table as bytes.
//!
//! ```text
//!   next key  u64 │ count  u32 │ rows
//!   row:  key  u64 │ bytes of the name  u32 │ count of extents  u32 │ name │ extents
//!   extent:  start  u64 │ bytes  u64
//! ```
//!
//! All numbers are little-endian. What is read may be from anybody, so nothing
//! is made room for that is not there, and what is returned is checked: names
//! are, extents lie inside and meet nowhere.

use std::collections::HashSet;

use transom_module::{Errno, Error, Result};

use super::{EXTENTS_MAX, Row, Table, VOLUMES_MAX, is_name};
use crate::layout::{BLOCK_BYTES, Extent, Space};

impl Table {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.next_key.to_le_bytes());
        bytes.extend((self.volumes.len() as u32).to_le_bytes());
        for (key, row) in &self.volumes {
            bytes.extend(key.to_le_bytes());
            bytes.extend((row.name.len() as u32).to_le_bytes());
            bytes.extend((row.extents.len() as u32).to_le_bytes());
            bytes.extend(row.name.as_bytes());
            for extent in &row.extents {
                bytes.extend(extent.start.to_le_bytes());
                bytes.extend(extent.bytes.to_le_bytes());
            }
        }
        bytes
    }

    /// `EIO`, with what is wrong, if it is not a table of that space.
    pub(crate) fn decode(bytes: &[u8], space: &Space) -> Result<Self> {
        let impossible = |what: String| {
            Error::new(
                Errno::EIO,
                format!("the table of volumes is impossible: {what}"),
            )
        };
        let table = Self::read(bytes).ok_or_else(|| impossible("it is cut or garbled".into()))?;
        table.check(space).map_err(impossible)?;
        Ok(table)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let mut table = Self {
            next_key: rest.u64()?,
            ..Self::default()
        };
        let count = rest.u32()?;
        for _ in 0..count {
            let key = rest.u64()?;
            let (name_bytes, extents) = (rest.u32()?, rest.u32()?);
            let name = str::from_utf8(rest.take(name_bytes)?).ok()?.to_owned();
            let extent = |_| {
                Some(Extent {
                    start: rest.u64()?,
                    bytes: rest.u64()?,
                })
            };
            let extents = (0..extents).map(extent).collect::<Option<_>>()?;
            table.volumes.insert(key, Row { name, extents });
        }
        rest.0.is_empty().then_some(table)
    }

    fn check(&self, space: &Space) -> std::result::Result<(), String> {
        if self.volumes.len() > VOLUMES_MAX {
            return Err(format!("it has more than {VOLUMES_MAX} volumes"));
        }
        let mut names = HashSet::new();
        let mut all = Vec::new();
        for (key, row) in &self.volumes {
            let name = &row.name;
            if !is_name(name) || !names.insert(name) {
                return Err(format!("a volume cannot be called {name:?}"));
            }
            if *key >= self.next_key {
                return Err(format!("`{name}` has the key {key} of a later volume"));
            }
            if row.extents.is_empty() || row.extents.len() > EXTENTS_MAX {
                return Err(format!("`{name}` has {} extents", row.extents.len()));
            }
            for extent in &row.extents {
                let end = extent.start.checked_add(extent.bytes);
                let fits = end.is_some_and(|end| end <= space.bytes())
                    && extent.bytes > 0
                    && (extent.start | extent.bytes).is_multiple_of(BLOCK_BYTES);
                if !fits {
                    let Extent { start, bytes } = extent;
                    return Err(format!("`{name}` has {bytes} bytes at {start}"));
                }
                all.push((*extent, name));
            }
        }
        all.sort_unstable();
        let meeting = all
            .windows(2)
            .find(|pair| pair[0].0.end() > pair[1].0.start);
        meeting.map_or(Ok(()), |pair| {
            let (one, other, start) = (pair[0].1, pair[1].1, pair[1].0.start);
            Err(format!("`{one}` and `{other}` overlap at {start}"))
        })
    }
}

/// What was not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: u32) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes as usize)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::layout::{DATA_END, DATA_START, Layout};

    const DATA: u64 = 1 << 20;

    /// A key, a name and extents.
    type Example<'a> = (u64, &'a str, &'a [(u64, u64)]);

    fn space() -> Space {
        Space::new(Layout::Linear, &[DATA_START + DATA + DATA_END])
    }

    fn table(rows: &[Example<'_>]) -> Table {
        let row = |(key, name, extents): &Example<'_>| {
            let extent = |&(start, bytes): &(u64, u64)| Extent { start, bytes };
            let row = Row {
                name: (*name).to_owned(),
                extents: extents.iter().map(extent).collect(),
            };
            (*key, row)
        };
        Table {
            next_key: 5,
            volumes: rows.iter().map(row).collect(),
        }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let table = table(&[
            (0, "a", &[(0, 4096), (8192, 4096)]),
            (4, "\u{fc}", &[(4096, 4096), (DATA - 4096, 4096)]),
        ]);
        let bytes = table.encode();
        assert_eq!(Table::decode(&bytes, &space()).unwrap(), table);
        for length in 0..bytes.len() {
            Table::decode(&bytes[..length], &space()).unwrap_err();
        }
    }

    #[test]
    fn impossible_tables_are_refused_and_told_why() {
        let cases: &[(&str, &[Example<'_>])] = &[
            ("called \"\"", &[(0, "", &[(0, 4096)])]),
            ("called \"a/b\"", &[(0, "a/b", &[(0, 4096)])]),
            (
                "called \"a\"",
                &[(0, "a", &[(0, 4096)]), (1, "a", &[(4096, 4096)])],
            ),
            ("key 5", &[(5, "a", &[(0, 4096)])]),
            ("0 extents", &[(0, "a", &[])]),
            ("0 bytes at 0", &[(0, "a", &[(0, 0)])]),
            ("4095 bytes", &[(0, "a", &[(0, 4095)])]),
            ("at 1048576", &[(0, "a", &[(DATA, 4096)])]),
            ("8192 bytes", &[(0, "a", &[(DATA - 4096, 8192)])]),
            ("bytes at 4096", &[(0, "a", &[(4096, u64::MAX - 4095)])]),
            (
                "overlap at 4096",
                &[(0, "a", &[(0, 8192)]), (1, "b", &[(4096, 4096)])],
            ),
            ("overlap at 0", &[(0, "a", &[(0, 8192), (0, 4096)])]),
        ];
        for (why, rows) in cases {
            let error = Table::decode(&table(rows).encode(), &space()).expect_err(why);
            assert_eq!(error.errno(), Errno::EIO);
            assert!(error.to_string().contains(why), "{why}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_a_table(bytes in prop::collection::vec(0_u8..3, 0..200)) {
            if let Ok(table) = Table::decode(&bytes, &space()) {
                prop_assert_eq!(Table::decode(&table.encode(), &space()).unwrap(), table);
            }
        }
    }
}
