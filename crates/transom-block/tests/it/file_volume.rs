//! Host files as block volumes.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use transom_block::FileVolume;
use transom_module::{BlockVolume, Errno};

use crate::volumes::HostFile;

const MIB: u64 = 1 << 20;

#[test]
fn bytes_are_those_of_the_file() {
    let host = HostFile::new(MIB);
    let volume = host.volume();
    volume.write(4096, &[7; 1024]).unwrap();
    volume.flush().unwrap();
    let mut bytes = [0; 2048];
    let file = File::open(host.path()).unwrap();
    file.read_exact_at(&mut bytes, 4096).unwrap();
    assert_eq!((bytes[..1024].to_vec(), bytes[1024]), (vec![7; 1024], 0));

    volume.read(4096, &mut bytes).unwrap();
    assert_eq!((bytes[1023], bytes[1024]), (7, 0));
    let beyond = volume.read(MIB - 512, &mut bytes).unwrap_err();
    assert_eq!(beyond.errno(), Errno::EIO);
}

#[test]
fn what_is_discarded_or_made_zeroes_takes_no_space() {
    let host = HostFile::new(MIB);
    let volume = host.volume();
    volume.write(0, &[1; 1 << 20]).unwrap();
    let full = host.space();
    volume.discard(0..MIB / 2).unwrap();
    assert!(host.space() <= full - MIB / 2, "{} of {full}", host.space());
    volume.write_zeroes(MIB / 2..MIB).unwrap();
    assert!(host.space() < full / 4, "{} of {full}", host.space());
    let mut bytes = vec![1; 1 << 20];
    volume.read(0, &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
}

#[test]
fn a_volume_is_as_large_as_its_file_in_whole_blocks() {
    let host = HostFile::new(MIB);
    let volume = host.volume();
    assert_eq!(volume.geometry().bytes, MIB);
    assert!(volume.backing().is_some());
    host.resize(2 * MIB + 700);
    assert_eq!(volume.geometry().bytes, 2 * MIB + 512);
    assert!(volume.backing().is_none(), "the file has a part of a block");
}

#[test]
fn a_file_open_for_reading_cannot_be_written() {
    let host = HostFile::new(MIB);
    let file = OwnedFd::from(File::open(host.path()).unwrap());
    let volume = FileVolume::new(file).unwrap();
    assert!(volume.geometry().read_only);
    for refused in [
        volume.write(0, &[0; 512]),
        volume.discard(0..512),
        volume.write_zeroes(0..512),
    ] {
        assert_eq!(refused.unwrap_err().errno(), Errno::EROFS);
    }
}

#[test]
fn what_is_no_disk_is_refused() {
    let host = HostFile::new(MIB);
    let errno = |file: File| FileVolume::new(OwnedFd::from(file)).unwrap_err().errno();
    assert_eq!(errno(File::open("/").unwrap()), Errno::EINVAL);
    assert_eq!(errno(File::open("/dev/null").unwrap()), Errno::EINVAL);
    for options in [
        File::options().write(true),
        File::options().read(true).append(true),
    ] {
        assert_eq!(errno(options.open(host.path()).unwrap()), Errno::EINVAL);
    }
    let volume = || FileVolume::new(OwnedFd::from(File::open(host.path()).unwrap())).unwrap();
    for block_bytes in [0, 256, 513, 8192] {
        let refused = volume().with_block_bytes(block_bytes).unwrap_err();
        assert_eq!(refused.errno(), Errno::EINVAL);
    }
    let large = volume().with_block_bytes(4096).unwrap();
    assert_eq!(large.geometry().block_bytes, 4096);
}
