//! What several processes do with one file.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use transom_test::privileged;

use super::{at_all_places, ext4, python};

/// One process holds locks, another asks for them.
const LOCKS: &str = r"
import errno, fcntl, os, struct, sys
path = os.path.join(sys.argv[1], 'file')
open(path, 'wb').write(b'0123456789')

def attempt(lock, *how):
    try:
        lock(*how)
        return 'taken'
    except OSError as error:
        return errno.errorcode[error.errno]

def other(work):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        work(os.open(path, os.O_RDWR))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(child, 0)

EXCLUSIVE = fcntl.LOCK_EX | fcntl.LOCK_NB
SHARED = fcntl.LOCK_SH | fcntl.LOCK_NB
fd = os.open(path, os.O_RDWR)
holder = os.getpid()

print('flock', attempt(fcntl.flock, fd, EXCLUSIVE))
other(lambda fd: print(attempt(fcntl.flock, fd, SHARED)))
print(attempt(fcntl.flock, fd, SHARED))
other(lambda fd: print(attempt(fcntl.flock, fd, SHARED), attempt(fcntl.flock, fd, EXCLUSIVE)))
fcntl.flock(fd, fcntl.LOCK_UN)
other(lambda fd: print(attempt(fcntl.flock, fd, EXCLUSIVE)))

print('fcntl', attempt(fcntl.lockf, fd, EXCLUSIVE, 4, 2))
other(lambda fd: print(
    attempt(fcntl.lockf, fd, EXCLUSIVE, 2, 0),
    attempt(fcntl.lockf, fd, SHARED, 2, 3),
    attempt(fcntl.lockf, fd, EXCLUSIVE, 2, 6)))

def ask(fd):
    query = struct.pack('hhqqi4x', fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, start, length, pid = struct.unpack('hhqqi4x', fcntl.fcntl(fd, fcntl.F_GETLK, query))
    print(kind == fcntl.F_WRLCK, start, length, pid == holder)
other(ask)
os.close(os.open(path, os.O_RDONLY))
other(lambda fd: print(attempt(fcntl.lockf, fd, EXCLUSIVE)))
";

#[test]
fn privileged_locks_are_kept_between_processes() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let seen = python(place, LOCKS);
        assert_eq!(seen.lines().count(), 9, "{seen}");
        seen
    });
}

#[test]
fn privileged_a_program_that_runs_is_not_written() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let path = place.at("program");
        fs::copy("/bin/sleep", &path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let open_to_write = || {
            let opened = OpenOptions::new().write(true).open(&path);
            opened.map_err(|error| error.raw_os_error())
        };
        let run = |path| {
            let child = Command::new(path).arg("0").stdout(Stdio::null()).status();
            child
                .map(|status| status.success())
                .map_err(|error| error.raw_os_error())
        };
        let mut running = Command::new(&path).arg("60").spawn().unwrap();
        let while_running = open_to_write().map(drop);
        running.kill().unwrap();
        running.wait().unwrap();
        let writer = open_to_write().unwrap();
        let while_open = run(place.at("program"));
        let while_open_behind = run(place.behind("program"));
        drop(writer);
        let reader = File::open(&path).unwrap();
        let after = [run(place.at("program")), run(place.behind("program"))];
        drop(reader);
        (while_running, while_open, while_open_behind, after)
    });
}
