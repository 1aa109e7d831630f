//! What an action mounts over names of its view.

use std::path::Path;

use transom_projection::manifest::{ActionSection, OutputKind as SectionKind, RootBase, TmpKind};
use transom_projection::{Cover, CoverKind, ViewPath};
use transom_sandbox::{Action, Base, OutputKind, Tmp};

/// Those of an action.
pub(crate) fn of_action(action: &Action) -> Vec<Cover> {
    let is_view = action.base == Base::View;
    let mut covers = own([
        is_view && action.proc,
        is_view && action.dev,
        is_view && action.tmp != Tmp::AsDeclared,
    ]);
    for output in &action.outputs {
        let is_file = output.kind == OutputKind::File;
        add_output(&mut covers, &output.path, is_file, &output.destination);
    }
    covers.extend(
        action
            .writable
            .iter()
            .map(|directory| writable(&directory.path)),
    );
    covers
}

/// Those of the action that a manifest declares, were it run without flags.
pub(crate) fn of_manifest(section: &ActionSection) -> Vec<Cover> {
    let is_view = section.root != Some(RootBase::HostReadOnly);
    let mut covers = own([
        is_view && section.proc != Some(false),
        is_view && section.dev != Some(false),
        is_view && section.tmp != Some(TmpKind::None),
    ]);
    for output in &section.outputs {
        let is_file = output.kind == SectionKind::File;
        add_output(&mut covers, &output.name, is_file, &output.destination);
    }
    covers.extend(
        section
            .writable
            .iter()
            .map(|directory| writable(&directory.name)),
    );
    covers
}

fn own(present: [bool; 3]) -> Vec<Cover> {
    let kinds = [
        ("proc", CoverKind::OwnProc),
        ("dev", CoverKind::OwnDev),
        ("tmp", CoverKind::OwnTmp),
    ];
    kinds
        .into_iter()
        .zip(present)
        .filter(|(_, is_present)| *is_present)
        .filter_map(|((name, kind), _)| {
            let at = ViewPath::parse(name.as_bytes()).ok()?;
            Some(Cover { at, kind })
        })
        .collect()
}

/// An output that is a file is made in a directory that can be written.
fn add_output(covers: &mut Vec<Cover>, at: &ViewPath, is_file: bool, destination: &Path) {
    covers.extend(at.parent().filter(|_| is_file).as_ref().map(writable));
    covers.push(Cover {
        at: at.clone(),
        kind: CoverKind::Output {
            destination: destination.to_owned(),
        },
    });
}

fn writable(at: &ViewPath) -> Cover {
    Cover {
        at: at.clone(),
        kind: CoverKind::Writable,
    }
}
