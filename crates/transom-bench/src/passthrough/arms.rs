//! All arms, and how their servers are started.
//!
//! Names and attributes are cached for a second by all that can be told so,
//! absent names too. What a peer can do with the pages of files without
//! serving stale ones, it is told to do.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::arm::{Arm, Side};
use crate::programs;

/// What there is to compare, and what there is not.
#[derive(Debug)]
pub(crate) struct Arms {
    pub(crate) arms: Vec<Arm>,
    /// For each arm that cannot be run here, why.
    pub(crate) missing: Vec<String>,
}

/// Which arms, and the programs that some of them need.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    /// Parts of names; none means all.
    pub(crate) names: Vec<String>,
    pub(crate) transom: Option<PathBuf>,
    pub(crate) passthrough_hp: Option<PathBuf>,
}

/// The arm that others are compared with.
const NATIVE: &str = "native";
/// The arm that is compared with the best peer in the summary.
pub(crate) const OURS: &str = "transom";

/// A program that serves a directory.
struct Served {
    name: &'static str,
    program: Program,
    words: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Program {
    Transom,
    Bindfs,
    Mergerfs,
    PassthroughHp,
}

const SERVED: &[Served] = &[
    Served {
        name: OURS,
        program: Program::Transom,
        words: &[
            "mount",
            "--foreground",
            "-o",
            "passthrough=rw,cache=1s",
            "passthrough",
        ],
    },
    Served {
        name: "transom, cache=forever",
        program: Program::Transom,
        words: &[
            "mount",
            "--foreground",
            "-o",
            "passthrough=rw,cache=forever",
            "passthrough",
        ],
    },
    Served {
        name: "transom, passthrough=off",
        program: Program::Transom,
        words: &[
            "mount",
            "--foreground",
            "-o",
            "passthrough=off,cache=1s",
            "passthrough",
        ],
    },
    Served {
        name: "bindfs",
        program: Program::Bindfs,
        words: &[
            "-f",
            "-o",
            "attr_timeout=1,entry_timeout=1,negative_timeout=1,auto_cache,big_writes",
        ],
    },
    Served {
        name: "mergerfs",
        program: Program::Mergerfs,
        // Without `minfreespace=0` it makes nothing on a small volume.
        words: &[
            "-f",
            "-o",
            "cache.attr=1,cache.entry=1,cache.negative_entry=1,cache.files=auto-full,\
             minfreespace=0,allow_other,default_permissions",
        ],
    },
    // It caches for a day, and cannot be told otherwise than not at all.
    Served {
        name: "passthrough_hp",
        program: Program::PassthroughHp,
        words: &["--foreground", "-o", "allow_other"],
    },
];

impl Arms {
    /// Those that are wanted.
    pub(crate) fn new(choice: &Choice) -> Self {
        let mut arms = vec![Arm {
            name: NATIVE,
            side: Side::Native,
            server: None,
        }];
        let mut missing = Vec::new();
        for served in SERVED.iter().filter(|served| choice.wants(served.name)) {
            match served.program.find(choice) {
                Ok(program) => arms.push(served.arm(program)),
                Err(error) => missing.push(format!("{}: {error:#}", served.name)),
            }
        }
        Self { arms, missing }
    }
}

impl Choice {
    fn wants(&self, arm: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| arm.contains(part))
    }
}

impl Served {
    fn arm(&self, program: PathBuf) -> Arm {
        let mut server = vec![program.into_os_string()];
        server.extend(self.words.iter().map(OsString::from));
        Arm {
            name: self.name,
            side: match self.program {
                Program::Transom => Side::Ours,
                _ => Side::Peer,
            },
            server: Some(server),
        }
    }
}

impl Program {
    fn find(self, choice: &Choice) -> Result<PathBuf> {
        match self {
            Self::Transom => {
                programs::transom(choice.transom.as_deref()).context(programs::INSTALL_TRANSOM)
            }
            Self::Bindfs => in_path("bindfs").context("install it with `apt install bindfs`"),
            Self::Mergerfs => in_path("mergerfs").context("install it with `apt install mergerfs`"),
            Self::PassthroughHp => choice
                .passthrough_hp
                .clone()
                .map_or_else(|| in_path("passthrough_hp"), is_there)
                .context(
                    "build the example of that name of https://github.com/libfuse/libfuse (no \
                     Debian package has it), and name it with --passthrough-hp PATH",
                ),
        }
    }
}

fn in_path(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let candidates = env::split_paths(&path).map(|directory| directory.join(name));
    let found = candidates.into_iter().find(|program| program.is_file());
    found.with_context(|| format!("`{name}` is not in the PATH"))
}

fn is_there(program: impl AsRef<Path>) -> Result<PathBuf> {
    let program = program.as_ref();
    program
        .canonicalize()
        .with_context(|| program.display().to_string())
}
