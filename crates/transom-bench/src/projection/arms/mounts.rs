use std::sync::Arc;

use anyhow::{Context, Result};
use transom_projection::{
    Declaration, HostRoot, Projection, ProjectionOptions, Tree, View, ViewOptions,
};
use transom_sandbox::{Template, compose};

use crate::projection::arm::{About, Mechanism};
use crate::projection::client::Roots;
use crate::projection::manifests::declarations;
use crate::projection::workload::Workload;

/// The engine `mounts`: a mount for each input, made for the action.
#[derive(Debug)]
pub(crate) struct Mounts {
    declared: Vec<Declaration>,
    prepared: Vec<Declaration>,
    pinned: Option<(Projection, Arc<View>)>,
}

/// The engine `mounts` with a view that is kept: each action gets a clone of
/// its mounts.
#[derive(Debug)]
pub(crate) struct MountsTemplate {
    template: Template,
}

impl Mounts {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        Ok(Self {
            declared: declarations(&workload.inputs)?,
            prepared: Vec::new(),
            pinned: None,
        })
    }
}

impl MountsTemplate {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        let (_, view) = pin(declarations(&workload.inputs)?)?;
        Ok(Self {
            template: compose(&view)?,
        })
    }
}

impl Mechanism for Mounts {
    const NAME: &'static str = "mounts";
    const ABOUT: About = About {
        before: "the parsed manifest",
        set_up: "a clone of the host's mounts, the tree of names, every input opened, a tmpfs \
                 with the directories, an empty file and a read-only bind mount for each input",
        tear_down: "the mounts are closed, every input is closed",
    };

    fn prepare(&mut self) {
        self.prepared.clone_from(&self.declared);
    }

    fn set_up(&mut self) -> Result<Roots> {
        let (projection, view) = pin(std::mem::take(&mut self.prepared))?;
        let root = compose(&view)?.into_tree();
        self.pinned = Some((projection, view));
        Ok(Roots::View(root))
    }

    fn tear_down(&mut self) -> Result<()> {
        drop(self.pinned.take().context("not set up")?);
        Ok(())
    }
}

impl Mechanism for MountsTemplate {
    const NAME: &'static str = "mounts, kept template";
    const ABOUT: About = About {
        before: "the view as a detached mount tree",
        set_up: "the tree of mounts is cloned",
        tear_down: "the clone is closed",
    };

    fn set_up(&mut self) -> Result<Roots> {
        Ok(Roots::View(self.template.clone_tree()?))
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(())
    }
}

fn pin(declared: Vec<Declaration>) -> Result<(Projection, Arc<View>)> {
    let host = HostRoot::at(transom_sandbox::host_tree()?);
    let projection = Projection::new(host, ProjectionOptions::default());
    let view = projection.pin(Tree::build(declared)?, ViewOptions::default())?;
    Ok((projection, view))
}
