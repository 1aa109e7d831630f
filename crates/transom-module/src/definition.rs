use std::fmt;

use crate::Volume;
use crate::groups::{
    Allocation, Changes, Controls, Copies, Deactivation, ExtendedAttributes, Locks, Naming,
    OpenDirectories, PersistentItems, Regions, Synchronization, Writes,
};

/// A volume with the groups of operations it claims, and with what else must
/// be known of it before it is mounted.
///
/// ```text
/// VolumeDefinition::new(volume).with_changes().with_writes()
/// ```
///
/// A group can only be claimed by a volume that implements its trait, so a
/// claim without an implementation does not compile; the set is fixed once the
/// volume is served.
pub struct VolumeDefinition<V: Volume> {
    /// The volume.
    pub volume: V,
    /// Listings depend on the directory alone, never on an open descriptor of
    /// it, and change only when the volume says so. The kernel then opens
    /// directories without asking and caches their listings until
    /// [`Invalidation::Listing`](crate::Invalidation::Listing).
    pub stateless_directories: bool,
    /// Others change the content of files, and the volume does not notice: the
    /// kernel is to drop cached pages when size or time of change differ from
    /// what it knows.
    pub changed_by_others: bool,
    /// The volume stores POSIX access control lists, as extended attributes,
    /// and applies the default list of a directory to what is made in it. The
    /// kernel is to enforce them.
    pub access_control_lists: bool,
    claims: Claims<V>,
}

impl<V: Volume> VolumeDefinition<V> {
    /// A volume with the basic operations only.
    #[must_use]
    pub fn new(volume: V) -> Self {
        Self {
            volume,
            stateless_directories: false,
            changed_by_others: false,
            access_control_lists: false,
            claims: Claims::default(),
        }
    }
}

/// Views a volume as one of its groups.
type Claim<V, G> = Option<fn(&V) -> &G>;

macro_rules! groups {
    ($($group:ident: $trait:ident, $with:ident;)*) => {
        struct Claims<V: Volume> {
            $($group: Claim<V, dyn $trait<Item = V::Item, Handle = V::Handle>>,)*
        }

        impl<V: Volume> Default for Claims<V> {
            fn default() -> Self {
                Self { $($group: None,)* }
            }
        }

        impl<V: Volume> VolumeDefinition<V> {
            $(
                #[doc = concat!("Claims [`", stringify!($trait), "`].")]
                #[must_use]
                pub fn $with(mut self) -> Self
                where
                    V: $trait,
                {
                    self.claims.$group = Some(|volume| volume);
                    self
                }

                #[doc = concat!("The volume as [`", stringify!($trait), "`], if it claims that.")]
                #[must_use]
                pub fn $group(
                    &self,
                ) -> Option<&dyn $trait<Item = V::Item, Handle = V::Handle>> {
                    self.claims.$group.map(|view| view(&self.volume))
                }
            )*

            /// The names of the groups that are claimed.
            #[must_use]
            pub fn claimed(&self) -> Vec<&'static str> {
                [$((stringify!($trait), self.claims.$group.is_some()),)*]
                    .into_iter()
                    .filter_map(|(name, claimed)| claimed.then_some(name))
                    .collect()
            }
        }
    };
}

groups! {
    allocation: Allocation, with_allocation;
    changes: Changes, with_changes;
    controls: Controls, with_controls;
    copies: Copies, with_copies;
    deactivation: Deactivation, with_deactivation;
    extended_attributes: ExtendedAttributes, with_extended_attributes;
    locks: Locks, with_locks;
    naming: Naming, with_naming;
    open_directories: OpenDirectories, with_open_directories;
    persistent_items: PersistentItems, with_persistent_items;
    regions: Regions, with_regions;
    synchronization: Synchronization, with_synchronization;
    writes: Writes, with_writes;
}

impl<V: Volume> fmt::Debug for VolumeDefinition<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VolumeDefinition")
            .field("claimed", &self.claimed())
            .finish_non_exhaustive()
    }
}
