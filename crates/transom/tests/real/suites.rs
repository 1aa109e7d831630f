//! Outside suites on a directory that `transom mount passthrough` shows: what
//! passes on the directory itself passes on the mount.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use transom_test::{LoopVolume, Tmpfs, privileged, temp_dir};

/// What pjdfstest needs to be told: which optional things Linux has, and users
/// that every Debian has.
const PJDFSTEST: &str = r#"
[features]
posix_fallocate = {}
rename_ctime = {}
utime_now = {}
utimensat = {}

[settings]
naptime = 0.02
allow_remount = false

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
"#;

/// The kernel tells nobody how many links a file of a FUSE mount may have, so
/// the test does not know where to stop, and is skipped.
const UNKNOWN_TO_FUSE: &str = "link::link_count_max";

/// The operations of fsx.
const FSX: &str = "
flen = 1048576
[opsize]
max = 65536
[weights]
close_open = 1
read = 10
write = 10
mapread = 10
mapwrite = 10
invalidate = 1
truncate = 5
fsync = 1
fdatasync = 1
posix_fallocate = 3
punch_hole = 3
sendfile = 3
posix_fadvise = 1
copy_file_range = 5
";
const FSX_OPERATIONS: &str = "5000";
const FSX_SEED: &str = "20261121";
/// Names, in the environment, for how many seconds fsx goes on instead.
const SECONDS: &str = "TRANSOM_TEST_SECONDS";
/// What `timeout` ends with if the time was up.
const TIME_IS_UP: i32 = 124;

/// A directory shown by the program. Dropping it unmounts it.
struct Shown {
    target: PathBuf,
}

impl Shown {
    fn new(source: &Path, target: PathBuf, passthrough: &str) -> Self {
        fs::create_dir(&target).unwrap();
        let transom = env!("CARGO_BIN_EXE_transom");
        let words = [OsStr::new("mount"), OsStr::new("passthrough")];
        let mut mount = Command::new(transom);
        mount.args(words).args([source, &target]);
        mount.args(["--passthrough", passthrough]);
        assert!(mount.status().unwrap().success());
        Self { target }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg(&self.target).status();
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success());
        }
    }
}

/// A program that cargo has installed.
fn tool(name: &str) -> Command {
    let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.unwrap_or_else(|| Path::new(&home).join(".cargo"));
    let installed = cargo_home.join("bin").join(name);
    Command::new(if installed.exists() {
        installed
    } else {
        name.into()
    })
}

/// The names of the tests that passed, and what else was said.
fn pjdfstest(directory: &Path, other_volume: &Path) -> (BTreeSet<String>, String) {
    // Its tests of long paths need a length of this directory that is no
    // multiple of 127 away from the longest one (pjdfstest 0.2.2).
    let length = directory.as_os_str().len() + "/pjdfstest".len();
    let pad = if (4095 - length - 22).is_multiple_of(127) {
        "-"
    } else {
        ""
    };
    let work = directory.join(format!("pjdfstest{pad}"));
    fs::create_dir(&work).unwrap();
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(directory, everybody.clone()).unwrap();
    fs::set_permissions(&work, everybody).unwrap();
    let configuration = other_volume.join("pjdfstest.toml");
    fs::write(&configuration, PJDFSTEST).unwrap();
    let mut command = tool("pjdfstest");
    command.arg("-c").arg(&configuration);
    command.arg("-s").arg(other_volume).arg("-p").arg(&work);
    let output = command.env("NO_COLOR", "1").output().unwrap();
    fs::remove_dir_all(&work).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let passed = |line: &str| {
        let (name, result) = line.split_once(char::is_whitespace)?;
        (result.trim() == "ok").then(|| name.to_owned())
    };
    (said.lines().filter_map(passed).collect(), said)
}

#[test]
fn privileged_pjdfstest_passes_where_it_passes_on_the_host() {
    privileged!("mount");
    let volume = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
    let other_volume = Tmpfs::new(16 << 20).unwrap();
    let (mut expected, said) = pjdfstest(volume.path(), other_volume.path());
    assert!(expected.len() > 350, "{said}");
    expected.remove(UNKNOWN_TO_FUSE);
    let directory = temp_dir().unwrap();
    for passthrough in ["rw", "off"] {
        let shown = Shown::new(
            volume.path(),
            directory.path().join(passthrough),
            passthrough,
        );
        let (passed, said) = pjdfstest(&shown.target, other_volume.path());
        let missing: Vec<_> = expected.difference(&passed).collect();
        assert!(
            missing.is_empty(),
            "passthrough {passthrough}: {missing:#?}\n{said}"
        );
    }
}

#[test]
fn privileged_fsx_finds_no_difference_with_passthrough() {
    privileged!("mount");
    fsx("rw");
}

#[test]
fn privileged_fsx_finds_no_difference_with_passthrough_of_reads() {
    privileged!("mount");
    fsx("ro");
}

#[test]
fn privileged_fsx_finds_no_difference_without_passthrough() {
    privileged!("mount");
    fsx("off");
}

fn fsx(passthrough: &str) {
    let volume = LoopVolume::ext4(LoopVolume::BYTES_MIN).unwrap();
    let directory = temp_dir().unwrap();
    let configuration = directory.path().join("fsx.toml");
    fs::write(&configuration, FSX).unwrap();
    let shown = Shown::new(volume.path(), directory.path().join("shown"), passthrough);
    let mut fsx = tool("fsx");
    let expected = if let Ok(seconds) = std::env::var(SECONDS) {
        let endless = std::mem::replace(&mut fsx, Command::new("timeout"));
        fsx.arg(seconds).arg(endless.get_program());
        TIME_IS_UP
    } else {
        fsx.args(["-N", FSX_OPERATIONS]);
        0
    };
    fsx.arg("-f").arg(&configuration);
    fsx.arg("-P").arg(directory.path());
    fsx.args(["-q", "-S", FSX_SEED]);
    let output = fsx.arg(shown.target.join("file")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(expected), "{said}");
}
