//! The server is killed in the middle.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use rustix::mount::{UnmountFlags, unmount};
use transom_fuse::Passthrough;
use transom_test::{privileged, temp_dir};

use crate::mounted::{Mounted, WAYS};

/// Set in the process that serves: the directory behind.
const SOURCE: &str = "TRANSOM_TEST_SOURCE";
/// And the way the bytes go.
const WAY: &str = "TRANSOM_TEST_WAY";

/// Not a test of its own: serves until it is killed.
#[test]
fn process_that_serves() {
    let (Some(source), Ok(way)) = (std::env::var_os(SOURCE), std::env::var(WAY)) else {
        return;
    };
    let passthrough = WAYS.into_iter().find(|known| format!("{known:?}") == way);
    let mounted = Mounted::of(Path::new(&source), passthrough.unwrap());
    println!("\nserving {}", mounted.path().display());
    loop {
        thread::park();
    }
}

/// A server in a process of its own.
struct Server {
    child: Child,
    mount: PathBuf,
}

impl Server {
    fn start(source: &Path, passthrough: Passthrough) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed::process_that_serves", "--nocapture"])
            .env(SOURCE, source)
            .env(WAY, format!("{passthrough:?}"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mount = lines
            .map(|line| line.unwrap())
            .find_map(|line| line.strip_prefix("serving ").map(PathBuf::from))
            .unwrap();
        Self { child, mount }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
        _ = unmount(&self.mount, UnmountFlags::DETACH);
        _ = fs::remove_dir(&self.mount);
        _ = fs::remove_dir(self.mount.parent().unwrap());
    }
}

/// How many records are written before the server is killed.
const RECORDS_BEFORE: usize = 100;
/// And at most after that: the kernel goes on by itself with what is open.
const RECORDS_AFTER: usize = 1000;

#[test]
fn privileged_a_killed_server_loses_nothing_it_acknowledged() {
    privileged!("mount");
    for passthrough in WAYS {
        let source = temp_dir().unwrap();
        let mut server = Server::start(source.path(), passthrough);
        let path = server.mount.join("log");
        let (reached, half) = std::sync::mpsc::channel();
        let writer = thread::spawn(move || {
            let mut log = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .unwrap();
            let mut acknowledged = 0;
            while acknowledged < RECORDS_BEFORE + RECORDS_AFTER {
                if acknowledged == RECORDS_BEFORE {
                    reached.send(()).unwrap();
                }
                let record = format!("{acknowledged:08}\n");
                if log.write_all(record.as_bytes()).is_err() {
                    break;
                }
                acknowledged += 1;
            }
            acknowledged
        });
        half.recv().unwrap();
        server.kill();
        let acknowledged = writer.join().unwrap();
        let log = fs::read_to_string(source.path().join("log")).unwrap();
        let records: Vec<_> = log.lines().take(acknowledged).collect();
        let expected: Vec<_> = (0..acknowledged).map(|n| format!("{n:08}")).collect();
        assert_eq!(records, expected, "{passthrough:?}");

        let gone = |result: std::io::Result<()>| {
            let errno = result.unwrap_err().raw_os_error();
            assert_eq!(errno, Some(libc::ENOTCONN), "{passthrough:?}");
        };
        gone(fs::metadata(&server.mount).map(drop));
        gone(File::open(server.mount.join("log")).map(drop));
        gone(File::create(server.mount.join("new")).map(drop));
        unmount(&server.mount, UnmountFlags::empty()).unwrap();
        assert_eq!(fs::read_dir(&server.mount).unwrap().count(), 0);
    }
}
