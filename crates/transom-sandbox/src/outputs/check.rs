//! What can be wrong with destinations. All of it can be told before the action
//! runs, and is looked at again when it has.

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::fs::File;
use std::path::Path;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::destination::{Destination, Directories, Place};
use super::mark;
use super::problem::Problem;
use crate::{Action, Output, OutputKind, walk};

/// Something on the host that no output may take away.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a, D> {
    /// Its path.
    pub path: &'a Path,
    /// Whether it is a directory. One that holds what is to be kept is kept
    /// too.
    pub is_directory: bool,
    /// What it is, for messages.
    pub what: D,
}

/// Resolves the destinations of the outputs of `action`, in their order.
pub(super) fn destinations(action: &Action) -> Result<Vec<Destination>, Vec<Problem>> {
    let mut directories = Directories::default();
    let mut problems = declared_twice(&action.outputs);
    let mut destinations = Vec::new();
    for output in &action.outputs {
        let destination = Destination::resolve(&output.destination, &mut directories);
        let usable = destination.and_then(|destination| {
            destination.directory.check_writable()?;
            Ok(destination)
        });
        match usable {
            Ok(destination) => {
                problems.extend(of_another_kind(output, &destination));
                destinations.push(destination);
            }
            Err(why) => problems.push(Problem::NoDestination {
                output: output.into(),
                why,
            }),
        }
    }
    if destinations.len() == action.outputs.len() {
        problems.extend(collisions(&action.outputs, &destinations));
    }
    if problems.is_empty() {
        Ok(destinations)
    } else {
        Err(problems)
    }
}

/// Outputs of `action` that would take away what is `kept`: one problem for
/// each of them.
pub(super) fn losses<'a, D: Display>(
    action: &Action,
    destinations: &[Destination],
    kept: impl IntoIterator<Item = Kept<'a, D>>,
) -> Vec<Problem> {
    let outputs = || action.outputs.iter().zip(destinations);
    let existing = outputs().filter(|(_, destination)| destination.found.is_some());
    let directories: HashMap<Place, &Output> = existing
        .clone()
        .filter(|(output, _)| output.kind == OutputKind::Directory)
        .filter_map(|(output, destination)| Some((destination.as_directory()?, output)))
        .collect();
    let files: HashMap<Place, &Output> = existing
        .filter(|(output, _)| output.kind == OutputKind::File && !action.replace)
        .filter_map(|(output, destination)| Some((destination.place()?, output)))
        .collect();
    let mut problems = Vec::new();
    if directories.is_empty() && files.is_empty() {
        return problems;
    }
    let mut resolver = Directories::default();
    let mut named = HashSet::new();
    for Kept {
        path,
        is_directory,
        what,
    } in kept
    {
        let (directory, name) = if is_directory {
            (Some(path), None)
        } else {
            (path.parent(), path.file_name())
        };
        // What cannot be found cannot be lost.
        let Some(Ok(directory)) = directory.map(|directory| resolver.resolve(directory)) else {
            continue;
        };
        let mut around = directory.places.iter();
        if let Some(output) = around.find_map(|place| directories.get(place))
            && named.insert(&output.path)
        {
            problems.push(Problem::HoldsKept {
                output: (*output).into(),
                what: what.to_string(),
            });
        }
        if files.is_empty() {
            continue;
        }
        let place = directory.places.first().zip(name);
        let place = place.map(|(around, name)| around.entry(name));
        if let Some(output) = place.and_then(|place| files.get(&place))
            && named.insert(&output.path)
        {
            problems.push(Problem::IsKept {
                output: (*output).into(),
                what: what.to_string(),
            });
        }
    }
    problems
}

/// Directories that would be replaced, and were not made by an action.
pub(super) fn foreign(action: &Action, destinations: &[Destination]) -> Vec<Problem> {
    let outputs = action.outputs.iter().zip(destinations);
    let foreign = outputs.filter(|(_, destination)| {
        destination.found == Some(FileType::Directory)
            && !action.replace
            && !File::open(destination.path())
                .map_err(|_| Errno::ACCESS)
                .and_then(mark::is_replaceable)
                .unwrap_or(false)
    });
    foreign
        .map(|(output, _)| Problem::ForeignDirectory {
            output: output.into(),
        })
        .collect()
}

fn declared_twice(outputs: &[Output]) -> Vec<Problem> {
    let mut names = HashMap::new();
    let again = outputs.iter().filter_map(|output| {
        let first: &mut &Output = names.entry(&output.path).or_insert(output);
        (!std::ptr::eq(*first, output)).then(|| Problem::DeclaredTwice {
            first: (*first).into(),
            second: output.into(),
        })
    });
    again.collect()
}

fn of_another_kind(output: &Output, destination: &Destination) -> Option<Problem> {
    let found = destination.found?;
    let is_directory = found == FileType::Directory;
    (is_directory != (output.kind == OutputKind::Directory)).then(|| Problem::DestinationKind {
        output: output.into(),
        found: walk::noun(found),
    })
}

/// Destinations that are one, or lie in one another.
fn collisions(outputs: &[Output], destinations: &[Destination]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut taken: HashMap<Place, &Output> = HashMap::new();
    for (output, destination) in outputs.iter().zip(destinations) {
        let Some(place) = destination.as_directory() else {
            continue;
        };
        if let Some(first) = taken.insert(place, output)
            && first.path != output.path
        {
            problems.push(Problem::SameDestination {
                first: first.into(),
                second: output.into(),
            });
        }
    }
    for (output, destination) in outputs.iter().zip(destinations) {
        let mut around = destination.directory.places.iter();
        if let Some(outer) = around.find_map(|place| taken.get(place)) {
            problems.push(Problem::NestedDestination {
                inner: output.into(),
                outer: (*outer).into(),
            });
        }
    }
    problems
}
