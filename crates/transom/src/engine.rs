//! Which engine serves a view.

use anyhow::bail;
use transom_sandbox::privilege::Privilege;
use transom_view::Engine;

use crate::commands::run::EngineChoice;

/// An engine, and why it was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) engine: Engine,
    pub(crate) reason: String,
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
        (EngineChoice::Auto, None) => {
            let (engine, reason) = Engine::cheapest(privilege, entries);
            choice(engine, reason)
        }
    })
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
