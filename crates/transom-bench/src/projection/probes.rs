//! What a way to give an action its inputs gets right: eight questions, each
//! answered by trying.

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::Errno;
use serde::Serialize;
use transom_test::InputFile;

use crate::projection::arm::{Arm, Mechanism};
use crate::projection::client::{Roots, Script};
use crate::projection::volumes::Volumes;
use crate::projection::workload::Workload;

/// A way that is compared by what it gets right, too.
pub(crate) trait Alternative: Arm {
    /// Shows the inputs of the scene and finds out.
    fn probe(&mut self, scene: &Scene) -> Result<Findings>;
}

/// The answers, in the order of [`QUESTIONS`].
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Findings(pub(crate) [bool; QUESTIONS.len()]);

/// What is asked: a heading, and the question.
pub(crate) const QUESTIONS: [(&str, &str); 8] = [
    (
        "absent",
        "an undeclared file beside an input does not exist (ENOENT)",
    ),
    ("listing", "a listing shows the inputs and nothing else"),
    (
        "inside",
        "no name of an input leads out of the view (realpath)",
    ),
    (
        "file",
        "an input that is a symbolic link on the host is a file",
    ),
    (
        "untouched",
        "the host's file keeps its link count and change time, and so does what is shown",
    ),
    (
        "stable",
        "an input that is replaced on the host stays as it was",
    ),
    (
        "volumes",
        "inputs of another volume appear without being copied",
    ),
    ("add", "an input can be added while the action runs"),
];

const DIRECTORY: &str = "inputs";
const PLAIN: &str = "inputs/plain";
const LINK: &str = "inputs/link";
const REPLACED: &str = "inputs/replaced";
const ELSEWHERE: &str = "inputs/elsewhere";
const UNDECLARED: &str = "inputs/undeclared";
const ADDED: &str = "inputs/added";

const OLD: &str = "old bytes";
const NEW: &str = "new bytes";

/// Some inputs on two volumes, with other files beside them.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) workload: Workload,
    /// Where most farms are planted, and another volume.
    roots: [PathBuf; 2],
}

/// What the host's file is like before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before {
    links: u64,
    changed: (i64, i64),
}

impl Scene {
    /// Sets it on fresh directories.
    pub(crate) fn new(volumes: &Volumes) -> Result<Self> {
        let roots = [volumes.xfs("scene")?, volumes.ext4("scene")?];
        for root in &roots {
            fs::create_dir(root.join(DIRECTORY))?;
        }
        let [here, there] = &roots;
        for name in [PLAIN, REPLACED, UNDECLARED, ADDED] {
            fs::write(here.join(name), OLD)?;
        }
        fs::write(there.join(ELSEWHERE), OLD)?;
        fs::write(here.join("target"), OLD)?;
        symlink(here.join("target"), here.join(LINK))?;
        let input = |root: &Path, name: &str| InputFile {
            name: name.into(),
            source: root.join(name),
            bytes: OLD.len() as u64,
        };
        let mut inputs: Vec<_> = [PLAIN, LINK, REPLACED].map(|name| input(here, name)).into();
        inputs.push(input(there, ELSEWHERE));
        Ok(Self {
            workload: Workload {
                name: "scene",
                about: String::new(),
                inputs,
                volumes: roots.to_vec(),
                script: Script { steps: Vec::new() },
            },
            roots,
        })
    }

    /// To be asked before the inputs are shown.
    pub(crate) fn before(&self) -> Result<Before> {
        // Times of files are as coarse as the kernel's clock tick.
        std::thread::sleep(std::time::Duration::from_millis(20));
        let [here, there] = &self.roots;
        fs::write(there.join(ELSEWHERE), OLD)?;
        fs::write(here.join("replacement"), OLD)?;
        fs::rename(here.join("replacement"), here.join(REPLACED))?;
        self.state_of_the_host()
    }

    fn state_of_the_host(&self) -> Result<Before> {
        let metadata = fs::metadata(self.roots[0].join(PLAIN))?;
        Ok(Before {
            links: metadata.nlink(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// What others do to the host's files while the action runs.
    pub(crate) fn change_the_host(&self) -> Result<()> {
        let [here, there] = &self.roots;
        fs::write(here.join("replacement"), NEW)?;
        fs::rename(here.join("replacement"), here.join(REPLACED))?;
        // In place: whoever has a copy does not notice.
        Ok(fs::write(there.join(ELSEWHERE), NEW)?)
    }

    /// Looks at the inputs as the action does, after the host has changed.
    pub(crate) fn look(
        &self,
        roots: &Roots,
        before: &Before,
        add: impl FnOnce(&Path, &Path) -> Result<()>,
    ) -> Result<Findings> {
        let root = roots.root_of(0)?.as_fd();
        let elsewhere = match roots {
            Roots::View(root) => root.as_fd(),
            Roots::Volumes(volumes) => volumes[1].as_fd(),
        };
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let absent = matches!(statat(root, UNDECLARED, nofollow), Err(Errno::NOENT))
            && matches!(read(root, UNDECLARED), Err(Errno::NOENT));
        let mut declared: Vec<_> = self.workload.inputs.iter().map(name_of).collect();
        declared.sort();
        let listing = list(root).is_ok_and(|names| names == declared);
        let beneath = ResolveFlags::BENEATH;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let inside = [PLAIN, LINK]
            .into_iter()
            .all(|name| openat2(root, name, flags, Mode::empty(), beneath).is_ok());
        let kind = statat(root, LINK, nofollow).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let shown = statat(root, PLAIN, AtFlags::empty()).context(PLAIN)?;
        let untouched = shown.st_nlink == before.links && self.state_of_the_host()? == *before;
        let stable = read(root, REPLACED).is_ok_and(|bytes| bytes == OLD);
        // Whoever refuses what was changed in place has noticed: it is the file.
        let volumes = statat(elsewhere, ELSEWHERE, AtFlags::empty()).is_ok()
            && read(elsewhere, ELSEWHERE).map_or(true, |bytes| bytes != OLD);
        let added = add(Path::new(ADDED), &self.roots[0].join(ADDED)).is_ok()
            && read(root, ADDED).is_ok_and(|bytes| bytes == OLD);
        Ok(Findings([
            absent,
            listing,
            inside,
            kind == Ok(FileType::RegularFile),
            untouched,
            stable,
            volumes,
            added,
        ]))
    }
}

impl<M: Mechanism> Alternative for M {
    fn probe(&mut self, scene: &Scene) -> Result<Findings> {
        let before = scene.before()?;
        self.prepare();
        let roots = self.set_up().context("set-up")?;
        scene.change_the_host()?;
        let findings = scene.look(&roots, &before, |name, source| self.add(name, source));
        drop(roots);
        self.tear_down().context("tear-down")?;
        findings
    }
}

fn name_of(input: &InputFile) -> Vec<u8> {
    input
        .name
        .file_name()
        .map(|name| name.as_encoded_bytes().to_vec())
        .unwrap_or_default()
}

fn list(root: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(root, DIRECTORY, flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in Dir::new(directory)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn read(root: BorrowedFd<'_>, name: &str) -> rustix::io::Result<String> {
    let file = openat(root, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = String::new();
    match File::from(file).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
    }
}
