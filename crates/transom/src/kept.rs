//! What no output may take away: what the user cannot have meant to lose.

use std::fmt;
use std::path::{Path, PathBuf};

use transom_projection::{Declaration, Mapping};
use transom_sandbox::outputs::{self, Kept};

use crate::commands::run::RunArguments;
use crate::declared::Declared;

/// Checks where the outputs go, before anything runs.
/// `scratch` is where scratch will be made.
pub(crate) fn check_outputs(
    arguments: &RunArguments,
    declared: &Declared,
    scratch: &Path,
) -> anyhow::Result<()> {
    let here = std::env::current_dir()?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let home = home.filter(|home| home.is_absolute());
    let directories = [
        (Some(here.as_path()), What::CurrentDirectory),
        (home.as_deref(), What::Home),
        (Some(scratch), What::Scratch),
    ];
    let directories = directories.into_iter().filter_map(|(path, what)| {
        Some(Kept {
            path: path?,
            is_directory: true,
            what,
        })
    });
    let manifest = arguments.inputs.manifest.as_deref();
    let manifest = manifest.filter(|path| *path != Path::new("-"));
    let manifest = manifest.map(std::path::absolute).transpose()?;
    let manifest = manifest.as_deref().map(|path| Kept {
        path,
        is_directory: false,
        what: What::Manifest,
    });
    let inputs = declared.inputs.iter().filter_map(kept_input);
    let kept = directories.chain(manifest).chain(inputs);
    Ok(outputs::check(&declared.action, kept)?)
}

fn kept_input(input: &Declaration) -> Option<Kept<'_, What<'_>>> {
    let (path, is_directory) = match &input.mapping {
        Mapping::File { source, .. } => (source, false),
        Mapping::Directory { source } => (source, true),
        Mapping::Symlink { .. } | Mapping::EmptyDirectory => return None,
    };
    Some(Kept {
        path,
        is_directory,
        what: What::Input(input),
    })
}

#[derive(Debug, Clone, Copy)]
enum What<'a> {
    CurrentDirectory,
    Home,
    Scratch,
    Manifest,
    Input(&'a Declaration),
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CurrentDirectory => f.write_str("the current directory"),
            Self::Home => f.write_str("the home directory"),
            Self::Scratch => f.write_str("the directory for scratch"),
            Self::Manifest => f.write_str("the manifest"),
            Self::Input(input) => write!(f, "the input `{}` ({})", input.name, input.origin),
        }
    }
}
