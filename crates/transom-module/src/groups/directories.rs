use crate::{Context, Cookie, DirectorySink, Result, Volume};

/// Listings that need something open between one part and the next, such as a
/// descriptor of a host directory or a snapshot of the entries.
///
/// This is where a *verifier* lives that other contracts carry beside each
/// cookie: whatever the volume needs to know that a cookie is still good is
/// part of its handle. Where a cookie is not good any more, the answer is
/// `ESTALE`, never a listing with entries twice or left out.
pub trait OpenDirectories: Volume {
    /// Opens a directory to be listed.
    fn open_directory(&self, context: &Context<'_>, directory: &Self::Item)
    -> Result<Self::Handle>;

    /// Lists an open directory, as [`Volume::enumerate`] does.
    fn enumerate_open(
        &self,
        context: &Context<'_>,
        directory: &Self::Item,
        handle: &Self::Handle,
        from: Cookie,
        sink: &mut dyn DirectorySink<Self::Item>,
    ) -> Result<()>;
}
