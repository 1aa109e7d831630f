//! The table of sub-volumes: what there is, and where it lies.
//!
//! It is a value. What changes it makes a changed copy, and the copy is the
//! table once the store has it on all members.

mod encoding;
mod space;

use std::collections::BTreeMap;

use transom_module::{Errno, Error, NAME_BYTES_MAX, Result};

use crate::layout::{BLOCK_BYTES, Extent, Space};

pub(crate) use space::free;

/// The most sub-volumes of a container.
pub(crate) const VOLUMES_MAX: usize = 1024;
/// The most extents of a sub-volume.
pub(crate) const EXTENTS_MAX: usize = 4096;

/// All sub-volumes of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Table {
    /// Keys are numbers, each given once.
    next_key: u64,
    volumes: BTreeMap<u64, Row>,
}

/// One sub-volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Where its content is, from its first byte to its last.
    pub(crate) extents: Vec<Extent>,
}

impl Row {
    pub(crate) fn bytes(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes).sum()
    }
}

impl Table {
    pub(crate) fn volumes(&self) -> impl Iterator<Item = (u64, &Row)> {
        self.volumes.iter().map(|(key, row)| (*key, row))
    }

    pub(crate) fn row(&self, key: u64) -> Result<&Row> {
        self.volumes.get(&key).ok_or_else(|| no_volume(key))
    }

    /// The name of the sub-volume that an address belongs to.
    pub(crate) fn at(&self, address: u64) -> Option<&str> {
        let holds = |extent: &Extent| (extent.start..extent.end()).contains(&address);
        let mut rows = self.volumes.values();
        let row = rows.find(|row| row.extents.iter().any(holds))?;
        Some(&row.name)
    }

    /// Adds a sub-volume, and returns its key.
    pub(crate) fn create(&mut self, space: &Space, name: &str, bytes: u64) -> Result<u64> {
        self.check_new_name(name)?;
        check_size(bytes)?;
        if self.volumes.len() >= VOLUMES_MAX {
            let message = format!("there are {VOLUMES_MAX} volumes already, and more cannot be");
            return Err(Error::new(Errno::ENOSPC, message));
        }
        let row = Row {
            name: name.to_owned(),
            extents: self.allocate(space, bytes)?,
        };
        let key = self.next_key;
        self.next_key += 1;
        self.volumes.insert(key, row);
        Ok(key)
    }

    pub(crate) fn rename(&mut self, key: u64, name: &str) -> Result<()> {
        if self.row(key)?.name != name {
            self.check_new_name(name)?;
        }
        self.row_mut(key)?.name = name.to_owned();
        Ok(())
    }

    /// Gives a sub-volume another size. Returns what it got, or what it lost.
    pub(crate) fn resize(&mut self, space: &Space, key: u64, bytes: u64) -> Result<Resized> {
        check_size(bytes)?;
        let old = self.row(key)?.bytes();
        if bytes == old {
            return Ok(Resized::Grown(Vec::new()));
        }
        if let Some(more) = bytes.checked_sub(old) {
            let gained = self.allocate(space, more)?;
            let extents = &mut self.row_mut(key)?.extents;
            gained.iter().for_each(|extent| append(extents, *extent));
            if extents.len() > EXTENTS_MAX {
                return Err(too_fragmented());
            }
            return Ok(Resized::Grown(gained));
        }
        let extents = &mut self.row_mut(key)?.extents;
        Ok(Resized::Shrunk(cut(extents, old - bytes)))
    }

    pub(crate) fn remove(&mut self, key: u64) -> Result<Row> {
        self.volumes.remove(&key).ok_or_else(|| no_volume(key))
    }

    fn row_mut(&mut self, key: u64) -> Result<&mut Row> {
        self.volumes.get_mut(&key).ok_or_else(|| no_volume(key))
    }

    fn allocate(&self, space: &Space, bytes: u64) -> Result<Vec<Extent>> {
        let free = free(space, self.volumes.values().flat_map(|row| &row.extents));
        let found = space::first_fit(&free, bytes).ok_or_else(|| {
            let free: u64 = free.iter().map(|extent| extent.bytes).sum();
            let message = format!("{bytes} bytes are asked for, and {free} are free");
            Error::new(Errno::ENOSPC, message)
        })?;
        match found.len() <= EXTENTS_MAX {
            true => Ok(found),
            false => Err(too_fragmented()),
        }
    }

    fn check_new_name(&self, name: &str) -> Result<()> {
        if !is_name(name) {
            let message = format!(
                "a volume cannot be called {name:?}: a name has 1 to {NAME_BYTES_MAX} bytes, is \
                 not `.` or `..`, and has neither `/` nor control characters"
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        if self.volumes.values().any(|row| row.name == name) {
            let message = format!("there is a volume `{name}` already");
            return Err(Error::new(Errno::EEXIST, message));
        }
        Ok(())
    }
}

/// What another size means.
#[derive(Debug)]
pub(crate) enum Resized {
    /// These are new at its end.
    Grown(Vec<Extent>),
    /// These were at its end.
    Shrunk(Vec<Extent>),
}

fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= NAME_BYTES_MAX
        && !name.contains(|c: char| c.is_control() || c == '/')
}

fn check_size(bytes: u64) -> Result<()> {
    if bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES) {
        return Ok(());
    }
    let message = format!("a size is a multiple of {BLOCK_BYTES} bytes, and {bytes} is not");
    Err(Error::new(Errno::EINVAL, message))
}

/// Puts an extent behind others.
fn append(extents: &mut Vec<Extent>, extent: Extent) {
    match extents.last_mut() {
        Some(last) if last.end() == extent.start => last.bytes += extent.bytes,
        _ => extents.push(extent),
    }
}

/// Takes so many bytes away at the end.
fn cut(extents: &mut Vec<Extent>, mut bytes: u64) -> Vec<Extent> {
    let mut lost = Vec::new();
    while bytes > 0 {
        let Some(last) = extents.last_mut() else {
            break;
        };
        let part = bytes.min(last.bytes);
        last.bytes -= part;
        bytes -= part;
        lost.push(Extent {
            start: last.end(),
            bytes: part,
        });
        if last.bytes == 0 {
            extents.pop();
        }
    }
    lost
}

fn no_volume(key: u64) -> Error {
    Error::new(
        Errno::ENOENT,
        format!("there is no volume with the key {key}"),
    )
}

fn too_fragmented() -> Error {
    let message = format!(
        "the free space is in too many pieces: a volume has at most {EXTENTS_MAX}; remove \
         volumes, or make it smaller"
    );
    Error::new(Errno::ENOSPC, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{DATA_END, DATA_START, Layout};

    const UNIT: u64 = 1 << 20;

    /// Three members with 4, 2 and 4 units of data.
    fn space() -> Space {
        let used = [4, 2, 4].map(|units| DATA_START + units * UNIT + DATA_END);
        Space::new(Layout::Linear, &used)
    }

    fn extents(table: &Table, key: u64) -> Vec<(u64, u64)> {
        let extents = &table.row(key).unwrap().extents;
        let units = |extent: &Extent| (extent.start / UNIT, extent.bytes / UNIT);
        extents.iter().map(units).collect()
    }

    #[test]
    fn volumes_lie_on_one_member_if_one_has_room() {
        let (space, mut table) = (space(), Table::default());
        let a = table.create(&space, "a", 3 * UNIT).unwrap();
        let b = table.create(&space, "b", 2 * UNIT).unwrap();
        let c = table.create(&space, "c", 4 * UNIT).unwrap();
        assert_eq!(extents(&table, a), [(0, 3)]);
        assert_eq!(extents(&table, b), [(4, 2)]);
        assert_eq!(extents(&table, c), [(6, 4)]);
        let error = table.create(&space, "d", 2 * UNIT).unwrap_err();
        assert_eq!(error.errno(), Errno::ENOSPC);
        assert!(error.to_string().contains("1048576 are free"), "{error}");
        // What is in pieces is used if nothing else is left.
        table.remove(b).unwrap();
        let d = table.create(&space, "d", 3 * UNIT).unwrap();
        assert_eq!(extents(&table, d), [(3, 3)]);
        assert_eq!([a, b, c, d], [0, 1, 2, 3]);
    }

    #[test]
    fn sizes_change_at_the_end() {
        let (space, mut table) = (space(), Table::default());
        let a = table.create(&space, "a", UNIT).unwrap();
        table.create(&space, "b", UNIT).unwrap();
        let Resized::Grown(gained) = table.resize(&space, a, 3 * UNIT).unwrap() else {
            panic!("it is larger")
        };
        assert_eq!(gained.len(), 1);
        assert_eq!(extents(&table, a), [(0, 1), (2, 2)]);
        let Resized::Shrunk(lost) = table.resize(&space, a, UNIT).unwrap() else {
            panic!("it is smaller")
        };
        assert_eq!(lost, gained);
        table.resize(&space, a, UNIT).unwrap();
        assert_eq!(extents(&table, a), [(0, 1)]);
        for bytes in [0, UNIT + 1, u64::MAX] {
            let error = table.resize(&space, a, bytes).unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL, "{bytes}");
        }
        let error = table.resize(&space, a, 1 << 62).unwrap_err();
        assert_eq!(error.errno(), Errno::ENOSPC);
        assert_eq!(
            table.resize(&space, 9, UNIT).unwrap_err().errno(),
            Errno::ENOENT
        );
    }

    #[test]
    fn names_are_unique_and_harmless() {
        let (space, mut table) = (space(), Table::default());
        let a = table.create(&space, "a", UNIT).unwrap();
        let b = table.create(&space, "b", UNIT).unwrap();
        assert_eq!(table.rename(b, "a").unwrap_err().errno(), Errno::EEXIST);
        table.rename(a, "a").unwrap();
        table.rename(a, "c").unwrap();
        table.rename(b, "a").unwrap();
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", "a/b", "a\nb", "\0", &long] {
            let error = table.rename(a, name).unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL, "{name:?}");
        }
        assert_eq!(table.rename(9, "d").unwrap_err().errno(), Errno::ENOENT);
    }

    #[test]
    fn keys_are_never_given_again() {
        let (space, mut table) = (space(), Table::default());
        for key in 0..3 {
            assert_eq!(table.create(&space, "a", UNIT).unwrap(), key);
            table.remove(key).unwrap();
        }
        assert_eq!(table.remove(2).unwrap_err().errno(), Errno::ENOENT);
    }
}
