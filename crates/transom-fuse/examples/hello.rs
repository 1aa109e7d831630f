//! The smallest volume worth looking at: a directory of two files. One is
//! served from memory, the other stands for a host file, whose bytes the
//! kernel reads by itself.
//!
//! ```text
//! $ cargo run --package transom-fuse --example hello      # as root
//! hello.txt: "Hello from a module.\n"
//! hostname: "vm\n"
//! READ requests: 1
//! ```
//!
//! The one READ is for `hello.txt`; `hostname` needs none.

#![expect(clippy::print_stdout, reason = "a program may")]

use std::error::Error;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use transom_fuse::{Opcode, Options, Session};
use transom_module::{
    Attributes, Backing, Context, Cookie, DirectoryEntry, DirectorySink, Entry, Errno, Io, ItemId,
    ItemKind, Lifetime, Lookup, OpenMode, Opened, Result, Volume, VolumeDefinition,
};

const GREETING: &[u8] = b"Hello from a module.\n";
const NAMES: [(&str, Item); 2] = [("hello.txt", Item::Greeting), ("hostname", Item::HostName)];

struct Hello {
    host_name: Backing,
    host_name_bytes: u64,
}

#[derive(Clone, Copy)]
enum Item {
    Root = 1,
    Greeting,
    HostName,
}

impl Hello {
    fn attributes_of(&self, item: Item) -> Attributes {
        // Equal ids mean equal items; the root's is 1.
        let id = ItemId::new(item as u64).expect("numbers start at 1");
        let (kind, permissions, size) = match item {
            Item::Root => (ItemKind::Directory, 0o555, 0),
            Item::Greeting => (ItemKind::File, 0o444, GREETING.len() as u64),
            Item::HostName => (ItemKind::File, 0o444, self.host_name_bytes),
        };
        Attributes {
            size,
            ..Attributes::synthetic(id, kind, permissions)
        }
    }

    fn entry(&self, item: Item) -> Entry<Item> {
        Entry {
            item,
            attributes: self.attributes_of(item),
            generation: 0,
            // Nothing here ever changes, so the kernel need not ask again.
            name_lifetime: Lifetime::FOREVER,
            attributes_lifetime: Lifetime::FOREVER,
        }
    }
}

impl Volume for Hello {
    type Item = Item;
    /// Nothing has to be remembered of an open file.
    type Handle = ();

    fn root(&self) -> Result<Entry<Item>> {
        Ok(self.entry(Item::Root))
    }

    fn lookup(&self, _: &Context<'_>, _: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        let found = NAMES.iter().find(|(known, _)| name == *known);
        Ok(match found {
            Some((_, item)) => Lookup::Found(self.entry(*item)),
            None => Lookup::Absent(Lifetime::FOREVER),
        })
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((self.attributes_of(*item), Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        _: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let all = [(".", Item::Root), ("..", Item::Root)]
            .into_iter()
            .chain(NAMES);
        // An entry's cookie is where to go on after it.
        for ((name, item), next) in all.zip(1..).skip(from.0 as usize) {
            let Attributes { id, kind, .. } = self.attributes_of(item);
            let name = OsStr::new(name);
            let next = Cookie(next);
            if !sink.push(DirectoryEntry {
                name,
                id,
                kind,
                next,
            }) {
                break;
            }
        }
        Ok(())
    }

    fn open(&self, _: &Context<'_>, item: &Item, _: OpenMode) -> Result<Opened<()>> {
        let io = match item {
            Item::Root => return Err(Errno::EISDIR.into()),
            Item::Greeting => Io::Cached { keep: true },
            Item::HostName => Io::Passthrough(self.host_name.clone()),
        };
        Ok(Opened { handle: (), io })
    }

    fn read(
        &self,
        _: &Context<'_>,
        _: &Item,
        (): &(),
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let rest = GREETING.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let host_file = File::open("/etc/hostname")?;
    let volume = Hello {
        host_name_bytes: host_file.metadata()?.len(),
        host_name: Backing::new(OwnedFd::from(host_file)),
    };
    let session = Session::start(VolumeDefinition::new(volume), &Options::default())?;
    // The mount is attached nowhere; its descriptor leads into it all the same.
    let mount = session.mount().ok_or("a new session has a mount")?;
    let root = PathBuf::from(format!("/proc/self/fd/{}", mount.as_raw_fd()));
    for (name, _) in NAMES {
        println!("{name}: {:?}", fs::read_to_string(root.join(name))?);
    }
    println!(
        "READ requests: {}",
        session.statistics().count(Opcode::Read)
    );
    Ok(())
}
