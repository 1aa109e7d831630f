//! The C project that is compiled: zlib, as the crate `libz-sys` brings it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::world::World;

/// Of every compile, inside and outside. What zlib's own `configure` would
/// find out stands in the definitions.
pub(crate) const FLAGS: [&str; 5] = [
    "-O1",
    "-g",
    "-DHAVE_UNISTD_H",
    "-DHAVE_STDARG_H",
    "-D_LARGEFILE64_SOURCE=1",
];

/// Copies the sources to the directory `zlib` of `world`. Returns the names of
/// the C files.
pub(crate) fn unpack(world: &World) -> Vec<String> {
    let mut units = Vec::new();
    for entry in std::fs::read_dir(source()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_file() {
            world.file(
                Path::new("zlib").join(&name),
                std::fs::read(entry.path()).unwrap(),
            );
        }
        if let Some(unit) = name.strip_suffix(".c") {
            units.push(unit.to_owned());
        }
    }
    units.sort();
    assert!(units.len() >= 15, "{units:?}");
    units
}

/// Where Cargo keeps the package's sources; it fetches them if need be.
fn source() -> PathBuf {
    let mut metadata = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    metadata.args(["metadata", "--locked", "--format-version", "1"]);
    metadata.current_dir(env!("CARGO_MANIFEST_DIR"));
    let metadata: Value = serde_json::from_slice(&succeeded(&mut metadata).stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let package = packages
        .iter()
        .find(|package| package["name"] == "libz-sys")
        .unwrap();
    let manifest = Path::new(package["manifest_path"].as_str().unwrap());
    manifest.with_file_name("src").join("zlib")
}

/// The programs that `gcc -c` consists of and the libraries they load: names
/// in the view, and host paths.
pub(crate) fn toolchain() -> Vec<(String, PathBuf)> {
    let compiler = printed(Command::new("gcc").arg("-print-prog-name=cc1"));
    let mut files = BTreeSet::new();
    for program in ["/usr/bin/gcc", "/usr/bin/as", compiler.trim()] {
        files.insert(PathBuf::from(program));
        // Lines like `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x7f..)`.
        let libraries = printed(Command::new("ldd").arg(program));
        let words = libraries.split_whitespace();
        files.extend(
            words
                .filter(|word| word.starts_with('/'))
                .map(PathBuf::from),
        );
    }
    files
        .into_iter()
        .map(|path| (name_in_view(&path), path))
        .collect()
}

/// The name that leads to a host file where `/lib` and `/lib64` are links to
/// directories of `/usr`.
fn name_in_view(path: &Path) -> String {
    let directory = path.parent().unwrap().canonicalize().unwrap();
    let path = directory.join(path.file_name().unwrap());
    path.to_str().unwrap().trim_start_matches('/').to_owned()
}

#[track_caller]
pub(crate) fn printed(command: &mut Command) -> String {
    String::from_utf8(succeeded(command).stdout).unwrap()
}

#[track_caller]
pub(crate) fn succeeded(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {complaints}");
    output
}
