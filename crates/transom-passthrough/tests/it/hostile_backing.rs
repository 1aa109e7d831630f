//! The directory behind a mount changes, fills up and fails.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, ResolveFlags};
use transom_fuse::Passthrough;
use transom_module::{
    Attributes, Context, Cookie, DirectorySink, Entry, Errno, Io, ItemId, ItemKind, Lifetime,
    Lookup, OpenMode, Opened, Result, Volume, VolumeDefinition, list_in_order,
};
use transom_test::{LoopVolume, Tmpfs, privileged, temp_dir};

use crate::mounted::{Mounted, WAYS, load, options};
use crate::{PATIENCE, meanwhile};

const DIRECTORIES: [&str; 3] = ["a", "b", "c"];
const FILES: [&str; 4] = ["1", "2", "3", "4"];
const READS: usize = 3000;

/// A content that tells if parts of two are mixed, or a part is lacking.
fn content(number: u8) -> Vec<u8> {
    vec![number; 5000 + 40 * usize::from(number)]
}

#[test]
fn privileged_what_is_replaced_behind_is_read_whole_or_not_at_all() {
    privileged!("mount");
    for (passthrough, cache) in [
        (Passthrough::On, "forever"),
        (Passthrough::On, "none"),
        (Passthrough::Off, "forever"),
        (Passthrough::Off, "none"),
    ] {
        let source = Tmpfs::new(16 << 20).unwrap();
        let behind = source.path();
        let definition = load(behind, cache).volume().unwrap();
        let mounted = Mounted::serve(definition, &options(passthrough));
        let replace_everything = || {
            for directory in DIRECTORIES {
                let directory = behind.join(directory);
                _ = fs::create_dir(&directory);
                for (index, name) in FILES.iter().enumerate() {
                    fs::write(behind.join("new"), content(index as u8)).unwrap();
                    fs::rename(behind.join("new"), directory.join(name)).unwrap();
                }
            }
            fs::rename(behind.join("b").join("1"), behind.join("a").join("2")).unwrap();
            let [a, b] = ["a", "b"].map(|name| behind.join(name));
            rustix::fs::renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).unwrap();
            fs::rename(behind.join("c"), behind.join("gone")).unwrap();
            fs::remove_dir_all(behind.join("gone")).unwrap();
        };
        replace_everything();
        let mut whole = 0;
        meanwhile(replace_everything, || {
            for index in 0..READS {
                let directory = DIRECTORIES[index % DIRECTORIES.len()];
                let name = FILES[index / 5 % FILES.len()];
                let path = mounted.path().join(directory).join(name);
                match fs::read(&path) {
                    Ok(bytes) => {
                        let number = bytes.first().copied().unwrap_or(u8::MAX);
                        assert!(bytes == content(number), "{number}: {}", bytes.len());
                        whole += 1;
                    }
                    Err(error) => assert!(
                        matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESTALE)),
                        "{}: {error}",
                        path.display()
                    ),
                }
            }
        });
        assert!(whole > READS / 10, "{whole} were read");
        mounted.end();
    }
}

const STEPS: usize = 600;

/// While a directory changes places with a link that leads out, nothing out
/// there is seen, made, changed or removed.
#[test]
fn privileged_a_link_swapped_in_behind_leads_nowhere() {
    privileged!("mount");
    for passthrough in WAYS {
        let directory = Tmpfs::new(16 << 20).unwrap();
        let [source, outside] = ["source", "outside"].map(|name| directory.path().join(name));
        fs::create_dir_all(source.join("place")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("canary"), b"alive").unwrap();
        fs::write(source.join("place/canary"), b"inside").unwrap();
        std::os::unix::fs::symlink(&outside, source.join("link")).unwrap();
        let before = fs::metadata(&outside).unwrap().modified().unwrap();
        let definition = load(&source, "none").volume().unwrap();
        let mounted = Mounted::serve(definition, &options(passthrough));
        let swap = || {
            let [place, link] = ["place", "link"].map(|name| source.join(name));
            rustix::fs::renameat_with(CWD, place, CWD, link, RenameFlags::EXCHANGE).unwrap();
        };
        let root = File::open(mounted.path()).unwrap();
        let mut inside = 0;
        meanwhile(swap, || {
            for step in 0..STEPS {
                let read = open_beneath(&root, "place/canary", OFlags::RDONLY);
                if let Ok(text) = read.and_then(|file| io::read_to_string(File::from(file))) {
                    assert_eq!(text, "inside");
                    inside += 1;
                }
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
                if let Ok(file) = open_beneath(&root, &format!("place/{}", step % 7), flags) {
                    _ = File::from(file).write_all(b"written");
                }
                // Found by one name, then changed behind.
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                if let Ok(place) = open_beneath(&root, "place", flags) {
                    _ = rustix::fs::mkdirat(&place, "directory", Mode::RWXU);
                    _ = rustix::fs::unlinkat(&place, "1", rustix::fs::AtFlags::empty());
                    _ = rustix::fs::renameat(&place, "2", &place, "canary-2");
                }
            }
        });
        drop(root);
        assert!(inside > 0, "the place was never looked into");
        let names: Vec<_> = fs::read_dir(&outside)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["canary"]);
        assert_eq!(fs::read(outside.join("canary")).unwrap(), b"alive");
        let after = fs::metadata(&outside).unwrap().modified().unwrap();
        assert_eq!(after, before);
        mounted.end();
    }
}

/// Has the kernel follow no link: it would do so by itself, without asking us.
fn open_beneath(root: &File, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let mode = if flags.contains(OFlags::CREATE) {
        Mode::RUSR | Mode::WUSR
    } else {
        Mode::empty()
    };
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(
        root.as_fd(),
        path,
        flags,
        mode,
        resolve,
    )?)
}

#[test]
fn privileged_a_full_disk_is_told_and_nothing_acknowledged_is_lost() {
    privileged!("mount");
    const PIECE: usize = 500_000;
    for passthrough in WAYS {
        let disk = LoopVolume::ext4(16 << 20).unwrap();
        let mounted = Mounted::of(disk.path(), passthrough);
        let mut acknowledged = 0;
        let mut file = File::create(mounted.path().join("file")).unwrap();
        let full = loop {
            let piece = vec![acknowledged as u8; PIECE];
            match file.write(&piece).and_then(|count| {
                file.sync_data()?;
                Ok(count)
            }) {
                Ok(PIECE) => acknowledged += 1,
                // There was room for a part.
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(full.raw_os_error(), Some(libc::ENOSPC), "{passthrough:?}");
        drop(file);
        let other = mounted.path().join("other");
        let error = fs::write(&other, vec![1; 1 << 20]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{passthrough:?}");
        let behind = fs::read(disk.path().join("file")).unwrap();
        for (number, piece) in behind.chunks(PIECE).take(acknowledged).enumerate() {
            assert!(piece == vec![number as u8; PIECE], "piece {number}");
        }
        assert!(acknowledged > 10, "{acknowledged} were written");
        // There is room again as soon as the kernel has said that it forgot the
        // file, for which it does not wait itself.
        fs::remove_file(mounted.path().join("file")).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while let Err(error) = fs::write(&other, vec![2; 1 << 20]) {
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC), "{passthrough:?}");
            assert!(Instant::now() < deadline, "{passthrough:?}: no room again");
        }
        mounted.end();
    }
}

/// Whoever had a file open when something that was written to it got lost is
/// told so once, even if somebody else was told before.
#[test]
fn privileged_lost_writes_are_told_to_everybody_who_synchronizes() {
    privileged!("mount");
    let write_too_much = |directory: &Path| {
        let mut options = OpenOptions::new();
        options.write(true).create(true);
        let path = directory.join("file");
        let open = || options.open(&path).unwrap();
        let (mut writer, other) = (open(), open());
        writer.write_all(&vec![1; 8 << 20]).unwrap();
        let synchronized = [
            writer.sync_data(),
            other.sync_all(),
            writer.sync_all(),
            open().sync_all(),
        ];
        synchronized.map(|result| result.map_err(|error| error.raw_os_error()))
    };
    let disk = || LoopVolume::ext4_on_failing_device(32 << 20, 2 << 20).unwrap();
    let expected = write_too_much(disk().path());
    assert!(expected[1].is_err(), "{expected:?}");
    for passthrough in WAYS {
        let disk = disk();
        let mounted = Mounted::of(disk.path(), passthrough);
        assert_eq!(write_too_much(mounted.path()), expected, "{passthrough:?}");
        mounted.end();
    }
}

/// A volume whose files fail.
#[derive(Debug)]
struct Failing;

/// Item numbers and names. Only that many bytes of `partly` can be read, and
/// `never` cannot even be looked up.
const PARTLY: u64 = 2;
const FINE: u64 = 3;
const GOOD_BYTES: u64 = 8192;
const FAILING_BYTES: u64 = 1 << 20;

impl Failing {
    fn entry(number: u64) -> Entry<u64> {
        let kind = match number {
            1 => ItemKind::Directory,
            _ => ItemKind::File,
        };
        let id = ItemId::new(number).unwrap();
        let mut attributes = Attributes::synthetic(id, kind, 0o755);
        attributes.size = FAILING_BYTES;
        Entry::lasting(number, attributes)
    }
}

impl Volume for Failing {
    type Item = u64;
    type Handle = ();

    fn root(&self) -> Result<Entry<u64>> {
        Ok(Self::entry(1))
    }

    fn lookup(&self, _: &Context<'_>, _: &u64, name: &OsStr) -> Result<Lookup<u64>> {
        match name.to_str() {
            Some("partly") => Ok(Lookup::Found(Self::entry(PARTLY))),
            Some("fine") => Ok(Lookup::Found(Self::entry(FINE))),
            Some("never") => Err(Errno::EIO.into()),
            _ => Ok(Lookup::Absent(Lifetime::FOREVER)),
        }
    }

    fn attributes(&self, _: &Context<'_>, item: &u64) -> Result<(Attributes, Lifetime)> {
        Ok((Self::entry(*item).attributes, Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        _: &u64,
        from: Cookie,
        sink: &mut dyn DirectorySink<u64>,
    ) -> Result<()> {
        let entries = [(".", 1), ("..", 1), ("fine", FINE)].map(|(name, number)| {
            let Attributes { id, kind, .. } = Self::entry(number).attributes;
            (OsStr::new(name), id, kind)
        });
        list_in_order(entries, from, sink);
        Ok(())
    }

    fn open(&self, _: &Context<'_>, _: &u64, _: OpenMode) -> Result<Opened<()>> {
        Ok(Opened {
            handle: (),
            io: Io::Cached { keep: false },
        })
    }

    fn read(&self, _: &Context<'_>, item: &u64, (): &(), at: u64, to: &mut [u8]) -> Result<usize> {
        if *item == PARTLY && at + to.len() as u64 > GOOD_BYTES {
            return Err(Errno::EIO.into());
        }
        to.fill(b'x');
        Ok(to.len())
    }
}

#[test]
fn privileged_what_fails_behind_fails_here_and_nothing_else_does() {
    privileged!("mount");
    let failing = Mounted::serve(
        VolumeDefinition::new(Failing),
        &transom_fuse::Options::default(),
    );
    for passthrough in WAYS {
        let mounted = Mounted::of(failing.path(), passthrough);
        let errno = |result: io::Result<Vec<u8>>| result.unwrap_err().raw_os_error();
        for _ in 0..3 {
            assert_eq!(
                errno(fs::read(mounted.path().join("partly"))),
                Some(libc::EIO)
            );
            assert_eq!(
                errno(fs::read(mounted.path().join("never"))),
                Some(libc::EIO)
            );
            let fine = fs::read(mounted.path().join("fine")).unwrap();
            assert_eq!(fine.len() as u64, FAILING_BYTES);
        }
        let partly = OpenOptions::new()
            .read(true)
            .open(mounted.path().join("partly"))
            .unwrap();
        rustix::fs::fadvise(&partly, 0, None, rustix::fs::Advice::Random).unwrap();
        let mut good = vec![0; 4096];
        let count = rustix::io::pread(&partly, &mut good, 0).unwrap();
        assert_eq!(good[..count], vec![b'x'; 4096], "{passthrough:?}");
        drop(partly);
        mounted.end();
    }
}

/// Paths are compared by what they lead to, for whoever removes the source.
#[test]
fn privileged_a_source_that_is_removed_is_an_empty_directory() {
    privileged!("mount");
    let directory = temp_dir().unwrap();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), b"content").unwrap();
    let definition = load(&source, "none").volume().unwrap();
    let mounted = Mounted::serve(definition, &options(Passthrough::On));
    let open = File::open(mounted.path().join("file")).unwrap();
    fs::remove_dir_all(&source).unwrap();
    let errno = |path: &Path| fs::write(path, b"").unwrap_err().raw_os_error();
    assert_eq!(errno(&mounted.path().join("new")), Some(libc::ENOENT));
    assert_eq!(fs::read_dir(mounted.path()).unwrap().count(), 0);
    assert_eq!(io::read_to_string(open).unwrap(), "content");
    mounted.end();
}
