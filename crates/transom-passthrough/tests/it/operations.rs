//! Every operation on a mount comes to what it comes to on the host.
//!
//! Each test is one function that does something at a [`Place`] and returns
//! what it saw. It runs on a plain directory and on mounts of such, with
//! passthrough of everything, of reads, and of nothing; all have to have seen
//! the same.

mod attributes;
mod content;
mod names;
mod others;
mod sharing;

use std::fmt::Debug;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use transom_fuse::{Opcode, Options, Passthrough};
use transom_test::LoopVolume;

use crate::mounted::{Mounted, WAYS, load, options};

/// Where an operation is done.
pub(crate) struct Place {
    /// The directory it is done in.
    path: PathBuf,
    /// The directory of the host that has it.
    behind: PathBuf,
    /// `None` for the host itself.
    way: Option<Passthrough>,
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn behind(&self, name: &str) -> PathBuf {
        self.behind.join(name)
    }
}

/// Runs `operation` at all places, below directories of the host.
fn at_all_places<T: PartialEq + Debug>(host: &Path, operation: impl Fn(&Place) -> T) {
    at_places(
        host,
        &options(Passthrough::On),
        Writes::ByTheKernel,
        operation,
    );
}

/// Whose writes an operation is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// With passthrough, the kernel's.
    ByTheKernel,
    /// Some are to files with set-id bits, and ours.
    SomeByUs,
}

fn at_places<T: PartialEq + Debug>(
    host: &Path,
    options: &Options,
    writes: Writes,
    operation: impl Fn(&Place) -> T,
) {
    let directory = |name: &str| {
        let path = host.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let path = directory("host");
    let expected = operation(&Place {
        behind: path.clone(),
        path,
        way: None,
    });
    for passthrough in WAYS {
        let behind = directory(&format!("{passthrough:?}"));
        let options = Options {
            passthrough,
            ..options.clone()
        };
        let definition = load(&behind, "forever").volume().unwrap();
        let mounted = Mounted::serve(definition, &options);
        let seen = operation(&Place {
            path: mounted.path().to_owned(),
            behind,
            way: Some(passthrough),
        });
        assert_eq!(seen, expected, "with passthrough {passthrough:?}");
        let statistics = mounted.end();
        let moved = [Opcode::Read, Opcode::Write].map(|opcode| statistics.count(opcode));
        match passthrough {
            Passthrough::On if writes == Writes::SomeByUs => assert_eq!(moved[0], 0),
            Passthrough::On => assert_eq!(moved, [0, 0], "{statistics:?}"),
            Passthrough::ReadOnly => {}
            Passthrough::Off => assert_eq!(statistics.passthrough_opens, 0, "{statistics:?}"),
        }
    }
}

fn ext4() -> LoopVolume {
    LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap()
}

/// What a command prints, with its arguments made of words and places.
fn output(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// What a program in Python prints: for what takes another process, or calls
/// that Rust has no safe functions for. It finds the place in `sys.argv[1]`
/// and the directory behind it in `sys.argv[2]`.
fn python(place: &Place, program: &str) -> String {
    output("python3", &[&"-c", &program, &place.path, &place.behind])
}
