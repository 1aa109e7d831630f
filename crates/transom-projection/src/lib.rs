//! The projection module: a tree of declared inputs, made of existing host
//! files.

mod declaration;
pub mod manifest;
mod view_path;

pub use declaration::{Declaration, Mapping, Origin};
pub use manifest::{Manifest, ManifestError};
pub use view_path::{InvalidViewPath, PATH_BYTES_MAX, ViewPath};
