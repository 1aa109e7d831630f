//! The bytes of files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread;

use rustix::fs::{Advice, FallocateFlags, SeekFrom};
use rustix::io::Errno;
use transom_fuse::Passthrough;
use transom_sys::volume_requests;
use transom_test::privileged;

use super::{Place, at_all_places, ext4, python};

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
        if place.way == Some(Passthrough::Off) {
            return "b'host' b'host'\nb'here'\n".into();
        }
        python(place, MAPPINGS_AND_HOST)
    });
}
