//! How long it takes to read what was declared, before any host file is
//! looked at.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use transom_projection::Tree;
use transom_test::InputFile;

use crate::projection::manifests;
use crate::statistics::Spread;

/// Entries of the manifests that are measured: a large view, and the largest
/// there may be.
const ENTRIES: [usize; 2] = [20_000, transom_projection::manifest::INPUTS_MAX];

/// A manifest of files.
#[derive(Debug, Serialize)]
pub(crate) struct ManifestReport {
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    /// From JSON to checked declarations.
    pub(crate) parse: Spread,
    /// From declarations to a tree in which conflicts are found.
    pub(crate) build: Spread,
}

/// Measures all of them.
pub(crate) fn measure(rounds: u32) -> Result<Vec<ManifestReport>> {
    ENTRIES
        .iter()
        .map(|entries| one(*entries, rounds))
        .collect()
}

fn one(entries: usize, rounds: u32) -> Result<ManifestReport> {
    let inputs: Vec<_> = (0..entries).map(input).collect();
    let text = manifests::text(&inputs, Path::new(""), &[], &[])?;
    let (mut parse, mut build) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        let declared = manifests::parse(&text)?;
        parse.push(began.elapsed());

        ensure!(declared.len() == entries, "{} entries", declared.len());
        let began = Instant::now();
        let tree = Tree::build(declared)?;
        build.push(began.elapsed());
        drop(tree);
    }
    Ok(ManifestReport {
        entries,
        bytes: text.len(),
        parse: Spread::of(parse).context("no rounds")?,
        build: Spread::of(build).context("no rounds")?,
    })
}

/// Names as deep and as long as those of a repository, ten to a directory.
fn input(index: usize) -> InputFile {
    let directory = index / 10;
    let name = PathBuf::from(format!(
        "packages/group{}/package{directory}/src/module{index}.ts",
        directory / 100
    ));
    InputFile {
        source: Path::new("/srv/checkout").join(&name),
        name,
        bytes: 0,
    }
}
