use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::passthrough::workload::Scale;

/// The name of the tree.
pub(crate) const TREE: &str = "tree";

const DIRECTORIES: u32 = 1_000;
const FILES_EACH: u32 = 10;
const BYTES_MIN: u32 = 200;
const BYTES_MAX: u32 = 8_000;

/// Fills `backing` with 10,000 small files in directories on three levels.
/// They are as old as a source tree is: newer than what was written last, they
/// would be looked at more closely. Returns their number.
pub(crate) fn plant(backing: &Path, scale: Scale) -> Result<u32> {
    let root = backing.join(TREE);
    let yesterday = SystemTime::now() - Duration::from_hours(24);
    let mut files = 0;
    for directory in 0..scale.of(DIRECTORIES) {
        let path = root.join(format!("part-{:02}/group-{directory:04}", directory % 25));
        fs::create_dir_all(&path)?;
        for _ in 0..FILES_EACH {
            let bytes = BYTES_MIN + files * 997 % (BYTES_MAX - BYTES_MIN);
            let path = path.join(format!("source-{files:05}.txt"));
            let text = format!("line of file {files}\n").repeat(bytes as usize / 20 + 1);
            fs::write(&path, text)?;
            File::options()
                .write(true)
                .open(&path)?
                .set_modified(yesterday)?;
            files += 1;
        }
    }
    Ok(files)
}
