use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::random::Random;
use crate::workload::{InputFile, ReadTotals, read_files, write_input};

/// A large declared tree of which an action touches little: 20,000 small
/// files in 3,627 directories, of which it reads 300, and 3,000 look-ups of
/// names that do not exist, which walk up the parent directories as module
/// resolution does.
///
/// All of it is the same in every run.
#[derive(Debug)]
pub struct LargeTree {
    files: Vec<InputFile>,
}

impl LargeTree {
    /// Files of the tree.
    pub const FILES: usize = 20_000;
    /// Directories of the tree, the root included.
    pub const DIRECTORIES: usize = 3_627;
    /// Files that the action reads.
    pub const TOUCHED: usize = 300;
    /// Names that the action looks for in vain.
    pub const ABSENT: usize = 3_000;

    /// Writes the tree below the directory `root`.
    pub fn generate(root: &Path) -> io::Result<Self> {
        let mut sizes = Random::new(0);
        let directories: Vec<_> = (0..Self::DIRECTORIES).map(directory).collect();
        for directory in &directories {
            fs::create_dir_all(root.join(directory))?;
        }
        let mut files = Vec::with_capacity(Self::FILES);
        for index in 0..Self::FILES {
            let name = directories[index % Self::DIRECTORIES].join(format!("file{index}.js"));
            let input = InputFile {
                source: root.join(&name),
                name,
                bytes: 64 + sizes.next() % 4032,
            };
            write_input(&input, index as u64)?;
            files.push(input);
        }
        Ok(Self { files })
    }

    /// The declared inputs.
    #[must_use]
    pub fn files(&self) -> &[InputFile] {
        &self.files
    }

    /// The inputs that the action reads, spread over the whole tree.
    pub fn touched(&self) -> impl Iterator<Item = &InputFile> {
        self.files
            .iter()
            .step_by(Self::FILES / Self::TOUCHED)
            .take(Self::TOUCHED)
    }

    /// The names it looks for in vain: for every file it reads, ten, each in
    /// the file's own directory or in one of the directories above.
    pub fn absent(&self) -> impl Iterator<Item = PathBuf> {
        self.touched().flat_map(|file| {
            let directories: Vec<_> = file.name.ancestors().skip(1).collect();
            (0..Self::ABSENT / Self::TOUCHED).map(move |probe| {
                let directory = directories[probe % directories.len()];
                directory.join(format!("absent{}", probe / directories.len()))
            })
        })
    }

    /// Does what the action does, in the view at `root`. A name that must be
    /// absent and is there is an error.
    pub fn replay(&self, root: &Path) -> io::Result<ReadTotals> {
        for name in self.absent() {
            let path = root.join(name);
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
                Ok(_) => {
                    let message = format!("{} exists", path.display());
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
                }
            }
        }
        read_files(self.touched().map(|file| root.join(&file.name)))
    }
}

/// The directories make a complete tree in which each holds six others.
const SUBDIRECTORIES: usize = 6;

fn directory(index: usize) -> PathBuf {
    if index == 0 {
        return PathBuf::new();
    }
    directory((index - 1) / SUBDIRECTORIES).join(format!("dir{index}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::temp_dir;

    /// One test, because making the tree takes longer than looking at it.
    #[test]
    fn the_tree_has_the_promised_shape_and_unexpected_names_are_noticed() {
        let root = temp_dir().unwrap();
        let tree = LargeTree::generate(root.path()).unwrap();

        let directories: BTreeSet<_> = tree
            .files()
            .iter()
            .flat_map(|file| file.name.ancestors().skip(1))
            .collect();
        assert_eq!(directories.len(), LargeTree::DIRECTORIES);
        assert_eq!(tree.files().len(), LargeTree::FILES);
        assert_eq!(tree.absent().count(), LargeTree::ABSENT);

        let touched_directories: BTreeSet<_> =
            tree.touched().map(|file| file.name.parent()).collect();
        assert!(touched_directories.len() > 200, "they are spread");

        let totals = tree.replay(root.path()).unwrap();
        assert_eq!(totals.files as usize, LargeTree::TOUCHED);

        let name = tree.absent().nth(1234).unwrap();
        fs::write(root.path().join(&name), "").unwrap();
        let error = tree.replay(root.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(name.to_str().unwrap()));
    }
}
