//! Bringing changes to stable storage.

use std::sync::PoisonError;

use rustix::fs::OFlags;
use transom_module::{Context, Result, Synchronization, Synchronize};

use crate::host::{refused, reopen};
use crate::item::Item;
use crate::volume::{Handle, Passthrough};

impl Synchronization for Passthrough {
    fn synchronize_item(
        &self,
        _: &Context<'_>,
        item: &Item,
        handle: &Handle,
        what: Synchronize,
    ) -> Result<()> {
        let synchronize = match what {
            Synchronize::Data => rustix::fs::fdatasync,
            Synchronize::All => rustix::fs::fsync,
        };
        match handle {
            Handle::File => synchronize(&reopen(&item.descriptor, OFlags::RDONLY)?),
            Handle::Directory(listing) => synchronize(
                &listing
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .stream,
            ),
        }
        .map_err(refused)
    }

    fn synchronize(&self, _: &Context<'_>) -> Result<()> {
        rustix::fs::syncfs(&self.source.root_opened).map_err(refused)
    }
}
