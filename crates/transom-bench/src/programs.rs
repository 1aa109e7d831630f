use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// How to get `transom`.
pub(crate) const INSTALL_TRANSOM: &str =
    "make it with `cargo build --release -p transom`, or name it with --transom PATH";

/// Where `transom` is: at `named`, or beside this program.
pub(crate) fn transom(named: Option<&Path>) -> Result<PathBuf> {
    let program = match named {
        Some(program) => program.to_owned(),
        None => myself()?.with_file_name("transom"),
    };
    ensure!(program.is_file(), "there is no {}", program.display());
    Ok(program)
}

/// Where this program is.
pub(crate) fn myself() -> Result<PathBuf> {
    env::current_exe().context("where this program is")
}
