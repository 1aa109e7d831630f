use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use proptest::collection::vec;
use proptest::prelude::*;

/// Every time that is [set](Operation::SetTime) lies before this second of
/// 2001, and no test can run before it.
pub(super) const PAST_END: i64 = 1_000_000_000;

/// The names that random paths are made of: few, so that they collide.
const NAMES: [&[u8]; 3] = [b"a", b"B", b"\xff c"];

/// The extended attributes that random operations are about.
pub const ATTRIBUTES: [&str; 2] = ["user.one", "user.two"];

/// One step of a random test. Paths are relative to the root of the tree.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields say what they are")]
pub enum Operation {
    /// Make an empty regular file that does not exist yet.
    Create { path: PathBuf, permissions: u32 },
    /// Make a directory.
    MakeDirectory { path: PathBuf, permissions: u32 },
    /// Make a named pipe.
    MakePipe { path: PathBuf, permissions: u32 },
    /// Make a symbolic link.
    MakeSymlink { path: PathBuf, target: OsString },
    /// Give a file a further name.
    Link { old: PathBuf, new: PathBuf },
    /// Take away a name of anything but a directory.
    Unlink(PathBuf),
    /// Remove an empty directory.
    RemoveDirectory(PathBuf),
    /// Move something to another name.
    Rename {
        old: PathBuf,
        new: PathBuf,
        how: Rename,
    },
    /// Write bytes at an offset.
    Write {
        path: PathBuf,
        offset: u64,
        bytes: Vec<u8>,
    },
    /// Cut a file, or lengthen it by zeroes.
    Resize { path: PathBuf, size: u64 },
    /// `chmod(2)`.
    SetPermissions { path: PathBuf, permissions: u32 },
    /// Set the time of change, in seconds and nanoseconds.
    SetTime { path: PathBuf, time: (i64, u32) },
    /// Set an extended attribute.
    SetAttribute {
        path: PathBuf,
        name: &'static str,
        value: Vec<u8>,
        presence: Presence,
    },
    /// Remove an extended attribute.
    RemoveAttribute { path: PathBuf, name: &'static str },
    /// The value of an extended attribute.
    GetAttribute { path: PathBuf, name: &'static str },
    /// Up to that many bytes from an offset on.
    Read {
        path: PathBuf,
        offset: u64,
        length: usize,
    },
    /// The target of a symbolic link.
    ReadLink(PathBuf),
    /// The names in a directory.
    List(PathBuf),
    /// `lstat(2)`.
    Stat(PathBuf),
}

/// How to rename: a flag of `renameat2(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rename {
    /// What had the new name loses it.
    Replace,
    /// Not if the new name is taken.
    NoReplace,
    /// Both change places.
    Exchange,
}

/// When to set an extended attribute: a flag of `setxattr(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Always.
    Any,
    /// Only if there is none of that name.
    MustNotExist,
    /// Only if there is one.
    MustExist,
}

/// Random operations, possible and impossible ones. Some files and directories
/// are made first: without them too little would be possible.
pub fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let random = prop_oneof![5 => making(), 4 => moving(), 5 => changing(), 3 => looking()];
    (
        prop::sample::subsequence(first(), 4..=8),
        vec(random, 1..40),
    )
        .prop_map(|(first, random)| [first, random].concat())
}

fn first() -> Vec<Operation> {
    let directory = |path: &[u8]| Operation::MakeDirectory {
        path: OsStr::from_bytes(path).into(),
        permissions: 0o755,
    };
    let file = |path: &[u8]| Operation::Create {
        path: OsStr::from_bytes(path).into(),
        permissions: 0o744,
    };
    vec![
        directory(b"a"),
        directory(b"B"),
        directory(b"a/a"),
        file(b"\xff c"),
        file(b"a/B"),
        file(b"a/\xff c"),
        file(b"B/a"),
        file(b"B/B"),
    ]
}

fn making() -> impl Strategy<Value = Operation> {
    let targets = ["a", "../B", "/", "nowhere"];
    prop_oneof![
        4 => (path(), permissions())
            .prop_map(|(path, permissions)| Operation::Create { path, permissions }),
        5 => (path(), permissions())
            .prop_map(|(path, permissions)| Operation::MakeDirectory { path, permissions }),
        1 => (path(), permissions())
            .prop_map(|(path, permissions)| Operation::MakePipe { path, permissions }),
        1 => (path(), prop::sample::select(targets.to_vec()))
            .prop_map(|(path, target)| Operation::MakeSymlink { path, target: target.into() }),
        2 => (path(), path()).prop_map(|(old, new)| Operation::Link { old, new }),
    ]
}

fn moving() -> impl Strategy<Value = Operation> {
    let how = prop_oneof![
        2 => Just(Rename::Replace),
        1 => Just(Rename::NoReplace),
        1 => Just(Rename::Exchange),
    ];
    prop_oneof![
        4 => (path(), path(), how).prop_map(|(old, new, how)| Operation::Rename { old, new, how }),
        1 => path().prop_map(Operation::Unlink),
        1 => path().prop_map(Operation::RemoveDirectory),
    ]
}

fn changing() -> impl Strategy<Value = Operation> {
    let name = || prop::sample::select(ATTRIBUTES.to_vec());
    let presence = prop::sample::select(vec![
        Presence::Any,
        Presence::MustNotExist,
        Presence::MustExist,
    ]);
    prop_oneof![
        4 => (path(), 0_u64..20_000, vec(any::<u8>(), 1..9_000))
            .prop_map(|(path, offset, bytes)| Operation::Write { path, offset, bytes }),
        2 => (path(), 0_u64..20_000).prop_map(|(path, size)| Operation::Resize { path, size }),
        1 => (path(), permissions())
            .prop_map(|(path, permissions)| Operation::SetPermissions { path, permissions }),
        1 => (path(), (1..PAST_END, 0_u32..1_000_000_000))
            .prop_map(|(path, time)| Operation::SetTime { path, time }),
        2 => (path(), name(), vec(any::<u8>(), 0..40), presence).prop_map(
            |(path, name, value, presence)| Operation::SetAttribute { path, name, value, presence }
        ),
        1 => (path(), name())
            .prop_map(|(path, name)| Operation::RemoveAttribute { path, name }),
    ]
}

fn looking() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (path(), 0_u64..25_000, 0_usize..9_000).prop_map(|(path, offset, length)| {
            Operation::Read {
                path,
                offset,
                length,
            }
        }),
        path().prop_map(Operation::ReadLink),
        path().prop_map(Operation::List),
        path().prop_map(Operation::Stat),
        (path(), prop::sample::select(ATTRIBUTES.to_vec()))
            .prop_map(|(path, name)| Operation::GetAttribute { path, name }),
    ]
}

/// The owner keeps the right to everything, so that it does not matter who
/// runs the test, and no usual umask takes anything away.
fn permissions() -> impl Strategy<Value = u32> {
    prop::sample::select(vec![0o700, 0o755, 0o744, 0o1711])
}

fn path() -> impl Strategy<Value = PathBuf> {
    let depth = prop_oneof![3 => Just(1_usize), 3 => Just(2), 1 => Just(3)];
    let names = depth.prop_flat_map(|depth| vec(prop::sample::select(NAMES.to_vec()), depth));
    names.prop_map(|names| names.into_iter().map(OsStr::from_bytes).collect())
}
