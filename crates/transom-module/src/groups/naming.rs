use std::ffi::{OsStr, OsString};

use crate::{Context, Result, Volume};

/// A name of the volume itself, which people see and may change: its label.
/// Longest name: 255 bytes.
pub trait Naming: Volume {
    /// The name as it is now; empty if it has none.
    fn name(&self, context: &Context<'_>) -> Result<OsString>;

    /// Changes the name. Only a privileged caller gets here.
    fn set_name(&self, context: &Context<'_>, name: &OsStr) -> Result<()>;
}
