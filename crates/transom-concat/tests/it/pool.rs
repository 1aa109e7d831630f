//! Files that are members of a container.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use transom_concat::{Concat, ConcatModule};
use transom_module::{
    BlockVolume, BlockVolumes, Completed, Container, ContainerId, Error, LoadOptions, Maintenance,
    Module, Outcome, Resource, ResourceKind, Resources, Result, Stop, Task, TaskReporter,
    VolumeManagement,
};
use transom_test::temp_dir;

pub(crate) const BLOCK: u64 = 4096;
/// What of a member holds no data.
pub(crate) const OVERHEAD: u64 = (3 << 20) + BLOCK;

/// A directory of files with so many blocks of data each.
pub(crate) struct Pool {
    pub(crate) directory: TempDir,
    pub(crate) paths: Vec<PathBuf>,
}

impl Pool {
    pub(crate) fn of_files(blocks: &[u64]) -> Self {
        let directory = temp_dir().unwrap();
        let file = |(index, blocks): (usize, &u64)| {
            let path = directory.path().join(format!("member-{index}"));
            let file = File::create(&path).unwrap();
            file.set_len(OVERHEAD + blocks * BLOCK).unwrap();
            path
        };
        let paths = blocks.iter().enumerate().map(file).collect();
        Self { directory, paths }
    }

    /// The same, formatted.
    pub(crate) fn formatted(blocks: &[u64], options: &str) -> Self {
        let pool = Self::of_files(blocks);
        pool.format(options).done();
        pool
    }

    pub(crate) fn resources(&self) -> Vec<Resource> {
        self.paths.iter().map(|path| resource(path)).collect()
    }

    pub(crate) fn format(&self, options: &str) -> Ended {
        self.format_on("name=pool", options)
    }

    pub(crate) fn format_on(&self, first: &str, options: &str) -> Ended {
        let options = load_options(&format!("{first},{options}"));
        ended(&Told::default(), |task| {
            ConcatModule.format(self.resources(), &options, task)
        })
    }

    pub(crate) fn check(&self, options: &str) -> Ended {
        check(self.resources(), options)
    }

    pub(crate) fn load(&self) -> Concat {
        load(self.resources(), &LoadOptions::default()).unwrap()
    }

    /// Without the members of these indices.
    pub(crate) fn load_without(&self, missing: &[usize], degraded: bool) -> Result<Concat> {
        let there = self.resources().into_iter().enumerate();
        let there = there.filter(|(index, _)| !missing.contains(index));
        let options = LoadOptions {
            degraded,
            ..LoadOptions::default()
        };
        load(there.map(|(_, resource)| resource).collect(), &options)
    }

    /// The length of each member.
    pub(crate) fn bytes(&self) -> Vec<u64> {
        let bytes = |path: &PathBuf| fs::metadata(path).unwrap().len();
        self.paths.iter().map(bytes).collect()
    }
}

pub(crate) fn resource(path: &Path) -> Resource {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    Resource::new(ResourceKind::File, path, file.into())
}

pub(crate) fn load(members: Vec<Resource>, options: &LoadOptions) -> Result<Concat> {
    ConcatModule.load(Resources::new(ContainerId::NIL, members)?, options)
}

pub(crate) fn check(resources: Vec<Resource>, options: &str) -> Ended {
    let options = load_options(options);
    ended(&Told::default(), |task| {
        ConcatModule.check(resources, &options, task)
    })
}

/// Options as they are written behind `-o`.
pub(crate) fn load_options(text: &str) -> LoadOptions {
    let named = text.split(',').filter(|option| !option.is_empty());
    let named = named.map(|option| match option.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (option.to_owned(), None),
    });
    LoadOptions {
        named: named.collect(),
        ..LoadOptions::default()
    }
}

/// The only disk of that name.
pub(crate) fn disk(container: &Concat, name: &str) -> Arc<dyn BlockVolume> {
    container.block_volume(&key_of(container, name)).unwrap()
}

pub(crate) fn key_of(container: &Concat, name: &str) -> String {
    let volumes = container.volumes();
    let named: Vec<_> = volumes
        .iter()
        .filter(|volume| volume.name == name)
        .collect();
    assert_eq!(named.len(), 1, "{volumes:?}");
    named[0].key.clone()
}

pub(crate) fn create(container: &Concat, name: &str, blocks: u64) -> Arc<dyn BlockVolume> {
    let key = container.create(name, Some(blocks * BLOCK)).unwrap();
    container.block_volume(&key).unwrap()
}

pub(crate) fn content(disk: &dyn BlockVolume) -> Vec<u8> {
    let mut content = vec![0xaa; disk.geometry().bytes as usize];
    disk.read(0, &mut content).unwrap();
    content
}

/// What a task has told.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    log: Vec<String>,
    progress: Vec<(u64, u64)>,
    saved: Vec<Vec<u8>>,
    stop: Option<(usize, Stop)>,
    checkpoints: usize,
    outcome: Option<Outcome>,
}

impl Told {
    /// Asks the work to stop at that checkpoint, from 0.
    pub(crate) fn stopping_at(checkpoint: usize, stop: Stop) -> Self {
        let told = Self::default();
        told.0.lock().unwrap().stop = Some((checkpoint, stop));
        told
    }
}

impl TaskReporter for Told {
    fn progress(&self, done: u64, of: u64) {
        self.0.lock().unwrap().progress.push((done, of));
    }

    fn log(&self, line: String) {
        self.0.lock().unwrap().log.push(line);
    }

    fn save(&self, state: &[u8]) -> Result<()> {
        self.0.lock().unwrap().saved.push(state.to_vec());
        Ok(())
    }

    fn checkpoint(&self) -> std::result::Result<(), Stop> {
        let mut state = self.0.lock().unwrap();
        let now = state.checkpoints;
        state.checkpoints += 1;
        match state.stop {
            Some((at, stop)) if at == now => Err(stop),
            _ => Ok(()),
        }
    }

    fn end(&self, outcome: Outcome) {
        self.0.lock().unwrap().outcome = Some(outcome);
    }
}

/// A task that has ended.
pub(crate) struct Ended {
    pub(crate) log: Vec<String>,
    pub(crate) progress: Vec<(u64, u64)>,
    pub(crate) saved: Vec<Vec<u8>>,
    pub(crate) outcome: Outcome,
}

impl Ended {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert!(matches!(self.outcome, Outcome::Done), "{:?}", self.outcome);
        self
    }

    #[track_caller]
    pub(crate) fn failed(self) -> Error {
        match self.outcome {
            Outcome::Failed(error) => error,
            outcome => panic!("{outcome:?}"),
        }
    }
}

pub(crate) fn ended(told: &Told, work: impl FnOnce(Task) -> Completed) -> Ended {
    ended_with(told, None, work)
}

/// Work that goes on where an earlier one had saved.
pub(crate) fn ended_with(
    told: &Told,
    saved: Option<Vec<u8>>,
    work: impl FnOnce(Task) -> Completed,
) -> Ended {
    let _ = work(Task::started(Box::new(told.clone()), Vec::new(), saved));
    let mut state = told.0.lock().unwrap();
    let state = std::mem::take(&mut *state);
    Ended {
        log: state.log,
        progress: state.progress,
        saved: state.saved,
        outcome: state.outcome.expect("it was told how it ended"),
    }
}
