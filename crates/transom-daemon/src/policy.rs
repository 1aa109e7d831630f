//! Who may do what: the daemon's policy.
//!
//! Everybody sees and steers what is his own. What he may make at all, and who
//! may touch what others have made, is said by one file (`docs/policy.md`); a
//! daemon without one lets everybody have views of the files that he can read
//! anyway, and lets root alone do everything else. Root may always do
//! everything, whatever the file says.
//!
//! Whatever is refused names the rule that decided, as it is written in the
//! file, so that whoever is refused can tell the administrator what to change.

mod file;
mod names;

use std::fmt;
use std::sync::Arc;

use transom_control::Peer;
use transom_projection::Allowance;

pub use file::PolicyError;
pub use names::Names;

/// What the policy decides about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// Make views of host files that the caller can read.
    Views,
    /// Load containers of resources that the caller can open.
    Load,
    /// Mount volumes of his containers in the daemon's mount namespace.
    Mount,
    /// Publish block devices of his containers.
    Block,
    /// See what others have made.
    Status,
    /// Change and end what others have made.
    SteerOthers,
}

/// The rules of one daemon.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What it was read from, for refusals.
    source: Arc<str>,
    rules: [Rule; Action::ALL.len()],
    of_user: Limits,
    of_all: Limits,
}

/// Who may perform one action.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Rule {
    callers: Vec<Callers>,
    /// Where it is written; `None` if nobody has.
    line: Option<usize>,
}

/// Some callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Callers {
    Everyone,
    User(u32),
    /// The group itself, or as a supplementary one.
    Group(u32),
}

/// How much views may take. Each limit comes with the line it is written at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limits {
    views: (usize, Option<usize>),
    names: (usize, Option<usize>),
}

/// Something the policy does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({rule})")]
pub struct Denial {
    /// The rule that decided, and where it is written.
    pub rule: String,
    /// What is not allowed.
    pub message: String,
}

impl Action {
    /// All there are.
    pub const ALL: [Self; 6] = [
        Self::Views,
        Self::Load,
        Self::Mount,
        Self::Block,
        Self::Status,
        Self::SteerOthers,
    ];

    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Views => "views",
            Self::Load => "load",
            Self::Mount => "mount",
            Self::Block => "block",
            Self::Status => "status",
            Self::SteerOthers => "steer-others",
        }
    }

    fn description(self) -> &'static str {
        match self {
            Self::Views => "make views",
            Self::Load => "load containers",
            Self::Mount => "mount volumes",
            Self::Block => "publish block devices",
            Self::Status => "see what others have made",
            Self::SteerOthers => "change what others have made",
        }
    }
}

impl Default for Policy {
    /// What holds without a file.
    fn default() -> Self {
        let mut rules: [Rule; Action::ALL.len()] = Default::default();
        rules[Action::Views as usize].callers = vec![Callers::Everyone];
        Self {
            source: "the built-in policy".into(),
            rules,
            of_user: Limits {
                views: (1_000, None),
                names: (2_000_000, None),
            },
            of_all: Limits {
                views: (20_000, None),
                names: (20_000_000, None),
            },
        }
    }
}

impl Policy {
    /// Whether the caller may do that.
    pub fn check(&self, action: Action, caller: &Peer) -> Result<(), Denial> {
        let rule = &self.rules[action as usize];
        if caller.uid.is_root() || rule.callers.iter().any(|callers| callers.include(caller)) {
            return Ok(());
        }
        Err(Denial {
            rule: self.at(&format!("allow.{} = {rule}", action.name()), rule.line),
            message: format!(
                "user {} may not {}",
                caller.uid.as_raw(),
                action.description()
            ),
        })
    }

    /// Whether the caller may do that with something of `owner`'s: what is one's
    /// own needs no rule.
    pub fn check_foreign(&self, action: Action, caller: &Peer, owner: u32) -> Result<(), Denial> {
        match caller.uid.as_raw() == owner {
            true => Ok(()),
            false => self.check(action, caller),
        }
    }

    /// What the views of one user may take together.
    pub(crate) fn allowance_of_user(&self) -> Allowance {
        self.allowance("limits.user", self.of_user)
    }

    /// What the views of all users may take together.
    pub(crate) fn allowance_of_all(&self) -> Allowance {
        self.allowance("limits.all", self.of_all)
    }

    fn allowance(&self, table: &str, limits: Limits) -> Allowance {
        let limit =
            |what: &str, (max, line)| (max, self.at(&format!("{table}.{what} = {max}"), line));
        Allowance::new(limit("views", limits.views), limit("names", limits.names))
    }

    fn at(&self, rule: &str, line: Option<usize>) -> String {
        match line {
            Some(line) => format!("{rule}, {}:{line}", self.source),
            None => format!("{rule}, {}", self.source),
        }
    }
}

impl Callers {
    fn include(self, caller: &Peer) -> bool {
        match self {
            Self::Everyone => true,
            Self::User(uid) => caller.uid.as_raw() == uid,
            Self::Group(gid) => {
                let groups = caller.groups.iter().chain([&caller.gid]);
                groups.into_iter().any(|group| group.as_raw() == gid)
            }
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.callers.iter().map(ToString::to_string))
            .finish()
    }
}

impl fmt::Display for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::User(uid) => write!(f, "user:{uid}"),
            Self::Group(gid) => write!(f, "group:{gid}"),
        }
    }
}

#[cfg(test)]
mod tests;
