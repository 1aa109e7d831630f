//! Where a sandbox needs directories, and which of them can be written.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;

use transom_projection::{Origin, ViewPath};
use transom_sys::Place;

use crate::{Action, Base, OutputKind, Tmp};

/// A directory that the view must contain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// Its name.
    pub path: ViewPath,
    /// What it is needed for, in words.
    pub purpose: &'static str,
    /// Who needs it: where that was declared, or a name for what was not.
    pub origin: Origin,
}

/// The directories that the view of `action` must contain so that a sandbox
/// can put its own on them, in addition to what the user declared. Declared as
/// empty directories, they are enough. Sorted by name.
///
/// The working directory is among them if it lies in the view: it was named,
/// so it exists.
#[must_use]
pub fn mount_points(action: &Action) -> Vec<MountPoint> {
    let mut points = BTreeMap::new();
    let mut add = |path: Option<ViewPath>, purpose, origin: Origin| {
        let path = path.filter(|path| !path.is_root());
        if let Some(path) = path {
            points.entry(path).or_insert((purpose, origin));
        }
    };
    for (path, origin) in writable_roots(action) {
        add(Some(path), "what the action writes", origin);
    }
    let inside = match &action.base {
        Base::View => {
            let private = [
                (action.proc, "proc", "its /proc"),
                (action.dev, "dev", "its /dev"),
                (action.tmp != Tmp::AsDeclared, "tmp", "its /tmp"),
            ];
            for (_, name, purpose) in private.into_iter().filter(|(wanted, ..)| *wanted) {
                let path = ViewPath::parse(name.as_bytes()).ok();
                add(path, purpose, named("the action"));
            }
            Some(action.working_directory.as_path())
        }
        Base::HostReadOnly { mount_at, .. } => action.working_directory.strip_prefix(mount_at).ok(),
    };
    let inside = inside.and_then(|path| ViewPath::parse_inside(path.as_os_str().as_bytes()).ok());
    add(
        inside,
        "its working directory",
        named("the working directory"),
    );
    let points = points.into_iter();
    points
        .map(|(path, (purpose, origin))| MountPoint {
            path,
            purpose,
            origin,
        })
        .collect()
}

/// The origin of what nobody declared.
pub(crate) fn named(what: &str) -> Origin {
    Origin {
        source: what.into(),
        line: None,
    }
}

/// Every directory the action may write to, with those that lie in others,
/// and where it was declared first.
pub(crate) fn writable_directories(action: &Action) -> BTreeMap<ViewPath, Origin> {
    let outputs = action.outputs.iter().filter_map(|output| {
        let directory = match output.kind {
            OutputKind::File => output.path.parent()?,
            OutputKind::Directory => output.path.clone(),
        };
        Some((directory, &output.origin))
    });
    let writable = action.writable.iter();
    let writable = writable.map(|writable| (writable.path.clone(), &writable.origin));
    let mut directories = BTreeMap::new();
    for (directory, origin) in outputs.chain(writable) {
        directories
            .entry(directory)
            .or_insert_with(|| origin.clone());
    }
    directories
}

/// The outermost of the [`writable_directories`]: scratch is mounted on these.
pub(crate) fn writable_roots(action: &Action) -> Vec<(ViewPath, Origin)> {
    let mut roots: Vec<(ViewPath, Origin)> = Vec::new();
    let mut directories: Vec<_> = writable_directories(action).into_iter().collect();
    // Shorter paths first: an ancestor is seen before what it contains.
    directories.sort_by_key(|(path, _)| path.as_bytes().len());
    for (directory, origin) in directories {
        if !roots.iter().any(|(root, _)| directory.starts_with(root)) {
            roots.push((directory, origin));
        }
    }
    roots
}

/// Every place of the view of `action` that is looked at while a sandbox is
/// put together: the mount points, and what is listed to find the inputs in
/// writable directories.
pub(crate) fn places(action: &Action) -> Vec<Place> {
    let roots = writable_roots(action);
    let mut listed = BTreeSet::new();
    for directory in writable_directories(action).into_keys() {
        let mut ancestor = Some(directory);
        while let Some(path) = ancestor {
            if !roots.iter().any(|(root, _)| path.starts_with(root)) {
                break;
            }
            ancestor = path.parent();
            listed.insert(path);
        }
    }
    let points = mount_points(action).into_iter().map(|point| point.path);
    let points = points.filter(|point| !listed.contains(point));
    points
        .map(|path| (path, false))
        .chain(listed.iter().map(|path| (path.clone(), true)))
        .filter_map(|(path, entries)| {
            let path = if path.is_root() {
                b"."
            } else {
                path.as_bytes()
            };
            let path = CString::new(path).ok()?;
            Some(Place { path, entries })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::{Exceptions, Output, Writable};

    fn path(text: &str) -> ViewPath {
        ViewPath::parse_inside(text.as_bytes()).unwrap()
    }

    fn output(text: &str, kind: OutputKind) -> Output {
        Output {
            path: path(text),
            kind,
            optional: false,
            destination: PathBuf::new(),
            origin: named("--out"),
        }
    }

    fn writable(text: &str) -> Writable {
        Writable {
            path: path(text),
            origin: named("--writable"),
        }
    }

    fn roots(action: &Action) -> Vec<String> {
        let mut roots: Vec<_> = writable_roots(action)
            .iter()
            .map(|(path, _)| path.to_string())
            .collect();
        roots.sort();
        roots
    }

    fn points(action: &Action) -> Vec<String> {
        let points = mount_points(action).into_iter();
        points.map(|point| point.path.to_string()).collect()
    }

    #[test]
    fn only_the_outermost_writable_directories_are_mounted() {
        let mut action = Action::new(vec!["true".into()]);
        action.outputs = vec![
            output("out/obj/main.o", OutputKind::File),
            output("out", OutputKind::Directory),
            output("outer/x", OutputKind::File),
        ];
        action.writable = vec![writable("cache/a"), writable("cache")];
        assert_eq!(roots(&action), ["cache", "out", "outer"]);
    }

    #[test]
    fn an_output_in_the_root_makes_the_root_writable() {
        let mut action = Action::new(vec!["true".into()]);
        action.outputs = vec![output("a.out", OutputKind::File)];
        assert_eq!(roots(&action), ["/"]);
        assert_eq!(points(&action), ["dev", "proc", "tmp"]);
    }

    #[test]
    fn the_way_to_every_writable_directory_is_listed() {
        let mut action = Action::new(vec!["true".into()]);
        action.writable = ["work/out/obj/deep", "work/out", "cache"]
            .map(writable)
            .into();
        let places = places(&action);
        let names = |entries| {
            let chosen = places.iter().filter(move |place| place.entries == entries);
            chosen
                .map(|place| place.path.to_str().unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(true),
            ["cache", "work/out", "work/out/obj", "work/out/obj/deep"]
        );
        assert_eq!(names(false), ["dev", "proc", "tmp"]);

        action.outputs = vec![output("a.out", OutputKind::File)];
        let root = super::places(&action)
            .into_iter()
            .find(|place| place.path == *c".");
        assert!(root.unwrap().entries);
    }

    #[test]
    fn the_host_has_directories_of_its_own() {
        let mut action = Action::new(vec!["true".into()]);
        action.base = Base::HostReadOnly {
            mount_at: PathBuf::from("/srv/work"),
            exceptions: Exceptions::default(),
        };
        action.working_directory = PathBuf::from("/srv/work/src");
        action.outputs = vec![output("out/a", OutputKind::File)];
        assert_eq!(points(&action), ["out", "src"]);
    }
}
