//! A loaded container.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use transom_module::{
    BlockVolume, BlockVolumes, Completed, Container, Errno, Error, Jobs, Listing, Outcome, Result,
    Task, VolumeDefinition, VolumeManagement,
};

use crate::member::Member;
use crate::members::Members;
use crate::patrol;
use crate::store::Store;
use crate::sub_volume::SubVolume;
use crate::table::{Resized, Row, Table};
use crate::tree::Tree;

/// Members with the sub-volumes that are on them.
#[derive(Debug)]
pub struct Concat {
    members: Arc<Members>,
    /// Held while the table is changed.
    store: Mutex<Store<Member>>,
    /// What the table says, for those who only look.
    volumes: RwLock<BTreeMap<u64, Arc<SubVolume>>>,
    /// Why nothing can be changed any more.
    broken: OnceLock<String>,
    /// What the last patrol has found.
    found: Mutex<Option<String>>,
}

impl Concat {
    /// `members`, with their table read by `store`.
    pub(crate) fn new(members: Members, store: Store<Member>) -> Self {
        let members = Arc::new(members);
        let volume = |(key, row): (u64, &Row)| {
            (
                key,
                Arc::new(SubVolume::new(Arc::clone(&members), row.clone())),
            )
        };
        let volumes = store.table().volumes().map(volume).collect();
        Self {
            members,
            store: Mutex::new(store),
            volumes: RwLock::new(volumes),
            broken: OnceLock::new(),
            found: Mutex::default(),
        }
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// What is wrong with the tables on the members.
    pub(crate) fn table_damage(&self) -> Vec<String> {
        self.store().damage()
    }

    /// The name of the sub-volume that an address belongs to.
    pub(crate) fn volume_at(&self, address: u64) -> Option<String> {
        self.store().table().at(address).map(str::to_owned)
    }

    fn sub_volume(&self, key: &str) -> Result<Arc<SubVolume>> {
        let volumes = self.volumes.read().unwrap_or_else(PoisonError::into_inner);
        let volume = parse_key(key).and_then(|key| volumes.get(&key).cloned());
        volume.ok_or_else(|| no_volume(key))
    }

    /// How many volumes lie on missing members, if any do.
    fn unusable(&self) -> Option<String> {
        let volumes = self.volumes.read().unwrap_or_else(PoisonError::into_inner);
        let unusable = volumes
            .values()
            .filter(|volume| volume.check_complete().is_err());
        let (count, of) = (unusable.count(), volumes.len());
        (count > 0).then(|| format!("{count} of {of} volumes cannot be used"))
    }

    /// The table of which a change is made. `EROFS` if none can be.
    fn changing(&self) -> Result<Changing<'_>> {
        let missing = self.members.missing();
        if !missing.is_empty() {
            let message = format!(
                "volumes cannot be made or changed without {}",
                missing.join(", ")
            );
            return Err(Error::new(Errno::EROFS, message));
        }
        if self.members.read_only() {
            let message = "the container is loaded to be read only";
            return Err(Error::new(Errno::EROFS, message));
        }
        let store = self.store();
        Ok(Changing {
            table: store.table().clone(),
            store,
            broken: &self.broken,
        })
    }

    fn store(&self) -> MutexGuard<'_, Store<Member>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_volumes<T>(&self, change: impl FnOnce(&mut BTreeMap<u64, Arc<SubVolume>>) -> T) -> T {
        change(&mut self.volumes.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Container for Concat {
    type Volume = Tree;

    fn volumes(&self) -> Vec<Listing> {
        let volumes = self.volumes.read().unwrap_or_else(PoisonError::into_inner);
        let listing = |(key, volume): (&u64, &Arc<SubVolume>)| Listing {
            key: key.to_string(),
            name: volume.name(),
        };
        volumes.iter().map(listing).collect()
    }

    fn volume(&self, key: &str) -> Result<VolumeDefinition<Tree>> {
        let volume = self.sub_volume(key)?;
        volume.check_complete()?;
        Tree::definition(volume)
    }

    fn synchronize(&self) -> Result<()> {
        match self.members.read_only() {
            true => Ok(()),
            false => self.members.synchronize(),
        }
    }

    fn trouble(&self) -> Option<String> {
        let missing = self
            .members
            .missing()
            .into_iter()
            .map(|name| format!("{name} is missing"));
        let failing = self.members.present().filter_map(|(index, member)| {
            let (name, errors) = (self.members.name_of(index), member.errors());
            let path = member.path().display();
            (errors > 0).then(|| format!("{name} (`{path}`) has failed {errors} times"))
        });
        let mut all: Vec<_> = missing
            .chain(failing)
            .chain(self.members.label_damage())
            .collect();
        all.extend(self.unusable());
        all.extend(self.broken.get().cloned());
        all.extend(
            self.found
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
        );
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn management(&self) -> Option<&dyn VolumeManagement> {
        Some(self)
    }

    fn blocks(&self) -> Option<&dyn BlockVolumes> {
        Some(self)
    }

    fn jobs(&self) -> Option<&dyn Jobs> {
        Some(self)
    }
}

impl BlockVolumes for Concat {
    fn block_volumes(&self) -> Vec<Listing> {
        self.volumes()
    }

    fn block_volume(&self, key: &str) -> Result<Arc<dyn BlockVolume>> {
        let volume = self.sub_volume(key)?;
        volume.check_complete()?;
        Ok(volume)
    }
}

impl VolumeManagement for Concat {
    fn create(&self, name: &str, bytes: Option<u64>) -> Result<String> {
        let Some(bytes) = bytes else {
            let message = format!("volume `{name}` needs a size");
            return Err(Error::new(Errno::EINVAL, message));
        };
        let mut changing = self.changing()?;
        let key = changing.table.create(self.members.space(), name, bytes)?;
        let row = changing.table.row(key)?.clone();
        // Nobody reads what a removed volume has left there.
        self.members.clear(&row.extents)?;
        changing.commit()?;
        let volume = Arc::new(SubVolume::new(Arc::clone(&self.members), row));
        self.change_volumes(|volumes| volumes.insert(key, volume));
        Ok(key.to_string())
    }

    fn rename(&self, key: &str, name: &str) -> Result<()> {
        let volume = self.sub_volume(key)?;
        let mut changing = self.changing()?;
        let number = number_of(key)?;
        changing.table.rename(number, name)?;
        let row = changing.table.row(number)?.clone();
        changing.commit()?;
        volume.become_row(row);
        Ok(())
    }

    fn resize(&self, key: &str, bytes: u64) -> Result<()> {
        let volume = self.sub_volume(key)?;
        let mut changing = self.changing()?;
        let number = number_of(key)?;
        let old = changing.table.row(number)?.clone();
        let resized = changing.table.resize(self.members.space(), number, bytes)?;
        let new = changing.table.row(number)?.clone();
        match resized {
            Resized::Grown(gained) => {
                self.members.clear(&gained)?;
                changing.commit()?;
                volume.become_row(new);
            }
            Resized::Shrunk(lost) => {
                volume.become_row(new);
                changing.commit().inspect_err(|_| volume.become_row(old))?;
                self.members.give_back(&lost);
            }
        }
        Ok(())
    }

    fn remove(&self, key: &str) -> Result<()> {
        let volume = self.sub_volume(key)?;
        let mut changing = self.changing()?;
        let number = number_of(key)?;
        let row = changing.table.remove(number)?;
        volume.become_row(Row {
            name: row.name.clone(),
            extents: Vec::new(),
        });
        changing
            .commit()
            .inspect_err(|_| volume.become_row(row.clone()))?;
        self.change_volumes(|volumes| volumes.remove(&number));
        self.members.give_back(&row.extents);
        Ok(())
    }
}

impl Jobs for Concat {
    fn kinds(&self) -> &'static [(&'static str, &'static str)] {
        &[(
            patrol::KIND,
            "reads every block of every member, and compares all copies of labels and tables, \
             to find what is damaged before it is needed",
        )]
    }

    fn run(&self, kind: &str, task: Task) -> Completed {
        if kind != patrol::KIND {
            let message = format!("there is no job `{kind}`; there is `{}`", patrol::KIND);
            return task.complete(Err(Error::new(Errno::EINVAL, message)));
        }
        let outcome = match patrol::run(self, &task) {
            Ok(damage) => {
                let message = damage.message();
                let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
                found.clone_from(&message);
                message.map_or(Outcome::Done, |message| {
                    Outcome::Failed(Error::new(Errno::EIO, message))
                })
            }
            Err(outcome) => outcome,
        };
        task.end(outcome)
    }
}

/// A table that is being changed. As long as it exists nobody else changes one,
/// nor takes space that a change has freed.
struct Changing<'a> {
    table: Table,
    store: MutexGuard<'a, Store<Member>>,
    broken: &'a OnceLock<String>,
}

impl Changing<'_> {
    /// Makes the changed table the table, durably.
    fn commit(&mut self) -> Result<()> {
        let committed = self.store.commit(self.table.clone());
        if let Some(reason) = self.store.broken() {
            let _ = self.broken.set(reason.to_owned());
        }
        committed
    }
}

fn parse_key(key: &str) -> Option<u64> {
    let number = key.parse::<u64>().ok()?;
    // What can be written in several ways is a key in one of them.
    (number.to_string() == key).then_some(number)
}

fn number_of(key: &str) -> Result<u64> {
    parse_key(key).ok_or_else(|| no_volume(key))
}

fn no_volume(key: &str) -> Error {
    Error::new(
        Errno::ENOENT,
        format!("there is no volume with the key `{key}`"),
    )
}
