//! Listings of directories.

use std::ffi::OsStr;
use std::sync::Arc;

use transom_module::{Context, Cookie, DirectoryEntry, DirectorySink, Entry, Volume};
use transom_sys::fuse_abi as abi;
use zerocopy::FromZeros;

use super::{Asked, HandedOut, Result, Server};
use crate::nodes::Node;
use crate::reply::{Answer, ListingWriter};

impl<V: Volume> Server<V> {
    pub(super) fn list(
        &self,
        context: &Context<'_>,
        node: &Arc<Node<V>>,
        args: &abi::ReadIn,
        plus: bool,
        payload: &mut [u8],
        out: &mut HandedOut,
    ) -> Result {
        let size = payload.len().min(args.size as usize);
        let mut sink = Sink {
            server: self,
            asked: self.asked(context),
            plus,
            is_looked_at: plus && self.listing_habits.lists(context.caller.pid, node.id.raw()),
            listing: ListingWriter::new(&mut payload[..size]),
            out,
        };
        let from = Cookie(args.offset);
        match (
            self.definition.open_directories(),
            self.open_files.get(args.fh),
        ) {
            (Some(group), Some(file)) => {
                group.enumerate_open(context, node.item(), file.handle(), from, &mut sink)?;
            }
            _ => {
                self.definition
                    .volume
                    .enumerate(context, node.item(), from, &mut sink)?;
            }
        }
        Ok(Answer::Payload(sink.listing.used()))
    }
}

/// Collects the answer to READDIR or READDIRPLUS.
struct Sink<'a, V: Volume> {
    server: &'a Server<V>,
    asked: Asked,
    plus: bool,
    /// The caller is likely to look at the files.
    is_looked_at: bool,
    listing: ListingWriter<'a>,
    out: &'a mut HandedOut,
}

impl<V: Volume> DirectorySink<V::Item> for Sink<'_, V> {
    fn takes_attributes(&self) -> bool {
        self.plus
    }

    fn expects_attributes(&self) -> bool {
        self.is_looked_at
    }

    fn push(&mut self, entry: DirectoryEntry<'_>) -> bool {
        if self.plus {
            self.listing.push_plus(&abi::EntryOut::new_zeroed(), &entry)
        } else {
            self.listing.push(&entry)
        }
    }

    fn push_found(&mut self, name: &OsStr, found: Entry<V::Item>, next: Cookie) -> bool {
        let entry = DirectoryEntry {
            name,
            id: found.attributes.id,
            kind: found.attributes.kind,
            next,
        };
        if !self.plus {
            self.server.definition.volume.reclaim(found.item);
            return self.listing.push(&entry);
        }
        let (node, told) = self.server.acquire(found, self.asked, self.out);
        let fits = self.listing.push_plus(&told, &entry);
        if !fits {
            self.out.nodes.pop();
            self.server.nodes.forget(node.id.raw(), 1);
        }
        fits
    }
}
