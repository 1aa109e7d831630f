//! The smallest volume worth looking at: a directory of two files. One is
//! served from memory, the other stands for a host file, whose bytes the
//! kernel reads by itself. As root,
//! `cargo run --package transom-fuse --example hello` prints both, and counts
//! one READ request: that for `hello.txt`.

#![expect(clippy::print_stdout, reason = "a program may")]

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use transom_fuse::{Opcode, Options, Session};
use transom_module::{
    Attributes, Backing, Context, Cookie, DirectorySink, Entry, Io, ItemId, ItemKind, Lifetime,
    Lookup, OpenMode, Opened, Result, Volume, VolumeDefinition, list_in_order,
};

const GREETING: &[u8] = b"Hello from a module.\n";
/// Items are known by their numbers; that of the root is 1.
const NAMES: [(&str, u64); 4] = [(".", 1), ("..", 1), ("hello.txt", 2), ("hostname", 3)];

struct Hello {
    host_name: Backing,
    host_name_bytes: u64,
}

impl Hello {
    /// Nothing here ever changes, so the kernel need not ask twice.
    fn entry(&self, item: u64) -> Entry<u64> {
        let (kind, permissions, size) = match item {
            1 => (ItemKind::Directory, 0o555, 0),
            2 => (ItemKind::File, 0o444, GREETING.len() as u64),
            _ => (ItemKind::File, 0o444, self.host_name_bytes),
        };
        let id = ItemId::new(item).expect("numbers start at 1");
        let mut attributes = Attributes::synthetic(id, kind, permissions);
        attributes.size = size;
        Entry::lasting(item, attributes)
    }
}

impl Volume for Hello {
    type Item = u64;
    type Handle = ();

    fn root(&self) -> Result<Entry<u64>> {
        Ok(self.entry(1))
    }

    fn lookup(&self, _: &Context<'_>, _: &u64, name: &OsStr) -> Result<Lookup<u64>> {
        let found = NAMES.iter().find(|(known, _)| name == *known);
        Ok(
            found.map_or(Lookup::Absent(Lifetime::FOREVER), |(_, item)| {
                Lookup::Found(self.entry(*item))
            }),
        )
    }

    fn attributes(&self, _: &Context<'_>, item: &u64) -> Result<(Attributes, Lifetime)> {
        Ok((self.entry(*item).attributes, Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        _: &u64,
        from: Cookie,
        sink: &mut dyn DirectorySink<u64>,
    ) -> Result<()> {
        let entries = NAMES.map(|(name, item)| {
            let Attributes { id, kind, .. } = self.entry(item).attributes;
            (OsStr::new(name), id, kind)
        });
        list_in_order(entries, from, sink);
        Ok(())
    }

    fn open(&self, _: &Context<'_>, item: &u64, _: OpenMode) -> Result<Opened<()>> {
        let io = match item {
            3 => Io::Passthrough(self.host_name.clone()),
            _ => Io::Cached { keep: true },
        };
        Ok(Opened { handle: (), io })
    }

    fn read(&self, _: &Context<'_>, _: &u64, (): &(), at: u64, to: &mut [u8]) -> Result<usize> {
        let rest = GREETING.get(at as usize..).unwrap_or_default();
        let length = rest.len().min(to.len());
        to[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let file = File::open("/etc/hostname")?;
    let host_name_bytes = file.metadata()?.len();
    let hello = Hello {
        host_name: Backing::new(OwnedFd::from(file)),
        host_name_bytes,
    };
    let session = Session::start(VolumeDefinition::new(hello), &Options::default())?;
    // The mount is attached nowhere; its descriptor leads into it all the same.
    let mount = session
        .mount()
        .ok_or("a new session has a mount")?
        .as_raw_fd();
    for name in ["hello.txt", "hostname"] {
        let text = std::fs::read_to_string(format!("/proc/self/fd/{mount}/{name}"))?;
        println!("{name}: {text:?}");
    }
    println!(
        "READ requests: {}",
        session.statistics().count(Opcode::Read)
    );
    Ok(())
}
