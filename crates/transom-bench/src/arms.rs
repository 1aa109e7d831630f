//! All arms.

mod binds;
mod fuse;
mod mounts;
mod native;
mod program;
mod sandboxfs;
mod symlinks;

use std::path::PathBuf;

use anyhow::Result;

use crate::arm::Arm;
use crate::volumes::Volumes;
use crate::workload::Workload;

/// What there is to compare, and what there is not.
pub(crate) struct Arms {
    pub(crate) arms: Vec<Box<dyn Arm>>,
    /// For each arm that cannot be run here, why.
    pub(crate) missing: Vec<String>,
}

/// What part of all descriptors a view may have that is kept while other arms
/// run: an engine on its own takes three quarters.
const KEPT_SHARE: usize = 8;

/// Which arms, and the programs that some of them need.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// Parts of names; none means all. What others are compared with is
    /// always there.
    pub(crate) names: Vec<String>,
    pub(crate) sandboxfs: Option<PathBuf>,
    pub(crate) transom: Option<PathBuf>,
}

impl Arms {
    /// The arms for one workload, in a process that may keep `descriptors` files
    /// open.
    pub(crate) fn new(
        workload: &Workload,
        volumes: &Volumes,
        choice: &Choice,
        descriptors: usize,
    ) -> Result<Self> {
        let mut arms: Vec<Box<dyn Arm>> = vec![
            Box::new(native::Native::new(workload)),
            Box::new(fuse::Fuse::new(workload)?),
            Box::new(fuse::FuseNewView::new(workload)?),
            Box::new(fuse::FuseKeptView::new(workload, descriptors / KEPT_SHARE)?),
            Box::new(mounts::Mounts::new(workload)?),
            Box::new(mounts::MountsTemplate::new(workload)?),
            Box::new(symlinks::SymlinksInMemory::new(workload)?),
            Box::new(symlinks::SymlinksOnDisk::new(workload, volumes)?),
            Box::new(binds::Binds::new(workload)?),
        ];
        let mut missing = Vec::new();
        match sandboxfs::find(choice.sandboxfs.clone()) {
            Ok(program) => {
                arms.push(Box::new(sandboxfs::Sandboxfs::start(&program, workload)?));
            }
            Err(error) => missing.push(format!("sandboxfs: {error:#}; {}", sandboxfs::INSTALL)),
        }
        arms.push(Box::new(program::Program::native(workload)?));
        match program::find(choice.transom.clone()) {
            Ok(transom) => {
                arms.push(Box::new(program::Program::fuse(&transom, workload)?));
                arms.push(Box::new(program::Program::mounts(&transom, workload)?));
            }
            Err(error) => missing.push(format!("transom run: {error:#}; {}", program::INSTALL)),
        }
        arms.retain(|arm| {
            let name = arm.name();
            name == arm.base()
                || choice.names.is_empty()
                || choice.names.iter().any(|part| name.contains(part))
        });
        Ok(Self { arms, missing })
    }
}
