//! All arms.

mod binds;
mod farms;
mod fuse;
mod landlock;
mod mounts;
mod native;
mod overlay;
mod program;
mod sandboxfs;

use std::path::PathBuf;

use anyhow::{Context, Error, Result};

use crate::arguments::MeasureArguments;
use crate::programs;
use crate::projection::arm::{Arm, Mechanism, NATIVE};
use crate::projection::probes::Alternative;
use crate::projection::volumes::Volumes;
use crate::projection::workload::Workload;

use binds::Binds;
use farms::{Clones, Copies, HardLinks, OnDisk, Symlinks, SymlinksInMemory};
use fuse::{Fuse, FuseKeptView, FuseNewView};
use landlock::Landlock;
use mounts::{Mounts, MountsTemplate};
use native::Native;
use overlay::Overlay;
use program::Program;
use sandboxfs::Sandboxfs;

/// What there is to compare, and what there is not.
pub(crate) struct Arms {
    pub(crate) arms: Vec<Box<dyn Arm>>,
    /// For each arm that cannot be run here, why.
    pub(crate) missing: Vec<String>,
}

/// Which arms, and the programs that some of them need.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// Parts of names; none means all. What others are compared with is
    /// always there.
    pub(crate) names: Vec<String>,
    pub(crate) sandboxfs: Option<PathBuf>,
    pub(crate) transom: Option<PathBuf>,
}

/// What part of all descriptors a view may have that is kept while other arms
/// run: an engine on its own takes three quarters.
const KEPT_SHARE: usize = 8;

impl Arms {
    /// The arms for one workload, in a process that may keep `descriptors`
    /// files open.
    pub(crate) fn new(
        workload: &Workload,
        volumes: &Volumes,
        choice: &Choice,
        descriptors: usize,
    ) -> Result<Self> {
        let mut arms = Self {
            arms: Vec::new(),
            missing: Vec::new(),
        };
        let kept = descriptors / KEPT_SHARE;
        arms.add(choice, || Ok(Native::new(workload)))?;
        arms.add(choice, || Fuse::new(workload))?;
        arms.add(choice, || FuseNewView::new(workload))?;
        arms.add(choice, || FuseKeptView::new(workload, kept))?;
        arms.add(choice, || Mounts::new(workload))?;
        arms.add(choice, || MountsTemplate::new(workload))?;
        arms.add(choice, || SymlinksInMemory::new(workload))?;
        arms.add(choice, || OnDisk::<Symlinks>::new(workload, volumes))?;
        arms.add(choice, || Binds::new(workload))?;
        match sandboxfs::find(choice.sandboxfs.as_deref()) {
            Ok(program) => arms.add(choice, || Sandboxfs::start(&program, workload))?,
            Err(error) => arms.miss(choice, Sandboxfs::NAME, &error, sandboxfs::INSTALL),
        }
        arms.arms.push(Box::new(Program::native(workload)?));
        for engine in program::ENGINES {
            match programs::transom(choice.transom.as_deref()) {
                _ if !choice.wants(engine.arm) => {}
                Ok(transom) => {
                    let program = Program::transom(&transom, *engine, workload)?;
                    arms.arms.push(Box::new(program));
                }
                Err(error) => arms.miss(choice, engine.arm, &error, programs::INSTALL_TRANSOM),
            }
        }
        Ok(arms)
    }

    fn add<M: Mechanism + 'static>(
        &mut self,
        choice: &Choice,
        make: impl FnOnce() -> Result<M>,
    ) -> Result<()> {
        if choice.wants(M::NAME) {
            self.arms.push(Box::new(make().context(M::NAME)?));
        }
        Ok(())
    }

    fn miss(&mut self, choice: &Choice, arm: &str, error: &Error, remedy: &str) {
        if choice.wants(arm) {
            self.missing.push(format!("{arm}: {error:#}; {remedy}"));
        }
    }
}

/// The same for arms that are asked what they get right, too.
pub(crate) struct Alternatives {
    pub(crate) arms: Vec<Box<dyn Alternative>>,
    pub(crate) missing: Vec<String>,
}

/// The ways that other tools use, and ours, for one workload. Those that cannot
/// be run here are named with the reason.
pub(crate) fn alternatives(
    workload: &Workload,
    volumes: &Volumes,
    choice: &Choice,
) -> Result<Alternatives> {
    let mut missing = Vec::new();
    let mut arms: Vec<Box<dyn Alternative>> = vec![
        Box::new(Native::new(workload)),
        Box::new(OnDisk::<Symlinks>::new(workload, volumes)?),
        Box::new(OnDisk::<HardLinks>::new(workload, volumes)?),
        Box::new(OnDisk::<Copies>::new(workload, volumes)?),
        Box::new(OnDisk::<Clones>::new(workload, volumes)?),
        Box::new(Binds::new(workload)?),
        Box::new(Overlay::new(workload)?),
    ];
    match Landlock::new(workload) {
        Ok(landlock) => arms.push(Box::new(landlock)),
        Err(error) => missing.push(format!("Landlock: {error:#}")),
    }
    match sandboxfs::find(choice.sandboxfs.as_deref()) {
        Ok(program) => arms.push(Box::new(Sandboxfs::start(&program, workload)?)),
        Err(error) => missing.push(format!(
            "{}: {error:#}; {}",
            Sandboxfs::NAME,
            sandboxfs::INSTALL
        )),
    }
    arms.push(Box::new(Mounts::new(workload)?));
    arms.push(Box::new(FuseNewView::new(workload)?));
    arms.retain(|arm| choice.wants(arm.name()));
    Ok(Alternatives { arms, missing })
}

impl Choice {
    pub(crate) fn new(arguments: &MeasureArguments) -> Self {
        Self {
            names: arguments.arms.clone(),
            sandboxfs: arguments.sandboxfs.clone(),
            transom: arguments.transom.clone(),
        }
    }

    fn wants(&self, arm: &str) -> bool {
        arm == NATIVE || self.names.is_empty() || self.names.iter().any(|part| arm.contains(part))
    }
}
