use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::random::Random;

/// The longest single read of a workload, in bytes: the seed's access pattern.
pub const READ_BYTES_MAX: usize = 128 << 10;

/// One generated input of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputFile {
    /// Its name in the view, relative to the view's root.
    pub name: PathBuf,
    /// The host file, absolute if the generator was given absolute paths.
    pub source: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// What reading a set of files came to. Two equal totals mean that the same
/// bytes were read in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadTotals {
    /// Files opened.
    pub files: u64,
    /// Calls of `read(2)`.
    pub reads: u64,
    /// Bytes read.
    pub bytes: u64,
    /// FNV-1a over the first eight bytes and the length of every read: enough
    /// to notice a wrong file or a wrong range, cheap enough for a benchmark.
    pub checksum: u64,
}

/// Opens each file, asks for its size and reads all of it in reads of at most
/// [`READ_BYTES_MAX`], as a compiler does.
pub fn read_files<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> io::Result<ReadTotals> {
    let mut totals = ReadTotals {
        checksum: FNV_OFFSET,
        ..ReadTotals::default()
    };
    let mut buffer = vec![0; READ_BYTES_MAX];
    for path in paths {
        let path = path.as_ref();
        read_file(path, &mut buffer, &mut totals).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", path.display()))
        })?;
    }
    Ok(totals)
}

/// Makes the file `input` says, with content that depends on `seed` alone.
pub(crate) fn write_input(input: &InputFile, seed: u64) -> io::Result<()> {
    if let Some(parent) = input.source.parent() {
        fs::create_dir_all(parent)?;
    }
    let length = usize::try_from(input.bytes).map_err(io::Error::other)?;
    fs::write(&input.source, Random::new(seed).bytes(length))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fn read_file(path: &Path, buffer: &mut [u8], totals: &mut ReadTotals) -> io::Result<()> {
    let mut file = File::open(path)?;
    totals.files += 1;
    let mut remaining = file.metadata()?.len();
    while remaining > 0 {
        let count = file.read(buffer)?;
        if count == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("ends {remaining} bytes before its size"),
            ));
        }
        totals.reads += 1;
        totals.bytes += count as u64;
        let length = (count as u64).to_le_bytes();
        for byte in buffer[..count.min(8)].iter().chain(&length) {
            totals.checksum = (totals.checksum ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
        remaining = remaining.saturating_sub(count as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::temp_dir;

    #[test]
    fn equal_files_have_equal_totals_and_others_do_not() {
        let directory = temp_dir().unwrap();
        let make = |name: &str, seed| {
            let input = InputFile {
                name: name.into(),
                source: directory.path().join(name),
                bytes: 300_000,
            };
            write_input(&input, seed).unwrap();
            read_files([input.source]).unwrap()
        };
        let totals = make("a", 1);
        assert_eq!((totals.files, totals.reads, totals.bytes), (1, 3, 300_000));
        assert_eq!(totals, make("b", 1));
        assert_ne!(totals.checksum, make("c", 2).checksum);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read_files(["/nonexistent/header.h"]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("/nonexistent/header.h"));
    }
}
