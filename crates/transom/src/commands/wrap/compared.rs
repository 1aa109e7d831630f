//! What was declared, beside what was needed.

use transom_learn::{Input, Learned};
use transom_projection::trace::Use;
use transom_projection::{Answer, Declaration, Mapping, Tree, ViewPath};

use super::report::{Cell, Table, Tone};

/// Compares declarations with what a command needed.
pub(super) fn tables(learned: &Learned, declared: Vec<Declaration>) -> anyhow::Result<[Table; 2]> {
    let unused = declared
        .iter()
        .filter_map(|input| Some((&input.name, unused(learned, input)?)));
    let unused = unused_table(unused);
    let tree = Tree::build(declared)?;
    let used = learned
        .inputs
        .iter()
        .filter_map(|(path, input)| match input {
            Input::File(usage) | Input::Symlink(_, usage) if *usage != Use::Untouched => {
                Some((path, *usage))
            }
            _ => None,
        });
    let undeclared = used.filter(|(path, _)| !is_declared(&tree, path));
    let undeclared = Table {
        title: "Used, not declared",
        about: "What the command opened or looked at, and what a view of the declarations would \
                not have.",
        tone: Tone::Wrong,
        columns: &["path", "use"],
        rows: undeclared
            .map(|(path, usage)| vec![Cell::path(path), Cell::Word(word(usage))])
            .collect(),
        only_on_page: false,
    };
    Ok([undeclared, unused])
}

/// The table of what was declared and not opened.
pub(super) fn unused_table<'a>(unused: impl Iterator<Item = (&'a ViewPath, Use)>) -> Table {
    Table {
        title: "Declared, not read",
        about: "What nobody asked for can probably go. What was only looked at may be needed \
                for being there.",
        tone: Tone::Notable,
        columns: &["path", "use"],
        rows: unused
            .map(|(path, usage)| vec![Cell::path(path), Cell::Word(word(usage))])
            .collect(),
        only_on_page: false,
    }
}

pub(super) fn word(usage: Use) -> &'static str {
    match usage {
        Use::Untouched => "not asked for",
        Use::LookedUp => "looked at",
        Use::Read => "read",
    }
}

/// What was done with a declared input; `None` if it was needed for what it is.
fn unused(learned: &Learned, input: &Declaration) -> Option<Use> {
    let usage = match &input.mapping {
        Mapping::EmptyDirectory => return None,
        Mapping::Directory { .. } => {
            let mut below = learned.inputs.range(&input.name..);
            let is_used = below
                .next()
                .is_some_and(|(path, _)| path.starts_with(&input.name));
            if is_used { Use::Read } else { Use::Untouched }
        }
        Mapping::File { .. } | Mapping::Symlink { .. } => match learned.inputs.get(&input.name) {
            Some(Input::File(usage) | Input::Symlink(_, usage)) => *usage,
            _ => Use::Untouched,
        },
    };
    (usage != Use::Read).then_some(usage)
}

fn is_declared(tree: &Tree, path: &ViewPath) -> bool {
    matches!(
        tree.explain(path).answer,
        Answer::File { .. }
            | Answer::Symlink { .. }
            | Answer::WholeDirectory { .. }
            | Answer::InsideWholeDirectory { .. }
    )
}
