//! Power cuts and failing disks.
//!
//! A disk of these tests notes what is written and synchronized, in the order in
//! which it happens on all disks. From the notes every state is made that a
//! power cut can leave: what was synchronized is there, and of what was not, any
//! of the sectors.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::layout::{DATA_END, DATA_START, Layout};

const SECTOR: u64 = 512;
const DISKS: usize = 3;
const CONTAINER: ContainerId = ContainerId::from_bytes([7; 16]);

type Sector = [u8; SECTOR as usize];
type Sectors = BTreeMap<u64, Sector>;
type Notes = Arc<Mutex<Vec<Note>>>;

#[derive(Debug, Clone)]
enum Note {
    Sector {
        disk: usize,
        sector: u64,
        content: Box<Sector>,
    },
    Synchronized {
        disk: usize,
    },
    Committed(Table),
}

#[derive(Debug)]
struct Disk {
    number: usize,
    sectors: Mutex<Sectors>,
    notes: Notes,
    /// So many more writes succeed, and so many after these fail.
    fails: Mutex<(u32, u32)>,
}

impl Medium for Disk {
    fn shown(&self) -> impl Display {
        format!("disk {}", self.number)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let sectors = self.sectors.lock().unwrap();
        for (byte, at) in buffer.iter_mut().zip(offset..) {
            let sector = sectors.get(&(at / SECTOR));
            *byte = sector.map_or(0, |sector| sector[(at % SECTOR) as usize]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<()> {
        let mut fails = self.fails.lock().unwrap();
        match &mut *fails {
            (0, 0) => {}
            (0, failing) => {
                *failing -= 1;
                return Err(Error::new(Errno::EIO, "it failed"));
            }
            (succeeding, _) => *succeeding -= 1,
        }
        assert!(offset.is_multiple_of(SECTOR));
        for (part, sector) in data.chunks(SECTOR as usize).zip(offset / SECTOR..) {
            let mut content = [0; SECTOR as usize];
            self.read(sector * SECTOR, &mut content)?;
            content[..part.len()].copy_from_slice(part);
            self.sectors.lock().unwrap().insert(sector, content);
            let disk = self.number;
            self.note(Note::Sector {
                disk,
                sector,
                content: Box::new(content),
            });
        }
        Ok(())
    }

    fn synchronize(&self) -> Result<()> {
        self.note(Note::Synchronized { disk: self.number });
        Ok(())
    }
}

impl Disk {
    fn note(&self, note: Note) {
        self.notes.lock().unwrap().push(note);
    }
}

fn disks(contents: Vec<Sectors>) -> (Vec<Arc<Disk>>, Notes) {
    let notes = Notes::default();
    let disk = |(number, sectors)| {
        Arc::new(Disk {
            number,
            sectors: Mutex::new(sectors),
            notes: Arc::clone(&notes),
            fails: Mutex::default(),
        })
    };
    (contents.into_iter().enumerate().map(disk).collect(), notes)
}

fn contents(disks: &[Arc<Disk>]) -> Vec<Sectors> {
    let content = |disk: &Arc<Disk>| disk.sectors.lock().unwrap().clone();
    disks.iter().map(content).collect()
}

fn space() -> Space {
    Space::new(Layout::Linear, &[DATA_START + (64 << 20) + DATA_END; DISKS])
}

/// Members of a new container, whose notes begin here.
fn formatted() -> (Vec<Arc<Disk>>, Notes) {
    let (disks, notes) = disks(vec![Sectors::new(); DISKS]);
    Store::new(disks, CONTAINER).settle().unwrap();
    let written = notes.lock().unwrap().clone();
    self::disks(after_power_cut(
        &vec![Sectors::new(); DISKS],
        &written,
        || false,
    ))
}

fn open(disks: &[Arc<Disk>]) -> Result<Store<Disk>> {
    Store::open(disks.to_vec(), CONTAINER, &space(), false)
}

/// What is on the disks if the power is cut after these notes. `survives` is
/// asked of each sector that was not synchronized.
fn after_power_cut(
    before: &[Sectors],
    notes: &[Note],
    mut survives: impl FnMut() -> bool,
) -> Vec<Sectors> {
    let mut contents = before.to_vec();
    let mut pending = vec![Vec::new(); before.len()];
    for note in notes {
        match note {
            Note::Sector {
                disk,
                sector,
                content,
            } => pending[*disk].push((*sector, **content)),
            Note::Synchronized { disk } => contents[*disk].extend(pending[*disk].drain(..)),
            Note::Committed(_) => {}
        }
    }
    for (content, pending) in contents.iter_mut().zip(pending) {
        content.extend(pending.into_iter().filter(|_| survives()));
    }
    contents
}

/// Changes a table in one of the ways in which tables are changed.
fn change(table: &mut Table, choice: u64) {
    let keys: Vec<_> = table.volumes().map(|(key, _)| key).collect();
    let bytes = (choice % 7 + 1) << 20;
    let name = format!("volume-{choice:060}");
    let _ = match keys.get(choice as usize / 7 % (keys.len() + 3)) {
        None => table.create(&space(), &name, bytes).map(|_| ()),
        Some(key) if choice.is_multiple_of(3) => table.remove(*key).map(|_| ()),
        Some(key) if choice % 3 == 1 => table.resize(&space(), *key, bytes).map(|_| ()),
        Some(key) => table.rename(*key, &name),
    };
}

/// A source of choices, each from a seed.
fn choices(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn a_power_cut_leaves_what_was_acknowledged(seed in any::<u64>()) {
        let mut choice = choices(seed);
        let (disks, notes) = formatted();
        let before = contents(&disks);
        let mut store = open(&disks).unwrap();
        store.settle().unwrap();
        for _ in 0..8 {
            let mut table = store.table().clone();
            change(&mut table, choice());
            store.commit(table.clone()).unwrap();
            notes.lock().unwrap().push(Note::Committed(table));
        }
        let notes = notes.lock().unwrap().clone();
        let committed = |notes: &[Note]| {
            let tables = notes.iter().filter_map(|note| match note {
                Note::Committed(table) => Some(table.clone()),
                _ => None,
            });
            tables.collect::<Vec<_>>()
        };
        for cut in 0..=notes.len() {
            let acknowledged = committed(&notes[..cut]).pop().unwrap_or_default();
            let under_way = committed(&notes[cut..]).into_iter().next();
            let left = after_power_cut(&before, &notes[..cut], || choice().is_multiple_of(2));
            let (disks, mending) = self::disks(left.clone());
            let mut store = open(&disks).unwrap();
            let found = store.table().clone();
            prop_assert!(found == acknowledged || Some(&found) == under_way.as_ref());
            // And again while that is being mended.
            store.settle().unwrap();
            prop_assert_eq!(store.damage(), Vec::<String>::new());
            let mending = mending.lock().unwrap();
            let cut = choice() as usize % (mending.len() + 1);
            let left = after_power_cut(&left, &mending[..cut], || choice().is_multiple_of(2));
            let (disks, _) = self::disks(left);
            let mended = open(&disks).unwrap();
            prop_assert_eq!(mended.table(), &found);
        }
    }

    #[test]
    fn any_bytes_in_slots_are_refused_or_a_table(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        sealed in any::<bool>(),
    ) {
        let (disks, _) = disks(vec![Sectors::new()]);
        let head = Head {
            magic: MAGIC,
            container: CONTAINER.to_bytes(),
            generation: 4.into(),
            bytes: (bytes.len() as u64).into(),
            checksum: [0; 32],
        };
        let checksum = checksum(&head, &bytes);
        let head = Head { checksum, ..head };
        let head: &[u8] = if sealed { head.as_bytes() } else { &[] };
        disks[0].write(SLOT_OFFSETS[0], &[head, &bytes].concat()).unwrap();
        let _ = open(&disks);
    }
}

#[test]
fn a_commit_that_fails_never_was() {
    // The first disk that fails, after how many writes.
    for disk in 0..DISKS {
        let (disks, _) = formatted();
        let mut store = open(&disks).unwrap();
        store.settle().unwrap();
        let mut table = store.table().clone();
        change(&mut table, 0);
        *disks[disk].fails.lock().unwrap() = (0, 1);
        assert_eq!(store.commit(table.clone()).unwrap_err().errno(), Errno::EIO);
        assert_eq!(store.table(), &Table::default());
        assert_eq!(open(&disks).unwrap().table(), &Table::default());
        assert_eq!(store.broken(), None);
        store.commit(table.clone()).unwrap();
        assert_eq!(open(&disks).unwrap().table(), &table);
    }
}

#[test]
fn after_a_commit_that_cannot_be_taken_back_nothing_is_changed() {
    let (disks, _) = formatted();
    let mut store = open(&disks).unwrap();
    store.settle().unwrap();
    let mut table = store.table().clone();
    change(&mut table, 0);
    *disks[1].fails.lock().unwrap() = (0, 2);
    assert_eq!(store.commit(table.clone()).unwrap_err().errno(), Errno::EIO);
    assert!(store.broken().is_some());
    assert_eq!(store.commit(table).unwrap_err().errno(), Errno::EROFS);
    // The disk has recovered.
    let mut store = open(&disks).unwrap();
    store.settle().unwrap();
    assert_eq!(store.damage(), Vec::<String>::new());
}

#[test]
fn an_old_copy_of_a_member_is_refused_by_name() {
    let (disks, _) = formatted();
    let mut store = open(&disks).unwrap();
    store.settle().unwrap();
    let copy = contents(&disks)[1].clone();
    // Nothing is changed, but it is loaded once more.
    open(&disks).unwrap().settle().unwrap();
    *disks[1].sectors.lock().unwrap() = copy;
    let error = open(&disks).unwrap_err();
    assert_eq!(error.errno(), Errno::ESTALE);
    assert!(error.to_string().contains("disk 1"), "{error}");
}

#[test]
fn members_that_disagree_are_refused_by_name() {
    let (disks, _) = formatted();
    let others = self::disks(contents(&disks)).0;
    for (disks, choice) in [(&disks, 0), (&others, 7)] {
        let mut store = open(disks).unwrap();
        store.settle().unwrap();
        let mut table = store.table().clone();
        change(&mut table, choice);
        store.commit(table).unwrap();
    }
    let mixed = [Arc::clone(&disks[0]), Arc::clone(&others[1])];
    let error = open(&mixed).unwrap_err();
    assert_eq!(error.errno(), Errno::EIO);
    assert!(error.to_string().contains("disk"), "{error}");
}

#[test]
fn a_lost_table_is_restored_if_that_is_asked_for() {
    let (disks, _) = formatted();
    let mut store = open(&disks).unwrap();
    let mut table = store.table().clone();
    change(&mut table, 0);
    store.commit(table.clone()).unwrap();
    disks[2].sectors.lock().unwrap().clear();
    let error = open(&disks).unwrap_err();
    assert_eq!(error.errno(), Errno::EIO);
    assert!(error.to_string().contains("disk 2"), "{error}");
    let mut store = Store::open(disks.clone(), CONTAINER, &space(), true).unwrap();
    assert_eq!(store.damage().len(), 2);
    store.settle().unwrap();
    assert_eq!(store.damage(), Vec::<String>::new());
    assert_eq!(open(&disks[2..]).unwrap().table(), &table);
}
