//! Users other than the server's, and the volume as a whole.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::fs::{CWD, IFlags, XattrFlags};
use transom_fuse::{Options, Passthrough};
use transom_sys::volume_requests;
use transom_test::privileged;

use super::{Place, Writes, at_all_places, at_places, ext4, output, python};
use crate::mounted::{Mounted, load, options};

/// What user 1001 of group 1001, who is also in group 1500, sees of a command.
fn as_somebody(place: &Place, command: &str) -> String {
    let words = [
        "--reuid=1001",
        "--regid=1001",
        "--groups=1500",
        "--",
        "sh",
        "-c",
        command,
    ];
    let mut arguments: Vec<&dyn AsRef<OsStr>> = Vec::new();
    arguments.extend(words.iter().map(|word| word as &dyn AsRef<OsStr>));
    arguments.extend([&place.path as &dyn AsRef<OsStr>]);
    output("setpriv", &arguments).replace(&*place.path.to_string_lossy(), "PATH")
}

#[test]
fn privileged_others_have_their_own_rights() {
    privileged!("mount");
    at_places(
        ext4().path(),
        &options(Passthrough::On),
        Writes::SomeByUs,
        |place| {
            let directory = |name: &str, uid, gid, mode| {
                fs::create_dir(place.at(name)).unwrap();
                chown(place.at(name), Some(uid), Some(gid)).unwrap();
                fs::set_permissions(place.at(name), fs::Permissions::from_mode(mode)).unwrap();
            };
            fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
            directory("handed-on", 0, 1500, 0o2775);
            directory("group", 0, 1500, 0o770);
            directory("foreign", 0, 1600, 0o770);
            directory("foreign-handed-on", 0, 1600, 0o2777);
            directory("sticky", 0, 0, 0o1777);
            fs::write(place.at("sticky/of-root"), b"").unwrap();
            fs::write(place.at("set-id"), b"").unwrap();
            chown(place.at("set-id"), Some(1001), Some(1600)).unwrap();
            fs::set_permissions(place.at("set-id"), fs::Permissions::from_mode(0o6777)).unwrap();
            // `$0` is the place.
            [
            "cd $0/handed-on && umask 002 && touch a && mkdir b && mknod c p && ln -s a d && stat -c '%n %u %g %a' *",
            "cd $0/group && touch a && stat -c '%u %g %a' a",
            "touch $0/foreign/a; ls $0/foreign; touch $0/a",
            "cd $0/foreign-handed-on && touch a && mkdir b && stat -c '%u %g %a' a b",
            "cd $0/sticky && touch mine && rm -f of-root; mv of-root other; rm mine; ls",
            "cd $0/sticky && touch mine && chgrp 1500 mine && chgrp 1600 mine; chown 0 mine; stat -c '%u %g' mine",
            "chmod 0 $0/sticky/of-root; touch -d @0 $0/sticky/of-root",
            "stat -c %a $0/set-id; echo more >>$0/set-id; stat -c %a $0/set-id",
            "chmod 6777 $0/set-id; stat -c %a $0/set-id; truncate -s 1 $0/set-id; stat -c %a $0/set-id",
        ]
        .map(|command| as_somebody(place, command))
        },
    );
}

/// A clone of the mount, on which what user 0 has belongs to user 1000 and the
/// other way round.
const IDMAPPED: &str = r"
import ctypes, os, struct, subprocess, sys, time
place, behind = sys.argv[1:]
syscall = ctypes.CDLL(None, use_errno=True).syscall

def check(returned):
    if returned < 0:
        raise OSError(ctypes.get_errno(), 'system call')
    return returned

OPEN_TREE_CLONE, AT_EMPTY_PATH, IDMAP = 1, 0x1000, 0x100000
child = subprocess.Popen(['unshare', '--user', 'sleep', '60'])
own = os.readlink('/proc/self/ns/user')
while os.readlink(f'/proc/{child.pid}/ns/user') == own:
    time.sleep(0.001)
for kind in 'uid', 'gid':
    open(f'/proc/{child.pid}/{kind}_map', 'w').write('0 1000 1\n1000 0 1\n')
user_namespace = os.open(f'/proc/{child.pid}/ns/user', os.O_RDONLY)
child.kill()
child.wait()
open(os.path.join(place, 'before'), 'w').close()
os.chown(os.path.join(place, 'before'), 0, 1000)
mount = check(syscall(428, -100, place.encode(), OPEN_TREE_CLONE))
attributes = struct.pack('QQQQ', IDMAP, 0, 0, user_namespace)
check(syscall(442, mount, b'', AT_EMPTY_PATH, attributes, len(attributes)))

def show(name):
    for directory in mount, os.open(behind, os.O_PATH):
        status = os.stat(name, dir_fd=directory)
        print(name, status.st_uid, status.st_gid, oct(status.st_mode))

show('before')
os.chown('before', 1000, 0, dir_fd=mount)
show('before')
os.chmod('.', 0o777, dir_fd=mount)
sys.stdout.flush()
child = os.fork()
if child == 0:
    os.setgroups([])
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
    os.umask(0)
    fd = os.open('made', os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=mount)
    os.write(fd, b'content')
    os.mkdir('directory', 0o750, dir_fd=mount)
    os.symlink('made', 'link', dir_fd=mount)
    os.rename('made', 'directory/moved', src_dir_fd=mount, dst_dir_fd=mount)
    os._exit(0)
print(os.waitpid(child, 0)[1])
show('directory')
show('directory/moved')
print(open(os.path.join(behind, 'directory/moved')).read())
";

/// Whoever may write to a program that acts for its owner, but is not the
/// owner, makes it an ordinary program by writing.
#[test]
fn privileged_a_program_of_root_that_others_wrote_to_acts_for_them() {
    privileged!("mount");
    at_places(
        ext4().path(),
        &options(Passthrough::On),
        Writes::SomeByUs,
        |place| {
            let as_nobody = |command: &str| as_somebody(place, command);
            fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
            let set_id = || {
                fs::copy("/usr/bin/id", place.at("id")).unwrap();
                fs::set_permissions(place.at("id"), fs::Permissions::from_mode(0o4777)).unwrap();
            };
            set_id();
            let before = as_nobody("$0/id -u");
            let written = as_nobody("echo >>$0/id; $0/id -u; stat -c %a $0/id");
            set_id();
            let truncated = as_nobody("truncate -s +1 $0/id; $0/id -u; stat -c %a $0/id");
            set_id();
            let appended = as_nobody("exec 3>>$0/id; echo >&3; $0/id -u");
            (before, written, truncated, appended)
        },
    );
}

/// Every way to change the content of `$0/file`.
const CHANGES: [&str; 7] = [
    "echo more >>$0/file",
    ": >$0/file",
    "truncate -s 1 $0/file",
    "fallocate -l 8192 $0/file",
    "fallocate -p -l 4096 $0/file",
    "fallocate -z -l 4096 $0/file",
    "exec 3<$0/from 4<>$0/file; \
     python3 -c 'import os; os.copy_file_range(3, 4, 4)'",
];

/// A file keeps set-id bits if who changes it may set them, and the one of a
/// group that may not execute it if a member of that changes it.
#[test]
fn privileged_files_lose_set_id_bits_to_whom_they_lose_them_on_the_host() {
    privileged!("mount");
    let change_file = |place: &Place, group, mode, change: &str, words: &[&dyn AsRef<OsStr>]| {
        fs::write(place.at("file"), b"content").unwrap();
        chown(place.at("file"), Some(0), Some(group)).unwrap();
        fs::set_permissions(place.at("file"), fs::Permissions::from_mode(mode)).unwrap();
        let mut arguments = words.to_vec();
        arguments.extend([
            &"--" as &dyn AsRef<OsStr>,
            &"sh",
            &"-c",
            &change,
            &place.path,
        ]);
        let said = output("setpriv", &arguments);
        let modes = [place.at("file"), place.behind("file")]
            .map(|path| format!("{:o}", fs::metadata(path).unwrap().mode() & 0o7777));
        format!("{change}, {mode:o} of {group}: {said}{modes:?}")
    };
    at_places(
        ext4().path(),
        &options(Passthrough::On),
        Writes::SomeByUs,
        |place| {
            fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
            fs::write(place.at("from"), b"content").unwrap();
            let somebody: &[&dyn AsRef<OsStr>] =
                &[&"--reuid=1001", &"--regid=1001", &"--groups=1500"];
            let root: &[&dyn AsRef<OsStr>] = &[&"--reuid=0"];
            let weak_root: &[&dyn AsRef<OsStr>] = &[&"--bounding-set=-fsetid"];
            let mut seen = Vec::new();
            for change in CHANGES {
                for mode in [0o6666, 0o6676, 0o2666] {
                    for group in [1001, 1500, 1600] {
                        seen.push(change_file(place, group, mode, change, somebody));
                    }
                }
                seen.push(change_file(place, 1600, 0o6666, change, root));
                seen.push(change_file(place, 1600, 0o6666, change, weak_root));
            }
            seen
        },
    );
}

#[test]
fn privileged_ids_can_be_mapped() {
    privileged!("mount");
    let options = Options {
        idmapped: true,
        ..options(Passthrough::On)
    };
    at_places(ext4().path(), &options, Writes::ByTheKernel, |place| {
        let seen = python(place, IDMAPPED);
        assert_eq!(seen.lines().count(), 10, "{seen}");
        seen
    });
}

#[test]
fn privileged_the_volume_has_a_label() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        // The host's own label is none of ours.
        if place.way.is_none() {
            return;
        }
        let root = File::open(&place.path).unwrap();
        assert_eq!(volume_requests::label(&root).unwrap(), "");
        volume_requests::set_label(&root, OsStr::new("a volume")).unwrap();
        assert_eq!(volume_requests::label(&root).unwrap(), "a volume");
        fs::create_dir(place.at("below")).unwrap();
        let below = File::open(place.at("below")).unwrap();
        assert_eq!(volume_requests::label(&below).unwrap(), "a volume");
    });
}

#[test]
fn privileged_flags_of_files_are_those_of_the_host() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        fs::write(place.at("file"), b"content").unwrap();
        let flags = |path: &Path| rustix::fs::ioctl_getflags(File::open(path).unwrap()).unwrap();
        let file = File::open(place.at("file")).unwrap();
        let before = flags(&place.at("file"));
        rustix::fs::ioctl_setflags(&file, before | IFlags::IMMUTABLE).unwrap();
        assert_eq!(flags(&place.at("file")), flags(&place.behind("file")));
        let refused = [
            fs::write(place.at("file"), b"other").map_err(|error| error.raw_os_error()),
            fs::remove_file(place.at("file")).map_err(|error| error.raw_os_error()),
            rustix::fs::linkat(
                CWD,
                place.at("file"),
                CWD,
                place.at("link"),
                rustix::fs::AtFlags::empty(),
            )
            .map_err(|error| Some(error.raw_os_error())),
        ];
        rustix::fs::ioctl_setflags(&file, before).unwrap();
        let size = fs::metadata(place.at("file")).unwrap().size();
        (before, refused, size)
    });
}

#[test]
fn privileged_a_file_that_can_only_grow_is_appended_to() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        fs::write(place.at("log"), b"one ").unwrap();
        let flags = File::open(place.at("log")).unwrap();
        let before = rustix::fs::ioctl_getflags(&flags).unwrap();
        rustix::fs::ioctl_setflags(&flags, before | IFlags::APPEND).unwrap();
        let mut log = File::options().append(true).open(place.at("log")).unwrap();
        log.write_all(b"two").unwrap();
        log.sync_all().unwrap();
        let refused = File::options().write(true).open(place.at("log"));
        let refused = refused.unwrap_err().raw_os_error();
        drop(log);
        let content = fs::read(place.at("log")).unwrap();
        rustix::fs::ioctl_setflags(&flags, before).unwrap();
        (refused, content)
    });
}

#[test]
fn privileged_nothing_is_changed_through_a_read_only_mount() {
    privileged!("mount");
    let disk = ext4();
    fs::create_dir(disk.path().join("directory")).unwrap();
    fs::write(disk.path().join("file"), b"content").unwrap();
    fs::set_permissions(disk.path().join("file"), fs::Permissions::from_mode(0o4755)).unwrap();
    let options = Options {
        read_only: true,
        ..options(Passthrough::On)
    };
    // The volume itself may write: nothing may depend on it.
    let definition = load(disk.path(), "forever").volume().unwrap();
    let mounted = Mounted::serve(definition, &options);
    let at = |name: &str| mounted.path().join(name);
    let before = fs::metadata(disk.path().join("file")).unwrap();
    let append = || OpenOptions::new().append(true).open(at("file"));
    let done = [
        fs::write(at("file"), b"other"),
        fs::write(at("new"), b"new"),
        append().map(drop),
        fs::remove_file(at("file")),
        fs::remove_dir(at("directory")),
        fs::create_dir(at("new")),
        fs::rename(at("file"), at("new")),
        fs::hard_link(at("file"), at("new")),
        std::os::unix::fs::symlink("file", at("new")),
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o700)),
        chown(at("file"), Some(1), Some(1)),
        rustix::fs::setxattr(at("file"), "user.name", b"", XattrFlags::empty())
            .map_err(std::io::Error::from),
    ];
    for (index, result) in done.into_iter().enumerate() {
        let errno = result.unwrap_err().raw_os_error();
        assert_eq!(errno, Some(libc::EROFS), "operation {index}");
    }
    assert_eq!(fs::read(at("file")).unwrap(), b"content");
    let after = fs::metadata(disk.path().join("file")).unwrap();
    assert_eq!(
        (after.mode(), after.mtime_nsec(), after.ctime_nsec()),
        (before.mode(), before.mtime_nsec(), before.ctime_nsec())
    );
    mounted.end();
}
