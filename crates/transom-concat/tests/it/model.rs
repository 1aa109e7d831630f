//! Random operations on volumes come to what they come to in a naive model: a
//! list of names with bytes, and a number of free blocks.

use std::collections::BTreeMap;

use proptest::prelude::*;
use transom_concat::Concat;
use transom_module::{BlockVolumes, Container, Errno, Result, VolumeManagement};

use crate::pool::{BLOCK, Pool, content};

/// As many as take a few seconds.
const CASES: u32 = 40;
const SECTOR: u64 = 512;

#[derive(Debug, Clone)]
enum Operation {
    Create {
        name: u8,
        blocks: u64,
    },
    Rename {
        volume: usize,
        name: u8,
    },
    Resize {
        volume: usize,
        blocks: u64,
    },
    Remove {
        volume: usize,
    },
    Write {
        volume: usize,
        at: u64,
        sectors: u64,
        byte: u8,
    },
    Zero {
        volume: usize,
        at: u64,
        sectors: u64,
    },
    Discard {
        volume: usize,
        at: u64,
        sectors: u64,
    },
    Flush {
        volume: usize,
    },
    Synchronize,
    Reload,
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    use Operation::*;
    let volume = || any::<usize>();
    let range = || (volume(), any::<u64>(), 1_u64..200);
    let operation = prop_oneof![
        4 => (0_u8..6, 0_u64..40).prop_map(|(name, blocks)| Create { name, blocks }),
        1 => (volume(), 0_u8..6).prop_map(|(volume, name)| Rename { volume, name }),
        3 => (volume(), 0_u64..60).prop_map(|(volume, blocks)| Resize { volume, blocks }),
        2 => volume().prop_map(|volume| Remove { volume }),
        6 => (range(), 1_u8..).prop_map(|((volume, at, sectors), byte)| {
            Write { volume, at, sectors, byte }
        }),
        1 => range().prop_map(|(volume, at, sectors)| Zero { volume, at, sectors }),
        1 => range().prop_map(|(volume, at, sectors)| Discard { volume, at, sectors }),
        1 => volume().prop_map(|volume| Flush { volume }),
        1 => Just(Synchronize),
        1 => Just(Reload),
    ];
    prop::collection::vec(operation, 1..40)
}

/// What there should be, by key.
struct Model {
    volumes: BTreeMap<String, (String, Vec<u8>)>,
    blocks: u64,
}

impl Model {
    fn free(&self) -> u64 {
        let used = self
            .volumes
            .values()
            .map(|(_, bytes)| bytes.len() as u64 / BLOCK);
        self.blocks - used.sum::<u64>()
    }

    fn has(&self, name: &str) -> bool {
        self.volumes.values().any(|(known, _)| known == name)
    }

    fn key(&self, volume: usize) -> Option<String> {
        let count = self.volumes.len();
        let key = self.volumes.keys().nth(volume % count.max(1))?;
        Some(key.clone())
    }

    fn bytes(&mut self, key: &str) -> &mut Vec<u8> {
        &mut self.volumes.get_mut(key).unwrap().1
    }

    /// A range of whole sectors inside a volume, and of its bytes.
    fn range(&self, volume: usize, at: u64, sectors: u64) -> Option<(String, u64, u64)> {
        let key = self.key(volume)?;
        let of = self.volumes[&key].1.len() as u64 / SECTOR;
        let start = at % of;
        Some((key, start * SECTOR, (start + sectors).min(of) * SECTOR))
    }

    fn apply(&mut self, container: &Concat, operation: &Operation) {
        let disk = |key: &str| container.block_volume(key).unwrap();
        match *operation {
            Operation::Create { name, blocks } => {
                let name = format!("volume {name}");
                let expected = match () {
                    () if self.has(&name) => Some(Errno::EEXIST),
                    () if blocks == 0 => Some(Errno::EINVAL),
                    () if blocks > self.free() => Some(Errno::ENOSPC),
                    () => None,
                };
                let made = container.create(&name, Some(blocks * BLOCK));
                assert_eq!(errno(&made), expected);
                if let Ok(key) = made {
                    let bytes = vec![0; (blocks * BLOCK) as usize];
                    assert!(self.volumes.insert(key, (name, bytes)).is_none());
                }
            }
            Operation::Rename { volume, name } => {
                let (name, Some(key)) = (format!("volume {name}"), self.key(volume)) else {
                    return;
                };
                let is_taken = self.has(&name) && self.volumes[&key].0 != name;
                let renamed = container.rename(&key, &name);
                assert_eq!(errno(&renamed), is_taken.then_some(Errno::EEXIST));
                if renamed.is_ok() {
                    self.volumes.get_mut(&key).unwrap().0 = name;
                }
            }
            Operation::Resize { volume, blocks } => {
                let Some(key) = self.key(volume) else { return };
                let room = self.free() + self.bytes(&key).len() as u64 / BLOCK;
                let expected = match blocks {
                    0 => Some(Errno::EINVAL),
                    _ => (blocks > room).then_some(Errno::ENOSPC),
                };
                // Those who have it open see it.
                let open = disk(&key);
                let resized = container.resize(&key, blocks * BLOCK);
                assert_eq!(errno(&resized), expected);
                if resized.is_ok() {
                    self.bytes(&key).resize((blocks * BLOCK) as usize, 0);
                }
                assert_eq!(content(&*open), *self.bytes(&key));
            }
            Operation::Remove { volume } => {
                let Some(key) = self.key(volume) else { return };
                let open = disk(&key);
                container.remove(&key).unwrap();
                self.volumes.remove(&key);
                assert_eq!(open.geometry().bytes, 0);
                let error = open.write(0, &[0; SECTOR as usize]).unwrap_err();
                assert_eq!(error.errno(), Errno::ENXIO);
                let again = container.remove(&key);
                assert_eq!(errno(&again), Some(Errno::ENOENT));
            }
            Operation::Write {
                volume,
                at,
                sectors,
                byte,
            } => {
                let Some((key, start, end)) = self.range(volume, at, sectors) else {
                    return;
                };
                let data = vec![byte; (end - start) as usize];
                disk(&key).write(start, &data).unwrap();
                self.bytes(&key)[start as usize..end as usize].copy_from_slice(&data);
            }
            Operation::Zero {
                volume,
                at,
                sectors,
            } => {
                let Some((key, start, end)) = self.range(volume, at, sectors) else {
                    return;
                };
                disk(&key).write_zeroes(start..end).unwrap();
                self.bytes(&key)[start as usize..end as usize].fill(0);
            }
            Operation::Discard {
                volume,
                at,
                sectors,
            } => {
                let Some((key, start, end)) = self.range(volume, at, sectors) else {
                    return;
                };
                disk(&key).discard(start..end).unwrap();
                let mut now = vec![0; (end - start) as usize];
                disk(&key).read(start, &mut now).unwrap();
                let before = &mut self.bytes(&key)[start as usize..end as usize];
                let either = now
                    .iter()
                    .zip(&*before)
                    .all(|(now, before)| *now == 0 || now == before);
                assert!(either, "neither zeroes nor what was there");
                before.copy_from_slice(&now);
            }
            Operation::Flush { volume } => {
                let Some(key) = self.key(volume) else { return };
                disk(&key).flush().unwrap();
            }
            Operation::Synchronize => container.synchronize().unwrap(),
            Operation::Reload => {}
        }
    }

    fn compare(&self, container: &Concat) {
        let listed = container.volumes().into_iter();
        let listed: BTreeMap<_, _> = listed.map(|volume| (volume.key, volume.name)).collect();
        let expected = self.volumes.iter();
        let expected: BTreeMap<_, _> = expected
            .map(|(key, (name, _))| (key.clone(), name.clone()))
            .collect();
        assert_eq!(listed, expected);
        for (key, (name, bytes)) in &self.volumes {
            let disk = container.block_volume(key).unwrap();
            assert!(content(&*disk) == *bytes, "{name}");
        }
        assert_eq!(container.trouble(), None);
    }
}

fn errno<T>(result: &Result<T>) -> Option<Errno> {
    result.as_ref().err().map(transom_module::Error::errno)
}

fn check(members: &[u64], options: &str, blocks: u64) {
    let mut config = ProptestConfig::with_cases(CASES);
    config.failure_persistence = None;
    proptest!(config, |(operations in operations())| {
        let pool = Pool::formatted(members, options);
        let mut container = pool.load();
        let mut model = Model { volumes: BTreeMap::new(), blocks };
        for operation in &operations {
            model.apply(&container, operation);
            if matches!(operation, Operation::Reload) {
                drop(container);
                pool.check("").done();
                container = pool.load();
            }
            model.compare(&container);
        }
    });
}

#[test]
fn joined_members_are_what_a_naive_model_is() {
    check(&[37, 12, 50], "", 99);
}

#[test]
fn striped_members_are_what_a_naive_model_is() {
    check(&[37, 33, 50], "layout=stripe,chunk=8k", 3 * 32);
}
