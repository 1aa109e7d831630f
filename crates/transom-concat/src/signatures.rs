//! What is on a resource, as far as it can be known by a few bytes: formatting
//! asks before it overwrites.
//!
//! Sources: the magic numbers of `<linux/magic.h>` and of libblkid's probers.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// What it is, where its mark is, and the mark.
const SIGNATURES: &[(&str, u64, &[u8])] = &[
    ("a member of a container", 0, &crate::label::MAGIC),
    ("an ext2, ext3 or ext4 file system", 1080, &[0x53, 0xef]),
    ("an XFS file system", 0, b"XFSB"),
    ("a btrfs file system", 65600, b"_BHRfS_M"),
    ("an f2fs file system", 1024, &[0x10, 0x20, 0xf5, 0xf2]),
    ("a bcachefs file system", 4120, &[0xc6, 0x85, 0x73, 0xf6]),
    ("an NTFS file system", 3, b"NTFS    "),
    ("an exFAT file system", 3, b"EXFAT   "),
    ("a FAT file system", 54, b"FAT1"),
    ("a FAT file system", 82, b"FAT32   "),
    ("an erofs file system", 1024, &[0xe2, 0xe1, 0xf5, 0xe0]),
    ("a squashfs file system", 0, b"hsqs"),
    ("an ISO 9660 file system", 32769, b"CD001"),
    ("swap space", 4086, b"SWAPSPACE2"),
    ("a LUKS volume", 0, b"LUKS\xba\xbe"),
    ("an LVM physical volume", 512, b"LABELONE"),
    ("a member of an md array", 0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("a member of an md array", 4096, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("a member of a ZFS pool", 131_072, &[0x0c, 0xb1, 0xba, 0x00]),
    ("a qcow2 image", 0, b"QFI\xfb"),
    ("a partition table", 512, b"EFI PART"),
    ("a partition table", 510, &[0x55, 0xaa]),
];

/// The first that is recognized.
pub(crate) fn recognize(file: &File) -> Option<&'static str> {
    let is_there = |offset: u64, mark: &[u8]| {
        let mut bytes = [0; 16];
        let bytes = &mut bytes[..mark.len()];
        file.read_exact_at(bytes, offset).is_ok() && bytes == mark
    };
    let found = SIGNATURES
        .iter()
        .find(|(_, offset, mark)| is_there(*offset, mark));
    found.map(|(what, ..)| *what)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_others_make_is_recognized() {
        let directory = transom_test::temp_dir().unwrap();
        let image = directory.path().join("image");
        for (program, argument, expected) in [
            ("mkfs.ext4", "-q", Some("an ext2, ext3 or ext4 file system")),
            ("mkfs.xfs", "-qf", Some("an XFS file system")),
            ("mkfs.btrfs", "-qf", Some("a btrfs file system")),
            ("mkswap", "-q", Some("swap space")),
            ("true", "", None),
        ] {
            let file = File::create(&image).unwrap();
            file.set_len(320 << 20).unwrap();
            let status = Command::new(program).arg(argument).arg(&image).status();
            assert!(status.unwrap().success(), "{program}");
            assert_eq!(
                recognize(&File::open(&image).unwrap()),
                expected,
                "{program}"
            );
        }
    }
}
