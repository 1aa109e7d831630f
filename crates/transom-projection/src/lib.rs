//! The projection module: a tree of declared inputs, made of existing host
//! files.
//!
//! ```text
//!  manifest, flags                       host files
//!         |  Declaration                     |  HostRoot
//!         v                                  v
//!       Tree ------------------> Projection::pin -----> View <--- update, explain,
//!  names, and conflicts              Versions             |       trace, verify
//!  between them                                           |
//!                                                         +--> Volume, to be served
//!                                                         +--> walk, to compose mounts
//! ```
//!
//! A [`Tree`] is pure data. Pinning it opens every host file once and keeps its
//! [`Version`]; the resulting [`View`] answers names from the tree alone, and
//! what happens to host paths later does not change an answer. All views of a
//! process belong to one [`Projection`], which is a
//! [`Volume`](transom_module::Volume), and share what they have in common.

mod allowance;
mod attributes;
mod cover;
mod declaration;
mod descriptors;
mod edit_distance;
mod errors;
mod explain;
mod for_client;
mod host;
mod json_bytes;
pub mod manifest;
mod parallel;
mod pin;
mod projection;
mod shared;
mod shown;
mod stamp;
mod sync;
pub mod trace;
mod tree;
mod update;
mod verify;
mod version;
mod view;
mod view_path;
mod volume;
mod whole;

pub use allowance::{Allowance, Charge, Exhausted};
pub use cover::{Cover, CoverKind};
pub use declaration::{Declaration, Mapping, Origin};
pub use errors::{ERRORS_SHOWN_MAX, Errors};
pub use explain::{Absence, Answer, Explanation, PinnedVersion};
pub use host::{DirectoryDescriptor, HostDirectory, HostRoot};
pub use json_bytes::JsonBytes;
pub use manifest::{Manifest, ManifestError};
pub use pin::{NAMES_PINNED_MAX, PinError, PinProblem};
pub use projection::{Projection, ProjectionOptions};
pub use shared::OwnerMap;
pub use shown::{Shown, shown};
pub use stamp::Stamp;
pub use trace::TraceReport;
pub use transom_sys::credentials::Client;
pub use tree::{ENTRIES_MAX, Tree, TreeError};
pub use update::{CHANGES_MAX, Change, Update, UpdateError};
pub use verify::ChangedInput;
pub use version::{OnChange, StaleVersion, Version, VersionState};
pub use view::{FoundLinks, InvalidViewId, View, ViewId, ViewOptions, ViewStatistics, WalkEntry};
pub use view_path::{InvalidViewPath, PATH_BYTES_MAX, ViewPath};
pub use volume::Item;
