//! Attributes, extended attributes and access control lists.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid, XattrFlags,
};
use rustix::io::Errno;
use transom_test::{LoopVolume, privileged};

use super::{Place, at_all_places, ext4, output};

/// Everything that was set, and is the same behind.
fn status(place: &Place, name: &str) -> [i64; 9] {
    let of = |path: &Path| {
        let status = fs::symlink_metadata(path).unwrap();
        [
            i64::from(status.mode()),
            i64::from(status.uid()),
            i64::from(status.gid()),
            status.nlink().cast_signed(),
            status.size().cast_signed(),
            status.atime(),
            status.atime_nsec(),
            status.mtime(),
            status.mtime_nsec(),
        ]
    };
    let changed = |path: &Path| {
        let status = fs::symlink_metadata(path).unwrap();
        (
            (status.ctime(), status.ctime_nsec()),
            status.ino(),
            status.created().unwrap(),
        )
    };
    let (path, behind) = (place.at(name), place.behind(name));
    assert_eq!(of(&path), of(&behind), "{name}");
    assert_eq!(changed(&path), changed(&behind), "{name}");
    of(&path)
}

#[test]
fn privileged_every_attribute_is_set() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let set_times = |name: &str, accessed: (i64, i64), modified: (i64, i64)| {
            let [last_access, last_modification] =
                [accessed, modified].map(|(tv_sec, tv_nsec)| Timespec { tv_sec, tv_nsec });
            let times = Timestamps {
                last_access,
                last_modification,
            };
            let path = place.at(name);
            rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        };
        fs::write(place.at("file"), b"0123456789").unwrap();
        fs::create_dir(place.at("directory")).unwrap();
        std::os::unix::fs::symlink("file", place.at("link")).unwrap();
        let mut seen = Vec::new();
        for name in ["file", "directory", "link"] {
            // Before 1970, and after 2038.
            set_times(name, (-5, 999_999_999), (5_000_000_000, 1));
            seen.push(status(place, name));
            // Each leaves the other as it is.
            set_times(name, (77, 7), (0, UTIME_OMIT));
            seen.push(status(place, name));
            set_times(name, (0, UTIME_OMIT), (88, 8));
            seen.push(status(place, name));
            let (uid, gid) = (Some(Uid::from_raw(1000)), Some(Gid::from_raw(1001)));
            let nofollow = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(CWD, place.at(name), uid, None, nofollow).unwrap();
            seen.push(status(place, name));
            rustix::fs::chownat(CWD, place.at(name), None, gid, nofollow).unwrap();
            seen.push(status(place, name));
        }
        for permissions in [0o4711, 0o2755, 0o1777, 0o6755, 0] {
            let mode = fs::Permissions::from_mode(permissions);
            fs::set_permissions(place.at("file"), mode.clone()).unwrap();
            fs::set_permissions(place.at("directory"), mode).unwrap();
            seen.push(status(place, "file"));
            seen.push(status(place, "directory"));
        }
        // A new owner does not get a program that acts for the old one.
        fs::set_permissions(place.at("file"), fs::Permissions::from_mode(0o6755)).unwrap();
        rustix::fs::chown(place.at("file"), Some(Uid::from_raw(2)), None).unwrap();
        seen.push(status(place, "file"));
        // By name, by descriptor, and while opening.
        let script = "truncate($ARGV[0], $ARGV[1]) or print \"$!\\n\"";
        for size in ["4", "40000", "0"] {
            assert_eq!(
                output("perl", &[&"-e", &script, &place.at("file"), &size]),
                ""
            );
            set_times("file", (1, 1), (2, 2));
            seen.push(status(place, "file"));
        }
        let file = fs::OpenOptions::new()
            .write(true)
            .open(place.at("file"))
            .unwrap();
        file.set_len(5000).unwrap();
        set_times("file", (1, 1), (2, 2));
        seen.push(status(place, "file"));
        fs::write(place.at("file"), b"again").unwrap();
        set_times("file", (1, 1), (2, 2));
        seen.push(status(place, "file"));
        seen
    });
}

#[test]
fn privileged_the_present_moment_is_set() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        fs::write(place.at("file"), b"").unwrap();
        let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        for last_access in [time(1, 1), time(0, UTIME_NOW)] {
            let times = Timestamps {
                last_access,
                last_modification: time(3, 3),
            };
            rustix::fs::utimensat(CWD, place.at("file"), &times, AtFlags::empty()).unwrap();
        }
        let [.., accessed, _, modified, nanoseconds] = status(place, "file");
        (accessed > 1_000_000_000, modified, nanoseconds)
    });
}

#[test]
fn privileged_space_and_limits_are_those_of_the_host() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let here = rustix::fs::statvfs(&place.path).unwrap();
        let behind = rustix::fs::statvfs(&place.behind).unwrap();
        assert_eq!(
            (here.f_bfree, here.f_bavail, here.f_ffree),
            (behind.f_bfree, behind.f_bavail, behind.f_ffree)
        );
        (here.f_blocks, here.f_frsize, here.f_files, here.f_namemax)
    });
}

#[test]
fn privileged_extended_attributes_have_the_limits_of_the_kernel() {
    privileged!("mount");
    // ext4 has less room than the kernel lets through.
    let host = LoopVolume::xfs(LoopVolume::BYTES_MIN).unwrap();
    at_all_places(host.path(), |place| {
        let path = place.at("file");
        fs::write(&path, b"").unwrap();
        let longest = format!("user.{}", "n".repeat(250));
        let set = |name: &str, value: &[u8], flags| {
            rustix::fs::setxattr(&path, name, value, flags).map(drop)
        };
        let get = |name: &str, room| {
            let mut value = Vec::with_capacity(room);
            rustix::fs::getxattr(&path, name, spare_capacity(&mut value)).map(|_| value)
        };
        let list = |room| {
            let mut names = Vec::with_capacity(room);
            rustix::fs::listxattr(&path, spare_capacity(&mut names)).map(|_| names)
        };
        let any = XattrFlags::empty();
        let large = vec![7; 65536];
        let set = vec![
            set(&longest, &large, any),
            set(&format!("{longest}n"), b"", any),
            set("user.large", &vec![7; 65537], any),
            set("user.empty", b"", XattrFlags::CREATE),
            set("user.empty", b"", XattrFlags::CREATE),
            set("user.none", b"", XattrFlags::REPLACE),
            set("user.empty", b"not any more", XattrFlags::REPLACE),
            set("unknown.name", b"", any),
        ];
        let got = vec![
            get(&longest, 65536),
            get(&longest, 65535),
            get("user.none", 100),
            get("user.empty", 12),
            get("user.empty", 11),
            list(65536),
            list(3),
        ];
        assert_eq!(got[0].as_ref(), Ok(&large));
        assert_eq!(got[1], Err(Errno::RANGE));
        let sizes = (
            rustix::fs::getxattr_query(&path, &*longest),
            rustix::fs::listxattr_query(&path),
        );
        let removed = [
            rustix::fs::removexattr(&path, &*longest),
            rustix::fs::removexattr(&path, &*longest),
        ];
        (set, got, sizes, removed, list(65536))
    });
}

#[test]
fn privileged_access_control_lists_are_kept_enforced_and_handed_on() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let mut seen = Vec::new();
        let mut run = |program: &str, words: &[&str], name: &str| {
            let path = place.at(name);
            let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = Vec::new();
            arguments.extend(words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>));
            arguments.push(&path);
            let text = output(program, &arguments);
            seen.push(text.replace(&*path.to_string_lossy(), "PATH"));
        };
        fs::create_dir(place.at("open")).unwrap();
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(place.at("file"), b"content\n").unwrap();
        fs::set_permissions(place.at("file"), fs::Permissions::from_mode(0o600)).unwrap();
        let as_1000 = ["--reuid=1000", "--regid=1000", "--clear-groups", "cat"];
        run("setpriv", &as_1000, "file");
        run("setfacl", &["-m", "u:1000:r,g:1001:rw"], "file");
        run("setpriv", &as_1000, "file");
        run("getfacl", &["-cpn"], "file");
        // The mode shows the mask, and changes it.
        fs::set_permissions(place.at("file"), fs::Permissions::from_mode(0o640)).unwrap();
        run("getfacl", &["-cpn"], "file");
        run("setfacl", &["-d", "-m", "u:1000:rwx,o:-"], "open");
        run("getfacl", &["-cpn"], "open");
        fs::write(place.at("open/file"), b"").unwrap();
        fs::create_dir(place.at("open/directory")).unwrap();
        run("getfacl", &["-cpn"], "open/file");
        run("getfacl", &["-cpn"], "open/directory");
        run("setfacl", &["-b"], "file");
        run("getfacl", &["-cpn"], "file");
        run("setpriv", &as_1000, "file");
        rustix::fs::mkdirat(CWD, place.at("open/umask"), Mode::from_raw_mode(0o777)).unwrap();
        run("getfacl", &["-cpn"], "open/umask");
        seen
    });
}
