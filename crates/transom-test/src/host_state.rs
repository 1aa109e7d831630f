use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::is_root;
use crate::kernel_filesystem::FUSECTL;

/// What a run could leave behind on the host: mounts, FUSE connections, loop
/// devices, processes, entries of the directories it writes to.
///
/// Take one before the run, and call [`assert_restored`](Self::assert_restored)
/// after it. The state is the whole machine's, so a test that does this has
/// `leaves_nothing` in its name, which makes the test runner run it alone.
#[derive(Debug)]
pub struct HostState {
    command: String,
    directories: Vec<PathBuf>,
    items: BTreeSet<String>,
}

impl HostState {
    /// Notes the state of the host: of processes those whose command line
    /// contains `command`, and whatever is in `directories` (not below).
    ///
    /// Connections are seen where fusectl is mounted; root mounts it if need
    /// be.
    pub fn capture(command: &str, directories: &[&Path]) -> io::Result<Self> {
        if is_root() {
            FUSECTL.mounted()?;
        }
        let mut state = Self {
            command: command.to_owned(),
            directories: directories.iter().map(|path| path.to_path_buf()).collect(),
            items: BTreeSet::new(),
        };
        state.items = state.current()?;
        Ok(state)
    }

    /// What is there now and was not before, one line each.
    pub fn added(&self) -> io::Result<Vec<String>> {
        let current = self.current()?;
        Ok(current.difference(&self.items).cloned().collect())
    }

    /// Like [`added`](Self::added), but waits a little for it to vanish: the
    /// kernel gives things back after their last user is gone.
    pub fn left_behind(&self) -> io::Result<Vec<String>> {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let added = self.added()?;
            if added.is_empty() || Instant::now() >= deadline {
                return Ok(added);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Panics with a list if something was left behind.
    #[track_caller]
    pub fn assert_restored(&self) {
        match self.left_behind() {
            Ok(left) => assert!(left.is_empty(), "left behind:\n{}", left.join("\n")),
            Err(error) => panic!("the state of the host cannot be read: {error}"),
        }
    }

    fn current(&self) -> io::Result<BTreeSet<String>> {
        let mut items = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        items.extend(mounts.lines().map(|line| format!("mount {line}")));
        items.extend(entries(FUSECTL.path).map(|name| format!("FUSE connection {name}")));
        items.extend(entries("/sys/block").filter_map(|name| {
            let backing = format!("/sys/block/{name}/loop/backing_file");
            let image = fs::read_to_string(backing).ok()?;
            Some(format!("loop device {name} of {}", image.trim()))
        }));
        items.extend(entries("/proc").filter_map(|name| self.process(&name)));
        for directory in &self.directories {
            items.extend(
                entries(directory).map(|name| format!("entry {}", directory.join(name).display())),
            );
        }
        Ok(items)
    }

    fn process(&self, pid: &str) -> Option<String> {
        pid.parse::<u32>().ok()?;
        // Vanished meanwhile, a zombie or a kernel thread: an empty line.
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&arguments).replace('\0', " ");
        line.contains(&self.command)
            .then(|| format!("process {pid}: {}", line.trim_end()))
    }
}

/// How long the kernel and init may take to clear up after a killed process.
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// The names in a directory; none if it cannot be read.
fn entries(directory: impl AsRef<Path>) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
