//! The policy as it is written: `docs/policy.md`.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

use super::{Action, Callers, Limits, Names, Policy, Rule};

/// A policy that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    source: String,
    line: usize,
    problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    allow: BTreeMap<Spanned<String>, Spanned<Vec<Spanned<String>>>>,
    #[serde(default)]
    limits: LimitTables,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitTables {
    user: Option<LimitTable>,
    all: Option<LimitTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitTable {
    views: Option<Spanned<usize>>,
    names: Option<Spanned<usize>>,
}

/// Where a byte is.
struct Lines<'t> {
    text: &'t str,
    source: &'t str,
}

impl Policy {
    /// Reads the text of a policy; what it does not say is as without one.
    /// `source` is what the text is called: the path of the file.
    pub fn parse(text: &str, source: &str, names: &Names) -> Result<Self, PolicyError> {
        let lines = Lines { text, source };
        let document: Document = toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or_default();
            lines.error(&span, error.message())
        })?;
        let mut policy = Self {
            source: source.into(),
            ..Self::default()
        };
        for (name, callers) in document.allow {
            let action = Action::ALL
                .into_iter()
                .find(|action| action.name() == name.get_ref())
                .ok_or_else(|| lines.error(&name.span(), &no_such_action(name.get_ref())))?;
            let line = Some(lines.line(&callers.span()));
            let callers = callers.into_inner().into_iter();
            let callers = callers
                .map(|caller| {
                    Callers::parse(caller.get_ref(), names)
                        .map_err(|problem| lines.error(&caller.span(), &problem))
                })
                .collect::<Result<_, _>>()?;
            policy.rules[action as usize] = Rule { callers, line };
        }
        lines.limit(document.limits.user, &mut policy.of_user);
        lines.limit(document.limits.all, &mut policy.of_all);
        Ok(policy)
    }
}

impl Lines<'_> {
    /// From 1.
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    fn error(&self, span: &Range<usize>, problem: &str) -> PolicyError {
        PolicyError {
            source: self.source.into(),
            line: self.line(span),
            problem: problem.trim_end().into(),
        }
    }

    fn limit(&self, table: Option<LimitTable>, limits: &mut Limits) {
        let Some(table) = table else { return };
        let set = |limit: &mut (usize, Option<usize>), given: Option<Spanned<usize>>| {
            if let Some(given) = given {
                *limit = (*given.get_ref(), Some(self.line(&given.span())));
            }
        };
        set(&mut limits.views, table.views);
        set(&mut limits.names, table.names);
    }
}

impl Callers {
    fn parse(text: &str, names: &Names) -> Result<Self, String> {
        let known = |id: Option<u32>, what, name| {
            id.ok_or_else(|| format!("there is no {what} {name:?}; it can also be a number"))
        };
        match text.split_once(':') {
            None if text == "everyone" => Ok(Self::Everyone),
            Some(("user", name)) => known(names.user(name), "user", name).map(Self::User),
            Some(("group", name)) => known(names.group(name), "group", name).map(Self::Group),
            _ => Err(format!(
                "{text:?} is nobody: write \"everyone\", \"user:NAME\" or \"group:NAME\""
            )),
        }
    }
}

fn no_such_action(name: &str) -> String {
    let actions = Action::ALL.map(Action::name).join(", ");
    format!("there is no action {name:?}; there are {actions}")
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            line,
            problem,
        } = self;
        write!(f, "{source}:{line}: {problem}")
    }
}

impl std::error::Error for PolicyError {}
