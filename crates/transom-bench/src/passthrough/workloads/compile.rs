use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use super::programs::printed_by;
use crate::passthrough::workload::{Scale, Workload};

/// The sources of a small C library, compiled where they are.
#[derive(Debug)]
struct Compile {
    script: String,
    units: usize,
}

const SOURCES: &str = "zlib";
const OBJECTS: &str = "objects";

/// zlib, as the crate `libz-sys` brings it, which Cargo has fetched for the
/// tests of `transom`.
pub(crate) fn compile(backing: &Path, _: Scale) -> Result<Box<dyn Workload>> {
    let to = backing.join(SOURCES);
    fs::create_dir(&to)?;
    let mut units = Vec::new();
    for entry in fs::read_dir(sources()?)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
            let name = entry.file_name().into_string().ok();
            units.extend(name.and_then(|name| name.strip_suffix(".c").map(str::to_owned)));
        }
    }
    units.sort();
    Ok(Box::new(Compile {
        script: format!(
            "set -e; cd {SOURCES}; for unit in {}; do gcc -O0 -DHAVE_UNISTD_H -c $unit.c -o \
             ../{OBJECTS}/$unit.o; done; ar Drcs ../{OBJECTS}/libz.a ../{OBJECTS}/*.o",
            units.join(" ")
        ),
        units: units.len(),
    }))
}

fn sources() -> Result<PathBuf> {
    let words = ["cargo", "metadata", "--locked", "--format-version", "1"];
    let metadata = printed_by(&words, Path::new(env!("CARGO_MANIFEST_DIR")))?;
    let metadata: Value = serde_json::from_slice(&metadata)?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let manifest = packages
        .iter()
        .find(|package| package["name"] == "libz-sys")
        .and_then(|package| package["manifest_path"].as_str())
        .context("the workspace has no package `libz-sys`")?;
    Ok(Path::new(manifest).with_file_name("src").join("zlib"))
}

impl Workload for Compile {
    fn about(&self) -> String {
        format!(
            "zlib is compiled: `gcc -O0 -c` {} times, `ar`; sources and objects on the mount",
            self.units
        )
    }

    fn prepare(&mut self, backing: &Path) -> Result<()> {
        let objects = backing.join(OBJECTS);
        if objects.exists() {
            fs::remove_dir_all(&objects)?;
        }
        Ok(fs::create_dir(objects)?)
    }

    fn run(&mut self, root: &Path) -> Result<u64> {
        printed_by(&["sh", "-c", &self.script], root)?;
        Ok(0)
    }

    fn examine(&mut self, backing: &Path) -> Result<u64> {
        let library = fs::read(backing.join(OBJECTS).join("libz.a"))?;
        Ok(library.iter().map(|byte| u64::from(*byte)).sum())
    }
}
