use std::ffi::OsStr;
use std::fmt;

use crate::{Context, Result, Volume};

/// A volume with the optional groups of operations it claims.
///
/// A group can only be claimed by a volume that implements its trait, so a
/// claim without an implementation does not compile; the set is fixed once the
/// volume is served.
pub struct VolumeDefinition<V: Volume> {
    /// The volume.
    pub volume: V,
    /// Extended attributes, if claimed.
    pub extended_attributes: Option<ExtendedAttributesTable<V>>,
}

impl<V: Volume> VolumeDefinition<V> {
    /// A volume with the basic operations only.
    #[must_use]
    pub fn new(volume: V) -> Self {
        Self {
            volume,
            extended_attributes: None,
        }
    }

    /// Claims extended attributes.
    #[must_use]
    pub fn with_extended_attributes(mut self) -> Self
    where
        V: ExtendedAttributes,
    {
        self.extended_attributes = Some(ExtendedAttributesTable {
            get: V::get_attribute,
            list: V::list_attributes,
        });
        self
    }
}

impl<V: Volume> fmt::Debug for VolumeDefinition<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VolumeDefinition")
            .field("extended_attributes", &self.extended_attributes.is_some())
            .finish_non_exhaustive()
    }
}

/// Reading of extended attributes.
pub trait ExtendedAttributes: Volume {
    /// The value of one attribute; `ENODATA` if the item has none of that
    /// name.
    fn get_attribute(
        &self,
        context: &Context<'_>,
        item: &Self::Item,
        name: &OsStr,
    ) -> Result<Vec<u8>>;

    /// The names of all attributes, each followed by a NUL byte.
    fn list_attributes(&self, context: &Context<'_>, item: &Self::Item) -> Result<Vec<u8>>;
}

/// The operations of [`ExtendedAttributes`] as a transport calls them.
pub struct ExtendedAttributesTable<V: Volume> {
    /// [`ExtendedAttributes::get_attribute`].
    #[expect(
        clippy::type_complexity,
        reason = "it is the signature of the trait's method"
    )]
    pub get: fn(&V, &Context<'_>, &V::Item, &OsStr) -> Result<Vec<u8>>,
    /// [`ExtendedAttributes::list_attributes`].
    pub list: fn(&V, &Context<'_>, &V::Item) -> Result<Vec<u8>>,
}

impl<V: Volume> fmt::Debug for ExtendedAttributesTable<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtendedAttributesTable")
            .finish_non_exhaustive()
    }
}
