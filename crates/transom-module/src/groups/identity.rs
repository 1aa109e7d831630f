use crate::{Context, Entry, ItemId, Result, Volume};

/// Items that can be found by number, without a name. Makes handles of files
/// (`name_to_handle_at(2)`, and NFS) hold after the kernel has forgotten the
/// item, and after the volume was served anew.
pub trait PersistentItems: Volume {
    /// The item of that id; `ESTALE` if there is none any more.
    fn by_id(&self, context: &Context<'_>, id: ItemId) -> Result<Entry<Self::Item>>;

    /// The directory that `directory` lies in; of the root, itself.
    fn parent(&self, context: &Context<'_>, directory: &Self::Item) -> Result<Entry<Self::Item>>;
}
