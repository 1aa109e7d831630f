//! What is measured: a set of declared inputs, and what an action does to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use transom_test::{InputFile, LargeTree, SeedAction};

use crate::projection::client::{Script, Step, StepKind};
use crate::projection::volumes::Volumes;

/// Inputs on their volumes, and what the client does to them.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) about: String,
    pub(crate) inputs: Vec<InputFile>,
    /// The roots of the volumes that the inputs lie on.
    pub(crate) volumes: Vec<PathBuf>,
    pub(crate) script: Script,
}

impl Workload {
    /// The seed's action: every input is read once.
    pub(crate) fn seed(volumes: &Volumes) -> Result<Self> {
        let roots = [volumes.ext4("seed")?, volumes.xfs("seed")?];
        let action = SeedAction::generate(&roots[0], &roots[1])?;
        let read = |file| step(StepKind::Read, volume_of(file, &roots)?, &file.name);
        let steps = action.files().iter().map(read).collect::<Result<_>>()?;
        let bytes: u64 = action.files().iter().map(|file| file.bytes).sum();
        Ok(Self {
            name: "seed",
            about: format!(
                "{} files ({} MiB) in {} directories, on an ext4 and an XFS volume; {} reads",
                action.files().len(),
                bytes >> 20,
                SeedAction::DIRECTORIES,
                SeedAction::READS,
            ),
            inputs: action.files().to_vec(),
            volumes: roots.into(),
            script: Script { steps },
        })
    }

    /// A large tree of which little is touched, and many names are asked for
    /// in vain.
    pub(crate) fn large(volumes: &Volumes) -> Result<Self> {
        let root = volumes.ext4("large")?;
        let tree = LargeTree::generate(&root)?;
        let absent = tree.absent().map(|name| step(StepKind::Absent, 0, &name));
        let touched = tree
            .touched()
            .map(|file| step(StepKind::Read, 0, &file.name));
        Ok(Self {
            name: "large",
            about: format!(
                "{} files in {} directories, on an ext4 volume; {} failed look-ups, then {} files read",
                LargeTree::FILES,
                LargeTree::DIRECTORIES,
                LargeTree::ABSENT,
                LargeTree::TOUCHED,
            ),
            script: Script {
                steps: absent.chain(touched).collect::<Result<_>>()?,
            },
            inputs: tree.files().to_vec(),
            volumes: vec![root],
        })
    }

    /// The directories of the view, parents first, without the root.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let ancestors = |file: &'_ InputFile| {
            let ancestors = file.name.ancestors().skip(1);
            ancestors.map(Path::to_owned).collect::<Vec<_>>()
        };
        let directories: BTreeSet<_> = self.inputs.iter().flat_map(ancestors).collect();
        let inside = |path: &PathBuf| !path.as_os_str().is_empty();
        directories.into_iter().filter(inside).collect()
    }
}

/// Which of `volumes` a file lies on.
pub(crate) fn volume_of(file: &InputFile, volumes: &[PathBuf]) -> Result<usize> {
    let volume = volumes
        .iter()
        .position(|volume| file.source.starts_with(volume));
    volume.with_context(|| format!("{} is on no volume", file.source.display()))
}

fn step(kind: StepKind, volume: usize, name: &Path) -> Result<Step> {
    let name = name.to_str().context("generated names are text")?;
    Ok(Step {
        kind,
        volume,
        name: name.to_owned(),
    })
}
