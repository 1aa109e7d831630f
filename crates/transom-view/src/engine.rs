//! Which engine serves a view, and serving it.

use std::io;
use std::os::fd::OwnedFd;

use transom_fuse::{Options, Session, Statistics};
use transom_module::Invalidation;
use transom_projection::{Projection, View};
use transom_sandbox::privilege::Privilege;
use transom_sandbox::{Template, compose};

use crate::error::{Error, Result};

/// Files up to which each of them is bound: 20 us apiece when the view is made,
/// and no request while it is used. Beyond that names are answered when they
/// are asked for (docs/performance.md).
const BOUND_FILES_MAX: usize = 1000;

/// What makes a view visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A FUSE file system of this process, with passthrough where the kernel
    /// allows it.
    Fuse,
    /// A bind mount of each file.
    Mounts,
}

impl Engine {
    /// The one that costs least for a view of that many names, and why.
    #[must_use]
    pub fn cheapest(privilege: Privilege, names: usize) -> (Self, &'static str) {
        if privilege != Privilege::Host {
            let reason = "without privilege the kernel still reads bind mounts by itself";
            (Self::Mounts, reason)
        } else if names <= BOUND_FILES_MAX {
            (Self::Mounts, "few enough inputs to bind each of them")
        } else {
            (Self::Fuse, "too many inputs to bind each of them")
        }
    }

    /// As users write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fuse => "fuse",
            Self::Mounts => "mounts",
        }
    }
}

/// A view being served.
#[derive(Debug)]
pub enum Served {
    /// By the threads of a session.
    Fuse(Box<Session<Projection>>),
    /// By the kernel alone, from mounts that are made for each command.
    Mounts,
    /// By the kernel alone, from mounts that are cloned for each command.
    Template(Template),
}

impl Served {
    /// Begins to serve the views of `projection`.
    pub fn start(engine: Engine, projection: &Projection) -> Result<Self> {
        Ok(match engine {
            Engine::Fuse => {
                let session = Session::start(projection.volume(), &Options::default())?;
                Self::Fuse(Box::new(session))
            }
            Engine::Mounts => Self::Mounts,
        })
    }

    /// The same for one view that many commands are going to use.
    pub fn start_for_many(engine: Engine, projection: &Projection, view: &View) -> Result<Self> {
        match engine {
            Engine::Fuse => Self::start(engine, projection),
            Engine::Mounts => Ok(Self::Template(compose(view)?)),
        }
    }

    /// The view as a detached mount tree of its own.
    pub fn input_root(&self, view: &View) -> Result<OwnedFd> {
        match self {
            Self::Fuse(session) => {
                let subtree = session.subtree(&view.id().to_string());
                subtree.map_err(Error::Mount)
            }
            Self::Mounts => Ok(compose(view)?.into_tree()),
            Self::Template(template) => Ok(template.clone_tree()?),
        }
    }

    /// Whether the kernel reads the host files itself.
    #[must_use]
    pub fn passthrough(&self) -> bool {
        match self {
            Self::Fuse(session) => session.passthrough(),
            Self::Mounts | Self::Template(_) => true,
        }
    }

    /// What was asked so far; `None` if nobody asks us.
    #[must_use]
    pub fn statistics(&self) -> Option<Statistics> {
        match self {
            Self::Fuse(session) => Some(session.statistics()),
            Self::Mounts | Self::Template(_) => None,
        }
    }

    /// Makes the kernel forget what it was told.
    pub fn invalidate(&self, invalidations: &[Invalidation]) -> io::Result<()> {
        match self {
            Self::Fuse(session) => session.invalidate(invalidations),
            Self::Mounts | Self::Template(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cheapest_engine() {
        let cheapest = |privilege, names| Engine::cheapest(privilege, names).0;
        assert_eq!(cheapest(Privilege::Host, 10), Engine::Mounts);
        assert_eq!(cheapest(Privilege::Host, 20_000), Engine::Fuse);
        assert_eq!(cheapest(Privilege::Namespace, 20_000), Engine::Mounts);
    }
}
