//! A volume of the host that hangs: the file server that does not respond.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use transom_fuse::{Options, Passthrough, Session};
use transom_module::{
    Attributes, Context, Cookie, DirectorySink, Entry, Errno, ItemId, ItemKind, Lifetime, Lookup,
    OpenMode, Opened, Result, Volume, VolumeDefinition,
};

/// A volume, not mounted anywhere yet, with files without number. Those whose
/// name begins with `lookup` hang when they are looked up, all others when
/// they are opened. Dropping it releases whoever hangs, so that a test that
/// fails can end.
pub(crate) struct Tarpit(Session<Hanging>);

impl Tarpit {
    pub(crate) fn serve() -> Self {
        let options = Options {
            deadline: None,
            // Volumes stacked on this one may have backing files in it.
            passthrough: Passthrough::Off,
            ..Options::default()
        };
        let definition = VolumeDefinition::new(Hanging::default());
        Self(Session::start(definition, &options).unwrap())
    }

    /// A detached mount of it.
    pub(crate) fn mount(&self) -> OwnedFd {
        self.0.subtree(".").unwrap()
    }

    /// How many requests hang.
    pub(crate) fn waiting(&self) -> usize {
        self.0.volume().waiting.load(Ordering::SeqCst)
    }

    /// Lets all of them fail, now and in future.
    pub(crate) fn release(&self) {
        self.0.volume().released.store(true, Ordering::SeqCst);
    }
}

impl Drop for Tarpit {
    fn drop(&mut self) {
        self.release();
        while self.waiting() > 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

#[derive(Debug, Default)]
struct Hanging {
    waiting: AtomicUsize,
    released: AtomicBool,
}

impl Hanging {
    fn hang(&self, context: &Context<'_>) -> Errno {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while !self.released.load(Ordering::SeqCst) && !context.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        Errno::EIO
    }
}

/// The root or a file.
#[derive(Debug, Clone, Copy)]
struct Item(ItemId);

impl Item {
    fn entry(self) -> Entry<Self> {
        Entry {
            item: self,
            attributes: self.attributes(),
            generation: 0,
            name_lifetime: Lifetime::FOREVER,
            attributes_lifetime: Lifetime::FOREVER,
        }
    }

    fn attributes(self) -> Attributes {
        match self.0 {
            ItemId::ROOT => Attributes::synthetic(self.0, ItemKind::Directory, 0o555),
            _ => Attributes {
                size: 1,
                ..Attributes::synthetic(self.0, ItemKind::File, 0o444)
            },
        }
    }
}

impl Volume for Hanging {
    type Item = Item;
    type Handle = Infallible;

    fn root(&self) -> Result<Entry<Item>> {
        Ok(Item(ItemId::ROOT).entry())
    }

    fn lookup(&self, context: &Context<'_>, _: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        if name.as_encoded_bytes().starts_with(b"lookup") {
            return Err(self.hang(context).into());
        }
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let id = ItemId::new(hasher.finish() | 2).unwrap();
        Ok(Lookup::Found(Item(id).entry()))
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((item.attributes(), Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        _: &Item,
        _: Cookie,
        _: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        Ok(())
    }

    fn open(&self, context: &Context<'_>, _: &Item, _: OpenMode) -> Result<Opened<Infallible>> {
        Err(self.hang(context).into())
    }
}
