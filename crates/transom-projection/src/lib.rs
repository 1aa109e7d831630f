//! The projection module: a tree of declared inputs, made of existing host
//! files.

mod declaration;
mod view_path;

pub use declaration::{Declaration, Mapping, Origin};
pub use view_path::{InvalidViewPath, PATH_BYTES_MAX, ViewPath};
