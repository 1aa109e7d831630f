use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::mounted::Mounted;
use crate::{Tmpfs, temp_dir};

/// A freshly made disk file system on a loop device. Needs root.
///
/// The image is a sparse temporary file. Dropping the volume unmounts it,
/// which makes the kernel detach the loop device, and removes the image.
#[derive(Debug)]
pub struct LoopVolume {
    // Before the directory that it is mounted on: fields drop in this order.
    mounted: Mounted,
    _directory: TempDir,
    _image: Option<Image>,
}

/// Where the image is.
#[derive(Debug)]
#[expect(dead_code, reason = "it is there to be dropped")]
enum Image {
    Directory(TempDir),
    Scarce(Tmpfs),
}

impl LoopVolume {
    /// The smallest volume that all three kinds of file system accept, in
    /// bytes: `mkfs.xfs` refuses less than 300 MiB.
    pub const BYTES_MIN: u64 = 300 << 20;

    /// An ext4 volume of `bytes`.
    pub fn ext4(bytes: u64) -> io::Result<Self> {
        Self::make(bytes, "mkfs.ext4", &["-q", "-F"])
    }

    /// An ext4 volume of `bytes` on a device that can store only `room` of
    /// them: what is more is lost when it is written back.
    pub fn ext4_on_failing_device(bytes: u64, room: u64) -> io::Result<Self> {
        let scarce = Tmpfs::new(room)?;
        let image = scarce.path().join("image");
        // A journal that fails would take the whole volume with it.
        let options = ["-q", "-F", "-O", "^has_journal"];
        let mut volume = Self::make_on(&image, bytes, "mkfs.ext4", &options)?;
        volume._image = Some(Image::Scarce(scarce));
        Ok(volume)
    }

    /// An XFS volume of `bytes`.
    pub fn xfs(bytes: u64) -> io::Result<Self> {
        Self::make(bytes, "mkfs.xfs", &["-q"])
    }

    /// A btrfs volume of `bytes`.
    pub fn btrfs(bytes: u64) -> io::Result<Self> {
        Self::make(bytes, "mkfs.btrfs", &["-q"])
    }

    /// The root of the volume.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.mounted.path()
    }

    fn make(bytes: u64, mkfs: &str, options: &[&str]) -> io::Result<Self> {
        let directory = temp_dir()?;
        let mut volume = Self::make_on(&directory.path().join("image"), bytes, mkfs, options)?;
        volume._image = Some(Image::Directory(directory));
        Ok(volume)
    }

    fn make_on(image: &Path, bytes: u64, mkfs: &str, options: &[&str]) -> io::Result<Self> {
        File::create(image)?.set_len(bytes)?;
        run(Command::new(mkfs).args(options).arg(image))?;

        let directory = temp_dir()?;
        let target = directory.path().join("volume");
        fs::create_dir(&target)?;
        run(Command::new("mount")
            .args(["-o", "loop"].map(OsStr::new))
            .args([image, &target]))?;
        Ok(Self {
            mounted: Mounted::at(target),
            _directory: directory,
            _image: None,
        })
    }
}

fn run(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().to_owned();
    let failed = |message: String| io::Error::other(format!("{}: {message}", program.display()));
    let output = command
        .output()
        .map_err(|error| failed(format!("{error}; `cargo xtask test` installs it")))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(failed(format!("{}: {}", output.status, complaint.trim())))
}
