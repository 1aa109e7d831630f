//! Where a sandbox needs directories, and which of them can be written.

use std::collections::BTreeSet;
use std::ffi::CString;

use transom_projection::ViewPath;
use transom_sys::Place;

use crate::{Action, Base, OutputKind, Tmp};

/// The directories that the view of `action` must contain so that a sandbox
/// can put its own on them, in addition to what the user declared. Declared as
/// empty directories, they are enough.
///
/// The working directory is among them if it lies in the view: it was named,
/// so it exists.
#[must_use]
pub fn mount_points(action: &Action) -> Vec<ViewPath> {
    let mut points = writable_roots(action);
    match &action.base {
        Base::View => {
            let named = |name: &[u8]| ViewPath::parse(name).ok();
            points.extend(action.proc.then(|| named(b"proc")).flatten());
            points.extend(action.dev.then(|| named(b"dev")).flatten());
            points.extend(
                (action.tmp != Tmp::AsDeclared)
                    .then(|| named(b"tmp"))
                    .flatten(),
            );
            points.extend(in_view(action.working_directory.as_os_str()));
        }
        Base::HostReadOnly { mount_at } => {
            let below = action.working_directory.strip_prefix(mount_at);
            points.extend(below.ok().and_then(|path| in_view(path.as_os_str())));
        }
    }
    let points: BTreeSet<ViewPath> = points.into_iter().collect();
    points.into_iter().filter(|path| !path.is_root()).collect()
}

fn in_view(path: &std::ffi::OsStr) -> Option<ViewPath> {
    ViewPath::parse_inside(path.as_encoded_bytes()).ok()
}

/// Every directory the action may write to, with those that lie in others.
pub(crate) fn writable_directories(action: &Action) -> BTreeSet<ViewPath> {
    let outputs = action
        .outputs
        .iter()
        .filter_map(|output| match output.kind {
            OutputKind::File => output.path.parent(),
            OutputKind::Directory => Some(output.path.clone()),
        });
    outputs.chain(action.writable.iter().cloned()).collect()
}

/// The outermost of the [`writable_directories`]: scratch is mounted on these.
pub(crate) fn writable_roots(action: &Action) -> Vec<ViewPath> {
    let mut roots: Vec<ViewPath> = Vec::new();
    let mut directories: Vec<ViewPath> = writable_directories(action).into_iter().collect();
    // Shorter paths first: an ancestor is seen before what it contains.
    directories.sort_by_key(|path| path.as_bytes().len());
    for directory in directories {
        if !roots.iter().any(|root| directory.starts_with(root)) {
            roots.push(directory);
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
    for directory in writable_directories(action) {
        let mut ancestor = Some(directory);
        while let Some(path) = ancestor {
            if !roots.iter().any(|root| path.starts_with(root)) {
                break;
            }
            ancestor = path.parent();
            listed.insert(path);
        }
    }
    let points = mount_points(action).into_iter();
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
    use crate::Output;

    fn path(text: &str) -> ViewPath {
        ViewPath::parse_inside(text.as_bytes()).unwrap()
    }

    fn output(text: &str, kind: OutputKind) -> Output {
        Output {
            path: path(text),
            kind,
            optional: false,
            destination: PathBuf::new(),
        }
    }

    fn texts(paths: &[ViewPath]) -> Vec<String> {
        paths.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn only_the_outermost_writable_directories_are_mounted() {
        let mut action = Action::new(vec!["true".into()]);
        action.outputs = vec![
            output("out/obj/main.o", OutputKind::File),
            output("out", OutputKind::Directory),
            output("outer/x", OutputKind::File),
        ];
        action.writable = vec![path("cache/a"), path("cache")];
        let mut roots = texts(&writable_roots(&action));
        roots.sort();
        assert_eq!(roots, ["cache", "out", "outer"]);
    }

    #[test]
    fn an_output_in_the_root_makes_the_root_writable() {
        let mut action = Action::new(vec!["true".into()]);
        action.outputs = vec![output("a.out", OutputKind::File)];
        assert_eq!(texts(&writable_roots(&action)), ["/"]);
        assert_eq!(texts(&mount_points(&action)), ["dev", "proc", "tmp"]);
    }

    #[test]
    fn the_way_to_every_writable_directory_is_listed() {
        let mut action = Action::new(vec!["true".into()]);
        action.writable = vec![path("work/out/obj/deep"), path("work/out"), path("cache")];
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
        };
        action.working_directory = PathBuf::from("/srv/work/src");
        action.outputs = vec![output("out/a", OutputKind::File)];
        assert_eq!(texts(&mount_points(&action)), ["out", "src"]);
    }
}
