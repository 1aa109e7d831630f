use crate::Volume;

/// Knowing when nobody has an item open any more.
pub trait Deactivation: Volume {
    /// The last open of `item` was closed. Names and caches may still refer to
    /// it, and it may be opened again, unless it has no name left.
    fn deactivate(&self, item: &Self::Item);
}
