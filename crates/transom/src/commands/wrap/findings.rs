//! What there is to say about a learnt command.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use transom_fuse::{Opcode, Statistics};
use transom_learn::{Input, Learned};
use transom_projection::trace::{AbsentName, Use};
use transom_projection::{ViewPath, shown};

use super::compared::word;
use super::report::{Cell, Table, Tone};
use super::watched::Watched;
use crate::summary::{Requests, counted, duration};

/// The number of names by which a directory is told apart from others, outside
/// of where the command works: `/usr/include`, `/usr/lib`.
const GROUP_NAMES: usize = 2;

/// It all in numbers.
pub(super) fn numbers(learned: &Learned, watched: &Watched) -> Vec<(&'static str, String)> {
    let used = |wanted: Use| {
        let usages = learned.inputs.values().filter_map(usage_of);
        usages.filter(|usage| *usage == wanted).count()
    };
    let statistics = &watched.statistics;
    let (total, read) = (statistics.total(), statistics.count(Opcode::Read));
    let listed = counted(
        learned.trace.listed.len() as u64,
        "directory",
        "directories",
    );
    let absent = counted(learned.trace.absent.len() as u64, "name", "names");
    let made = counted(learned.outputs.len() as u64, "file", "files");
    vec![
        ("time", duration(watched.time.as_micros() as u64)),
        ("read", format!("{} files and links", used(Use::Read))),
        ("looked at", format!("{} more", used(Use::LookedUp))),
        ("listed", listed),
        ("absent", format!("{absent} asked for in vain")),
        (
            "made",
            format!("{made}, and {} temporary", learned.temporary.len()),
        ),
        ("requests", format!("{total}, of them READ {read}")),
    ]
}

/// What cannot be done a second time in a view.
pub(super) fn problems(learned: &Learned) -> Vec<Table> {
    vec![
        Table::of_paths(
            "Changed, not only made",
            "These were there before, and what became of them depends on that. The view neither \
             has them nor brings them back: what the command makes of them there is thrown \
             away.",
            Tone::Wrong,
            &learned.updated,
        ),
        Table::of_paths(
            "Used, and gone",
            "These were read or looked at and do not exist any more, so that no view can have \
             them.",
            Tone::Wrong,
            &learned.lost,
        ),
        Table::of_paths(
            "Neither file, directory nor link",
            "Pipes, sockets and devices are in no view.",
            Tone::Notable,
            &learned.unsupported,
        ),
    ]
}

/// What was needed and made.
pub(super) fn tables(
    learned: &Learned,
    watched: &Watched,
    working_directory: &ViewPath,
) -> Vec<Table> {
    vec![
        groups(learned, working_directory),
        absent(learned.trace.absent.iter().filter(|absent| {
            let path = &absent.path;
            !learned.outputs.contains(path) && !learned.temporary.contains(path)
        })),
        Table {
            title: "Inputs",
            about: "What was opened, what was only looked at, and what was seen in listings.",
            tone: Tone::Plain,
            columns: &["path", "kind", "use"],
            rows: learned.inputs.iter().map(input_row).collect(),
            only_on_page: true,
        },
        Table::of_paths(
            "Outputs",
            "What the command made and left.",
            Tone::Plain,
            &learned.outputs,
        ),
        Table::of_paths(
            "Temporary files",
            "What it made and took away again.",
            Tone::Plain,
            &learned.temporary,
        )
        .only_on_page(),
        requests(&watched.statistics),
    ]
}

/// Names that nobody has, those that were asked for most first.
pub(super) fn absent<'a>(names: impl Iterator<Item = &'a AbsentName>) -> Table {
    let mut names: Vec<_> = names.collect();
    names.sort_by_key(|absent| std::cmp::Reverse(absent.requests));
    Table {
        title: "Absent names asked for most",
        about: "Should one of them come into being, the command may do something else.",
        tone: Tone::Plain,
        columns: &["requests", "path"],
        rows: names
            .iter()
            .map(|absent| vec![Cell::Count(absent.requests), Cell::path(&absent.path)])
            .collect(),
        only_on_page: false,
    }
}

/// What reached our process.
fn requests(statistics: &Statistics) -> Table {
    let requests = Requests::from(statistics).by_opcode;
    let mut requests: Vec<_> = requests.into_iter().collect();
    requests.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Table {
        title: "Requests",
        about: "What the kernel asked transom, by kind.",
        tone: Tone::Plain,
        columns: &["requests", "kind"],
        rows: requests
            .into_iter()
            .map(|(name, count)| vec![Cell::Count(count), Cell::Name(name)])
            .collect(),
        only_on_page: true,
    }
}

/// How many inputs lie where.
fn groups(learned: &Learned, working_directory: &ViewPath) -> Table {
    let mut groups: BTreeMap<String, u64> = BTreeMap::new();
    for (path, input) in &learned.inputs {
        if usage_of(input).is_some_and(|usage| usage != Use::Untouched) {
            *groups.entry(group(path, working_directory)).or_default() += 1;
        }
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    Table {
        title: "Where inputs lie",
        about: "Files and links that were read or looked at.",
        tone: Tone::Plain,
        columns: &["inputs", "directory"],
        rows: groups
            .into_iter()
            .map(|(directory, count)| vec![Cell::Count(count), Cell::Name(directory)])
            .collect(),
        only_on_page: false,
    }
}

fn group(path: &ViewPath, working_directory: &ViewPath) -> String {
    if path.starts_with(working_directory) {
        return shown(&working_directory.to_absolute()).to_string();
    }
    let names: Vec<_> = path.names().map(OsStrExt::as_bytes).collect();
    let directories = &names[..names.len().saturating_sub(1).min(GROUP_NAMES)];
    let directory = [b"/", &directories.join(&b'/')[..]].concat();
    shown(OsStr::from_bytes(&directory)).to_string()
}

fn input_row((path, input): (&ViewPath, &Input)) -> Vec<Cell> {
    let kind = match input {
        Input::File(_) => "file",
        Input::Symlink(..) => "symlink",
        Input::Directory => "directory",
        Input::WholeDirectory => "whole directory",
    };
    let usage = match usage_of(input) {
        Some(Use::Untouched) => "listed",
        Some(usage) => word(usage),
        None => "",
    };
    vec![Cell::path(path), Cell::Word(kind), Cell::Word(usage)]
}

fn usage_of(input: &Input) -> Option<Use> {
    match input {
        Input::File(usage) | Input::Symlink(_, usage) => Some(*usage),
        Input::Directory | Input::WholeDirectory => None,
    }
}
