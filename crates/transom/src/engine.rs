//! Which engine serves a view, and serving it.

use std::os::fd::OwnedFd;

use anyhow::{Context, bail};
use transom_fuse::{Options, Session, Statistics};
use transom_module::Invalidation;
use transom_projection::{Projection, View};
use transom_sandbox::privilege::Privilege;

use crate::commands::run::EngineChoice;

/// Files up to which `auto` binds each of them: 20 us apiece when the view is
/// made, and no request while it is used. Beyond that names are answered when
/// they are asked for (docs/performance.md).
const BOUND_FILES_MAX: usize = 1000;

/// An engine, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) engine: Engine,
    pub(crate) reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Fuse,
    Mounts,
}

impl Engine {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fuse => "fuse",
            Self::Mounts => "mounts",
        }
    }
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wishes {
    pub(crate) asked: EngineChoice,
    pub(crate) privilege: Privilege,
    /// The declared names.
    pub(crate) entries: usize,
    /// The option, if one was given, that only `fuse` can serve.
    pub(crate) needs_fuse: Option<&'static str>,
}

/// Chooses the engine.
pub(crate) fn choose(wishes: Wishes) -> anyhow::Result<Choice> {
    let Wishes {
        asked,
        privilege,
        entries,
        needs_fuse,
    } = wishes;
    let choice = |engine, reason: &str| Choice {
        engine,
        reason: reason.into(),
    };
    Ok(match (asked, needs_fuse) {
        (EngineChoice::Fuse, _) => choice(Engine::Fuse, "as asked"),
        (EngineChoice::Mounts, Some(option)) => {
            bail!(
                "{option} needs `--engine fuse`: with bind mounts the kernel does everything and nobody sees or \
                 changes it"
            )
        }
        (EngineChoice::Mounts, None) => choice(Engine::Mounts, "as asked"),
        (EngineChoice::Auto, Some(option)) => choice(Engine::Fuse, &format!("{option} needs it")),
        (EngineChoice::Auto, None) if privilege != Privilege::Host => choice(
            Engine::Mounts,
            "without privilege the kernel still reads bind mounts by itself",
        ),
        (EngineChoice::Auto, None) if entries <= BOUND_FILES_MAX => {
            choice(Engine::Mounts, "few enough inputs to bind each of them")
        }
        (EngineChoice::Auto, None) => choice(Engine::Fuse, "too many inputs to bind each of them"),
    })
}

/// A view being served.
#[derive(Debug)]
pub(crate) enum Served {
    Fuse(Box<Session<Projection>>),
    Mounts,
}

impl Served {
    pub(crate) fn start(engine: Engine, projection: &Projection) -> anyhow::Result<Self> {
        Ok(match engine {
            Engine::Mounts => Self::Mounts,
            Engine::Fuse => {
                let session = Session::start(projection.volume(), &Options::default()).context(
                    "cannot serve the view over FUSE, which `--engine mounts` does without",
                )?;
                Self::Fuse(Box::new(session))
            }
        })
    }

    /// The view as a detached mount tree of its own.
    pub(crate) fn input_root(&self, view: &View) -> anyhow::Result<OwnedFd> {
        Ok(match self {
            Self::Fuse(session) => session
                .subtree(&view.id().to_string())
                .context("cannot mount the view")?,
            Self::Mounts => transom_sandbox::compose(view)?.into_tree(),
        })
    }

    /// Whether the kernel reads the host files itself.
    pub(crate) fn passthrough(&self) -> bool {
        match self {
            Self::Fuse(session) => session.passthrough(),
            Self::Mounts => true,
        }
    }

    pub(crate) fn statistics(&self) -> Option<Statistics> {
        match self {
            Self::Fuse(session) => Some(session.statistics()),
            Self::Mounts => None,
        }
    }

    pub(crate) fn invalidate(&self, invalidations: &[Invalidation]) -> std::io::Result<()> {
        match self {
            Self::Fuse(session) => session.invalidate(invalidations),
            Self::Mounts => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose_for(
        asked: EngineChoice,
        privilege: Privilege,
        entries: usize,
        needs_fuse: Option<&'static str>,
    ) -> Engine {
        choose(Wishes {
            asked,
            privilege,
            entries,
            needs_fuse,
        })
        .unwrap()
        .engine
    }

    #[test]
    fn auto_takes_what_costs_least_and_can_do_it() {
        use EngineChoice::Auto;
        assert_eq!(choose_for(Auto, Privilege::Host, 10, None), Engine::Mounts);
        assert_eq!(
            choose_for(Auto, Privilege::Host, 20_000, None),
            Engine::Fuse
        );
        assert_eq!(
            choose_for(Auto, Privilege::Namespace, 20_000, None),
            Engine::Mounts
        );
        assert_eq!(
            choose_for(Auto, Privilege::Namespace, 10, Some("--trace")),
            Engine::Fuse
        );
    }

    #[test]
    fn what_an_engine_cannot_do_is_refused_with_the_remedy() {
        let wishes = Wishes {
            asked: EngineChoice::Mounts,
            privilege: Privilege::Host,
            entries: 1,
            needs_fuse: Some("--trace"),
        };
        let error = choose(wishes).unwrap_err().to_string();
        assert!(
            error.starts_with("--trace needs `--engine fuse`"),
            "{error}"
        );
    }
}
