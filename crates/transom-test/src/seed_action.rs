use std::io;
use std::path::{Path, PathBuf};

use crate::random::Random;
use crate::workload::{InputFile, ReadTotals, read_files, write_input};

/// The action that the project is measured with: the one whose ~440 files and
/// ~630 cold reads made the case for passthrough in the first place.
///
/// 434 headers of 1 to 60 KiB, most of them small, and 6 libraries: about
/// 29 MiB in 176 directories (the view's root included), over two volumes. All
/// of it is the same in every run.
#[derive(Debug)]
pub struct SeedAction {
    files: Vec<InputFile>,
}

impl SeedAction {
    /// Headers of the action.
    pub const HEADERS: usize = 434;
    /// Libraries of the action.
    pub const LIBRARIES: usize = 6;
    /// Directories of its view, the root included.
    pub const DIRECTORIES: usize = 176;
    /// Calls of `read(2)` it takes to read everything once.
    pub const READS: u64 = 630;

    /// Writes the files below the directories `volume_a` and `volume_b`, which
    /// a meaningful test puts on two file systems.
    pub fn generate(volume_a: &Path, volume_b: &Path) -> io::Result<Self> {
        let volumes = [volume_a, volume_b];
        let mut sizes = Random::new(0);
        let headers = (0..Self::HEADERS).map(|index| {
            let directory = header_directory(index % HEADER_DIRECTORIES);
            let name = directory.join(format!("header{index:03}.h"));
            (name, header_bytes(&mut sizes))
        });
        let libraries = LIBRARY_BYTES
            .iter()
            .enumerate()
            .map(|(index, bytes)| (PathBuf::from(format!("lib/lib{index}.so")), *bytes));

        let mut files = Vec::with_capacity(Self::HEADERS + Self::LIBRARIES);
        for (index, (name, bytes)) in headers.chain(libraries).enumerate() {
            let source = volumes[index % 2].join(&name);
            let input = InputFile {
                name,
                source,
                bytes,
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

    /// Reads every input once, through the view at `root`.
    pub fn read_view(&self, root: &Path) -> io::Result<ReadTotals> {
        read_files(self.files.iter().map(|file| root.join(&file.name)))
    }

    /// Reads every input once, from the host files: the figure to compare with.
    pub fn read_sources(&self) -> io::Result<ReadTotals> {
        read_files(self.files.iter().map(|file| &file.source))
    }
}

/// 43 packages of four directories each, and one for generated headers. With
/// the view's root, `include` and `lib` that makes 176.
const HEADER_DIRECTORIES: usize = 43 * 4 + 1;

/// Sizes whose reads, with one each for the headers, are
/// [`SeedAction::READS`] in number.
const LIBRARY_BYTES: [u64; SeedAction::LIBRARIES] = [
    1_000_000, 2_200_000, 3_000_000, 4_100_000, 5_500_000, 9_600_000,
];

fn header_directory(index: usize) -> PathBuf {
    let package = index / 4;
    if index == HEADER_DIRECTORIES - 1 {
        return PathBuf::from("include/generated");
    }
    let below = ["", "config", "detail", "detail/x86"][index % 4];
    Path::new("include")
        .join(format!("package{package:02}"))
        .join(below)
}

/// 1 to 60 KiB; the fourth power makes small ones common, as they are.
fn header_bytes(random: &mut Random) -> u64 {
    let part = (random.next() >> 32) as f64 / f64::from(u32::MAX);
    1024 + (part.powi(4) * (59.0 * 1024.0)) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use super::*;
    use crate::temp_dir;

    #[test]
    fn the_generated_action_is_the_seeds() {
        let (a, b) = (temp_dir().unwrap(), temp_dir().unwrap());
        let action = SeedAction::generate(a.path(), b.path()).unwrap();

        let directories: BTreeSet<_> = action
            .files()
            .iter()
            .flat_map(|file| file.name.ancestors().skip(1))
            .collect();
        assert_eq!(directories.len(), SeedAction::DIRECTORIES);

        let headers = &action.files()[..SeedAction::HEADERS];
        assert!(
            headers
                .iter()
                .all(|file| (1 << 10..=60 << 10).contains(&file.bytes))
        );
        let on_a = action
            .files()
            .iter()
            .filter(|file| file.source.starts_with(a.path()));
        assert_eq!(on_a.count(), 220);

        let totals = action.read_sources().unwrap();
        assert_eq!(totals.files, 440);
        assert_eq!(totals.reads, SeedAction::READS);
        assert!(
            (28 << 20..30 << 20).contains(&totals.bytes),
            "{} bytes",
            totals.bytes
        );
    }

    #[test]
    fn a_second_generation_is_identical() {
        let directories = [(); 3].map(|()| temp_dir().unwrap());
        let [a, b, both] = directories.each_ref().map(tempfile::TempDir::path);
        let first = SeedAction::generate(a, b).unwrap();
        let second = SeedAction::generate(both, both).unwrap();
        assert_eq!(
            first.read_sources().unwrap(),
            second.read_view(both).unwrap()
        );
    }

    #[test]
    fn a_damaged_view_reads_differently() {
        let directory = temp_dir().unwrap();
        let action = SeedAction::generate(directory.path(), directory.path()).unwrap();
        let before = action.read_sources().unwrap();
        let victim = &action.files()[7];
        fs::write(&victim.source, vec![0; victim.bytes as usize]).unwrap();
        assert_ne!(before, action.read_sources().unwrap());
    }
}
