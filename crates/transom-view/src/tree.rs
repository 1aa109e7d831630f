use std::path::PathBuf;

use transom_projection::{Answer, Declaration, Tree};
use transom_sandbox::Action;
use transom_sandbox::layout::{self, MountPoint};

use crate::error::{Error, Result};

/// The tree of names of an action: what is declared, and the directories on
/// which something of the action is mounted.
pub fn tree_for(inputs: Vec<Declaration>, action: &Action) -> Result<Tree> {
    let mut tree = Tree::build(inputs)?;
    for needed in layout::mount_points(action) {
        if !is_on_the_host(&tree, &needed)? {
            tree.require_directory(&needed.path, &needed.origin)?;
        }
    }
    Ok(tree)
}

/// Whether a directory that is declared as a whole answers this name: then the
/// host's directories are what there is, and none can be made.
fn is_on_the_host(tree: &Tree, needed: &MountPoint) -> Result<bool> {
    let host_path = match tree.explain(&needed.path).answer {
        Answer::WholeDirectory { .. } => return Ok(true),
        Answer::InsideWholeDirectory { host_path, .. } => host_path,
        _ => return Ok(false),
    };
    if !host_path.is_dir() {
        let host_path: PathBuf = host_path.components().collect();
        let needed = needed.clone();
        return Err(Error::NoDirectoryOfTheHost { needed, host_path });
    }
    Ok(true)
}
