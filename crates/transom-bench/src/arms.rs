//! All arms.

mod binds;
mod native;
mod sandboxfs;
mod symlinks;

use std::path::PathBuf;

use anyhow::Result;

use crate::arm::Arm;
use crate::volumes::Volumes;
use crate::workload::Workload;

/// What there is to compare, native first, and what there is not.
pub(crate) struct Arms {
    pub(crate) arms: Vec<Box<dyn Arm>>,
    /// For each arm that cannot be run here, why.
    pub(crate) missing: Vec<String>,
}

/// The programs that some arms need.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) sandboxfs: Option<PathBuf>,
}

impl Arms {
    /// The arms for one workload.
    pub(crate) fn new(workload: &Workload, volumes: &Volumes, programs: &Programs) -> Result<Self> {
        let mut arms: Vec<Box<dyn Arm>> = vec![
            Box::new(native::Native::new(workload)),
            Box::new(symlinks::SymlinksOnDisk::new(workload, volumes)?),
            Box::new(symlinks::SymlinksInMemory::new(workload)?),
            Box::new(binds::Binds::new(workload)?),
        ];
        let mut missing = Vec::new();
        match sandboxfs::find(programs.sandboxfs.clone()) {
            Ok(program) => {
                arms.push(Box::new(sandboxfs::Sandboxfs::start(&program, workload)?));
            }
            Err(error) => missing.push(format!("sandboxfs: {error:#}; {}", sandboxfs::INSTALL)),
        }
        Ok(Self { arms, missing })
    }
}
