//! The bytes of files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::thread;

use rustix::fs::{Advice, FallocateFlags, SeekFrom};
use rustix::io::Errno;
use transom_fuse::Passthrough;
use transom_sys::volume_requests;
use transom_test::privileged;

use super::{Place, at_all_places, ext4, output, python};

fn read_write(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true);
    options.open(path).unwrap()
}

/// The content, which is the same behind.
fn content(place: &Place, name: &str) -> Vec<u8> {
    let content = fs::read(place.at(name)).unwrap();
    assert!(content == fs::read(place.behind(name)).unwrap(), "{name}");
    content
}

/// Recognizable at every offset.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[test]
fn privileged_what_two_append_is_all_there() {
    privileged!("mount");
    const RECORDS: usize = 200;
    at_all_places(ext4().path(), |place| {
        let append = |letter: char| {
            let path = place.at("log");
            let mut file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .unwrap();
            for number in 0..RECORDS {
                file.write_all(format!("{letter}{number:04}\n").as_bytes())
                    .unwrap();
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| append('a'));
            scope.spawn(|| append('b'));
        });
        let log = String::from_utf8(content(place, "log")).unwrap();
        let mut records: Vec<_> = log.lines().map(str::to_owned).collect();
        records.sort();
        assert_eq!(records.len(), 2 * RECORDS);
        records
    });
}

#[test]
fn privileged_space_is_reserved_released_and_zeroed() {
    privileged!("mount");
    let block = 4096;
    at_all_places(ext4().path(), |place| {
        let file = read_write(&place.at("file"));
        file.write_all_at(&pattern(8 * block), 0).unwrap();
        let mut seen = Vec::new();
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let block = block as u64;
        for (how, offset, length) in [
            (FallocateFlags::empty(), 7 * block, 3 * block),
            (FallocateFlags::KEEP_SIZE, 10 * block, block),
            (punch, block, 2 * block),
            (punch, 100, 50),
            (FallocateFlags::ZERO_RANGE, 4 * block, block + 5),
            (FallocateFlags::ZERO_RANGE, 10 * block, 7),
            (FallocateFlags::PUNCH_HOLE, 0, block),
        ] {
            let done = rustix::fs::fallocate(&file, how, offset, length);
            seen.push((done, file.metadata().unwrap().len(), content(place, "file")));
        }
        // Linux lets no FUSE file system do these.
        for how in [FallocateFlags::COLLAPSE_RANGE, FallocateFlags::INSERT_RANGE] {
            let done = rustix::fs::fallocate(&file, how, 0, block);
            let expected = place.way.map_or(Ok(()), |_| Err(Errno::OPNOTSUPP));
            assert_eq!(done, expected, "{how:?}");
        }
        seen
    });
}

#[test]
fn privileged_holes_are_found() {
    privileged!("mount");
    let block = 64 << 10;
    at_all_places(ext4().path(), |place| {
        let file = read_write(&place.at("file"));
        file.write_all_at(&pattern(100), 0).unwrap();
        file.write_all_at(&pattern(100), 3 * block).unwrap();
        file.set_len(9 * block).unwrap();
        let mut seen = Vec::new();
        for offset in [
            0,
            50,
            block,
            3 * block + 50,
            4 * block,
            9 * block,
            10 * block,
        ] {
            seen.push((
                rustix::fs::seek(&file, SeekFrom::Data(offset)),
                rustix::fs::seek(&file, SeekFrom::Hole(offset)),
            ));
        }
        seen.push((rustix::fs::seek(&file, SeekFrom::End(-1)), Ok(0)));
        seen
    });
}

#[test]
fn privileged_ranges_are_copied() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let from = read_write(&place.at("from"));
        let to = read_write(&place.at("to"));
        from.write_all_at(&pattern(300_000), 0).unwrap();
        let mut seen = Vec::new();
        for (mut at, mut to_at, length) in [
            (0, 0, 300_000),
            (1000, 5, 70_000),
            (299_999, 400_000, 100),
            (300_000, 0, 100),
        ] {
            let copied =
                rustix::fs::copy_file_range(&from, Some(&mut at), &to, Some(&mut to_at), length);
            seen.push((copied, at, to_at, content(place, "to")));
        }
        seen
    });
}

#[test]
fn privileged_everything_is_synchronized() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let file = read_write(&place.at("file"));
        file.write_all_at(b"content", 0).unwrap();
        let read_only = File::open(place.at("file")).unwrap();
        let directory = File::open(&place.path).unwrap();
        for file in [&file, &read_only, &directory] {
            rustix::fs::fsync(file).unwrap();
            rustix::fs::fdatasync(file).unwrap();
            rustix::fs::syncfs(file).unwrap();
            let done = volume_requests::synchronize(file);
            assert_eq!(done.is_ok(), place.way.is_some(), "{done:?}");
        }
        content(place, "file")
    });
}

/// Whichever way the bytes of each go.
#[test]
fn privileged_everybody_who_has_a_file_open_sees_the_same() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let path = place.at("file");
        fs::write(&path, b"first..").unwrap();
        let reader = || File::open(&path).unwrap();
        let seen_by = |file: &File| {
            let mut bytes = vec![0; 100];
            let count = file.read_at(&mut bytes, 0).unwrap();
            bytes.truncate(count);
            String::from_utf8(bytes).unwrap()
        };
        let mut seen = Vec::new();
        let before = reader();
        seen.push(seen_by(&before));
        let writer = read_write(&path);
        writer.write_all_at(b"second", 0).unwrap();
        let between = reader();
        seen.extend([&before, &between, &writer].map(seen_by));
        drop(before);
        writer.write_all_at(b"third, and longer", 0).unwrap();
        seen.extend([&between, &writer].map(seen_by));
        let other = read_write(&path);
        other.write_all_at(b"fourth", 0).unwrap();
        writer.set_len(8).unwrap();
        seen.extend([&between, &writer, &other, &reader()].map(seen_by));
        drop((between, writer));
        other.write_all_at(b"fifth", 8).unwrap();
        drop(other);
        seen.push(seen_by(&reader()));
        seen.push(format!("{}", fs::metadata(&path).unwrap().len()));
        seen
    });
}

#[test]
fn privileged_files_grow_as_far_as_on_the_host() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let file = read_write(&place.at("file"));
        let mut seen = Vec::new();
        for offset in [5_u64 << 30, 1 << 45, i64::MAX as u64 - 10] {
            let written = file.write_at(b"0123456789", offset);
            seen.push(written.map_err(|error| error.raw_os_error()));
            let resized = file.set_len(offset).map(|()| 0);
            seen.push(resized.map_err(|error| error.raw_os_error()));
            seen.push(Ok(file.metadata().unwrap().len() as usize));
        }
        seen
    });
}

#[test]
fn privileged_a_limit_of_the_client_is_kept() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let script = "trap '' XFSZ; ulimit -f 16; cd $0; \
                      dd if=/dev/zero of=file bs=1000 count=100 2>&1 | grep -c large; \
                      stat -c %s file";
        output("sh", &[&"-c", &script, &place.path])
    });
}

#[test]
fn privileged_an_open_file_outlives_its_name() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let path = place.at("file");
        let file = read_write(&path);
        file.write_all_at(b"content", 0).unwrap();
        let directory = place.at("directory");
        fs::create_dir(&directory).unwrap();
        let open_directory = File::open(&directory).unwrap();
        fs::write(place.at("other"), b"other").unwrap();
        // Another file takes its name.
        fs::rename(place.at("other"), &path).unwrap();
        fs::remove_dir(&directory).unwrap();
        file.write_all_at(b" and more", 7).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600))
            .unwrap();
        rustix::fs::fsetxattr(
            &file,
            "user.name",
            b"value",
            rustix::fs::XattrFlags::empty(),
        )
        .unwrap();
        let mut bytes = vec![0; 100];
        let count = file.read_at(&mut bytes, 0).unwrap();
        file.set_len(3).unwrap();
        let status = file.metadata().unwrap();
        let link = format!("/proc/self/fd/{}", file.as_raw_fd());
        let named = rustix::fs::linkat(
            rustix::fs::CWD,
            link,
            rustix::fs::CWD,
            place.at("again"),
            rustix::fs::AtFlags::SYMLINK_FOLLOW,
        );
        let made = rustix::fs::mkdirat(&open_directory, "new", rustix::fs::Mode::RWXU);
        (
            bytes[..count].to_vec(),
            (status.nlink(), status.len(), status.mode()),
            open_directory.metadata().unwrap().nlink(),
            (named, made),
            content(place, "file"),
        )
    });
}

/// Capabilities go with the content that was given them.
#[test]
fn privileged_whoever_writes_takes_capabilities_away() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let capability = "security.capability";
        // Version 2 of `struct vfs_cap_data`: CAP_NET_RAW, permitted.
        let mut value = [0_u8; 20];
        value[..4].copy_from_slice(&0x0200_0000_u32.to_le_bytes());
        value[4..8].copy_from_slice(&(1_u32 << 13).to_le_bytes());
        let any = rustix::fs::XattrFlags::empty();
        let has = |path: &Path| rustix::fs::getxattr_query(path, capability);
        let mut seen = Vec::new();
        for change in [
            |path: &Path| read_write(path).write_all_at(b"x", 0).unwrap(),
            |path: &Path| read_write(path).set_len(1).unwrap(),
            |path: &Path| std::os::unix::fs::chown(path, Some(1), None).unwrap(),
            |path: &Path| fs::write(path, b"truncated").unwrap(),
        ] {
            let path = place.at("file");
            fs::write(&path, b"content").unwrap();
            rustix::fs::setxattr(&path, capability, &value, any).unwrap();
            seen.push(has(&path));
            change(&path);
            seen.extend([has(&path), has(&place.behind("file"))]);
        }
        seen
    });
}

#[test]
fn privileged_advice_is_taken() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let file = read_write(&place.at("file"));
        file.write_all_at(&pattern(100_000), 0).unwrap();
        // Not `WillNeed`, at which the kernel sends READ, passthrough or not.
        for advice in [Advice::Sequential, Advice::Random, Advice::DontNeed] {
            rustix::fs::fadvise(&file, 0, None, advice).unwrap();
        }
        content(place, "file")
    });
}

#[test]
fn privileged_files_are_read_and_written_past_the_cache() {
    privileged!("mount");
    const BYTES: usize = 64 << 10;
    const ALIGNMENT: usize = 4096;
    at_all_places(ext4().path(), |place| {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .custom_flags(libc::O_DIRECT)
            .open(place.at("file"))
            .unwrap();
        let mut room = vec![0; BYTES + ALIGNMENT];
        let start = room.as_ptr().align_offset(ALIGNMENT);
        let buffer = &mut room[start..start + BYTES];
        buffer.copy_from_slice(&pattern(BYTES));
        file.write_all_at(buffer, 0).unwrap();
        file.write_all_at(buffer, BYTES as u64 * 2).unwrap();
        buffer.fill(0);
        let count = file.read_at(buffer, BYTES as u64 / 2).unwrap();
        let part = buffer[..count].to_vec();
        (part, content(place, "file"))
    });
}

/// Mappings see what is read and written, and the other way round, here and
/// behind; private ones keep theirs.
const MAPPINGS: &str = r"
import mmap, os, sys
path, behind = (os.path.join(place, 'file') for place in sys.argv[1:])
size = 3 * mmap.PAGESIZE
with open(path, 'wb') as file:
    file.write(b'.' * size)
fd = os.open(path, os.O_RDWR)
shared = mmap.mmap(fd, size)
again = mmap.mmap(fd, size)
private = mmap.mmap(fd, size, mmap.MAP_PRIVATE)
shared[10:16] = b'shared'
print(again[10:16], private[10:16], os.pread(fd, 6, 10))
private[10:17] = b'private'
print(shared[10:17], os.pread(fd, 7, 10), private[10:17])
os.pwrite(fd, b'written', size - 7)
print(shared[size - 7:], open(path, 'rb').read()[-7:])
shared.flush()
print(open(behind, 'rb').read()[10:16], open(behind, 'rb').read()[-7:])
os.ftruncate(fd, size + 1)
print(len(open(path, 'rb').read()), os.stat(behind).st_size)
";

#[test]
fn privileged_mappings_are_coherent() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        let seen = python(place, MAPPINGS);
        assert_eq!(seen.lines().count(), 5, "{seen}");
        seen
    });
}

/// With passthrough, the host's pages are the only ones there are.
const MAPPINGS_AND_HOST: &str = r"
import mmap, os, sys
path, behind = (os.path.join(place, 'file') for place in sys.argv[1:])
with open(path, 'wb') as file:
    file.write(b'.' * mmap.PAGESIZE)
fd = os.open(path, os.O_RDWR)
mapping = mmap.mmap(fd, mmap.PAGESIZE)
with open(behind, 'r+b') as file:
    file.write(b'host')
print(mapping[:4], os.pread(fd, 4, 0))
mapping[:4] = b'here'
print(open(behind, 'rb').read()[:4])
";

#[test]
fn privileged_with_passthrough_mappings_are_coherent_with_the_host() {
    privileged!("mount");
    at_all_places(ext4().path(), |place| {
        if matches!(place.way, Some(Passthrough::Off | Passthrough::ReadOnly)) {
            return "b'host' b'host'\nb'here'\n".into();
        }
        python(place, MAPPINGS_AND_HOST)
    });
}
