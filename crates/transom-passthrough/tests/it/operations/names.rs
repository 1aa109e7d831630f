//! Names, and what they lead to.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Instant;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, RenameFlags, SeekFrom};
use rustix::io::Errno;
use transom_fuse::{Opcode, Passthrough};
use transom_sys::file_handle::FileHandle;
use transom_test::privileged;

use super::{at_all_places, ext4};
use crate::mounted::{Mounted, drop_caches, load, options};
use crate::{PATIENCE, meanwhile};

#[test]
fn privileged_items_of_every_kind_work() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let node = |name: &str, kind, device| {
            let mode = Mode::from_raw_mode(0o644);
            rustix::fs::mknodat(CWD, place.at(name), kind, mode, device)
        };
        let made = [
            node("file", FileType::RegularFile, 0),
            node("pipe", FileType::Fifo, 0),
            node("socket", FileType::Socket, 0),
            node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
            node("disk", FileType::BlockDevice, rustix::fs::makedev(7, 99)),
            node("pipe", FileType::Fifo, 0),
        ];
        let (pipe, path) = (place.at("pipe"), place.at("bound"));
        let writer = thread::spawn(move || fs::write(pipe, b"through the pipe").unwrap());
        let piped = fs::read(place.at("pipe")).unwrap();
        writer.join().unwrap();
        let _listener = UnixListener::bind(&path).unwrap();
        let is_socket = fs::metadata(path).unwrap().file_type().is_socket();
        let null = fs::write(place.at("null"), b"nothing").is_ok();
        let devices = ["null", "disk"].map(|name| fs::metadata(place.at(name)).unwrap().rdev());
        (made, piped, is_socket, null, devices)
    });
}

#[test]
fn privileged_names_are_bytes_up_to_their_limit() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let mut seen = Vec::new();
        for name in [
            &b"\xff\xfe \n\t\"'"[..],
            b"...",
            &[b'n'; 255],
            &[0x80; 255],
            &[b'n'; 256],
        ] {
            let path = place.path.join(OsStr::from_bytes(name));
            let link = place.path.join("link");
            let written = fs::write(&path, name).map_err(|error| error.raw_os_error());
            let read = fs::read(&path).map_err(|error| error.raw_os_error());
            _ = std::os::unix::fs::symlink(OsStr::from_bytes(name), &link);
            seen.push((written, read, fs::read_link(&link).ok()));
            fs::remove_file(link).unwrap();
        }
        let long = "t".repeat(1000);
        std::os::unix::fs::symlink(&long, place.at("long")).unwrap();
        assert_eq!(fs::read_link(place.at("long")).unwrap().as_os_str(), &*long);
        let mut names: Vec<_> = fs::read_dir(&place.path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        (seen, names)
    });
}

#[test]
fn privileged_a_file_without_a_name_is_given_one() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let make = |flags| {
            let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC | flags;
            let mode = Mode::from_raw_mode(0o640);
            rustix::fs::openat(CWD, &place.path, flags, mode).map(File::from)
        };
        let give_name = |file: &File, name: &str| {
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, link, CWD, place.at(name), AtFlags::SYMLINK_FOLLOW)
        };
        let mut file = make(OFlags::empty()).unwrap();
        file.write_all(b"unnamed").unwrap();
        let links = file.metadata().unwrap().nlink();
        let given = [give_name(&file, "name"), give_name(&file, "name")];
        file.write_all(b" no more").unwrap();
        let never = give_name(&make(OFlags::EXCL).unwrap(), "never");
        let text = fs::read_to_string(place.behind("name")).unwrap();
        let mode = fs::metadata(place.at("name")).unwrap().mode();
        (links, given, never, text, mode)
    });
}

#[test]
fn privileged_a_whiteout_is_left_behind() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        fs::write(place.at("old"), b"content").unwrap();
        fs::write(place.at("other"), b"other").unwrap();
        let rename = |old: &str, new: &str, flags| {
            rustix::fs::renameat_with(CWD, place.at(old), CWD, place.at(new), flags)
        };
        let renamed = [
            rename("old", "new", RenameFlags::WHITEOUT),
            rename("new", "other", RenameFlags::NOREPLACE),
            rename("new", "other", RenameFlags::EXCHANGE),
            rename("new", "none", RenameFlags::EXCHANGE),
            rename(
                "new",
                "other",
                RenameFlags::EXCHANGE | RenameFlags::NOREPLACE,
            ),
        ];
        let whiteout = fs::symlink_metadata(place.at("old")).unwrap();
        let kind = whiteout.file_type().is_char_device();
        (
            renamed,
            kind,
            whiteout.rdev(),
            fs::read(place.at("other")).unwrap(),
        )
    });
}

#[test]
fn privileged_handles_lead_to_files_that_were_forgotten() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        fs::create_dir(place.at("directory")).unwrap();
        fs::write(place.at("directory/file"), b"content").unwrap();
        let mount = File::open(&place.path).unwrap();
        let path_only = |name: &str| {
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            rustix::fs::openat(CWD, place.at(name), flags, Mode::empty()).unwrap()
        };
        let handles =
            ["directory/file", "directory"].map(|name| FileHandle::of(path_only(name)).unwrap());
        let read = |handle: &FileHandle| {
            let mut text = String::new();
            let file = handle.open(&mount, OFlags::RDONLY)?;
            File::from(file).read_to_string(&mut text).unwrap();
            Ok::<_, Errno>(text)
        };
        let mut seen = vec![read(&handles[0])];
        drop_caches().unwrap();
        seen.push(read(&handles[0]));
        fs::rename(place.at("directory/file"), place.at("moved")).unwrap();
        drop_caches().unwrap();
        seen.push(read(&handles[0]));
        let directory = handles[1].open(&mount, OFlags::RDONLY | OFlags::DIRECTORY);
        let is_empty = names_in(directory.unwrap().as_fd(), 4096).is_empty();
        fs::remove_file(place.at("moved")).unwrap();
        fs::remove_dir(place.at("directory")).unwrap();
        // The server gives it back when it is told that it was closed, and
        // forgotten.
        let end = Instant::now() + PATIENCE;
        while read(&handles[0]).is_ok() && Instant::now() < end {
            drop_caches().unwrap();
        }
        seen.push(read(&handles[0]));
        seen.push(handles[1].open(&mount, OFlags::PATH).map(|_| String::new()));
        (seen, is_empty)
    });
}

/// How many stay, and how many others come and go meanwhile.
const STAY: usize = 10_000;
const GO: usize = 500;

#[test]
fn privileged_what_stays_is_listed_once_while_others_come_and_go() {
    privileged!("mount");
    let host = ext4();
    for index in 0..STAY {
        File::create(host.path().join(format!("stay-{index}"))).unwrap();
    }
    list_while_others_come_and_go(host.path());
    // Passthrough is of no importance here, and the cache should not be either.
    for cache in ["forever", "none"] {
        let definition = load(host.path(), cache).volume().unwrap();
        let mounted = Mounted::serve(definition, &options(Passthrough::On));
        list_while_others_come_and_go(mounted.path());
        let statistics = mounted.end();
        for opcode in [Opcode::Readdir, Opcode::Readdirplus] {
            assert!(statistics.count(opcode) > 0, "{statistics:?}");
        }
    }
}

fn list_while_others_come_and_go(directory: &Path) {
    let go = |index| directory.join(format!("go-{index}"));
    let come_and_go = || {
        for index in 0..GO {
            File::create(go(index)).unwrap();
        }
        for index in 0..GO {
            fs::remove_file(go(index)).unwrap();
        }
    };
    meanwhile(come_and_go, || {
        // The kernel asks for attributes too at first, and goes on doing so if
        // somebody looks at them.
        for (room, look) in [(32768, false), (600, true)] {
            let listed = names_in(File::open(directory).unwrap().as_fd(), room);
            for name in listed.keys().filter(|_| look) {
                // Some have gone.
                _ = fs::symlink_metadata(directory.join(name));
            }
            for index in 0..STAY {
                let name = OsString::from(format!("stay-{index}"));
                assert_eq!(listed.get(&name), Some(&1), "{name:?}");
            }
        }
    });
}

/// How often each name is listed, without the dots.
fn names_in(directory: std::os::fd::BorrowedFd<'_>, room: usize) -> BTreeMap<OsString, usize> {
    let mut buffer = vec![MaybeUninit::uninit(); room];
    let mut entries = RawDir::new(directory, &mut buffer);
    let mut names = BTreeMap::new();
    while let Some(entry) = entries.next() {
        let name = OsStr::from_bytes(entry.unwrap().file_name().to_bytes()).to_owned();
        if name != "." && name != ".." {
            *names.entry(name).or_insert(0) += 1;
        }
    }
    names
}

#[test]
fn privileged_a_listing_goes_on_anywhere() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        for index in 0..300 {
            File::create(place.behind(&format!("{index}"))).unwrap();
        }
        let whole = listed_from(&place.path, 0);
        for (index, (_, next)) in whole.iter().enumerate().step_by(17) {
            let rest: Vec<_> = listed_from(&place.path, *next);
            assert_eq!(rest, whole[index + 1..], "after entry {index}");
        }
        whole.len()
    });
}

/// The names from a position on, each with the position after it.
fn listed_from(path: &Path, from: u64) -> Vec<(OsString, u64)> {
    let directory: OwnedFd = File::open(path).unwrap().into();
    rustix::fs::seek(&directory, SeekFrom::Start(from)).unwrap();
    let mut buffer = vec![MaybeUninit::uninit(); 2048];
    let mut entries = RawDir::new(&directory, &mut buffer);
    let mut listed = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry.unwrap();
        let name = OsStr::from_bytes(entry.file_name().to_bytes()).to_owned();
        listed.push((name, entry.next_entry_cookie()));
    }
    listed
}
