//! The sandbox backend protocol (package `bazel.sandbox`, bazelbuild/bazel
//! pull request 29886, proposal 420): Bazel says what an action may read and
//! write, the backend makes that exist, Bazel runs the action in it.
//!
//! ```text
//!   stdin ─► framing ─► wire ─► Server ─► Store ◄─ Push: blobs, contents by digest
//!                                 │         │ resolve(root digest)
//!                                 │         ▼
//!                                 │      Directory: an immutable tree, shared by digest
//!                                 ▼         │
//!                             Sandboxes ◄───┘      SandboxVolume: all trees as one volume
//!                                 │
//!   Bazel starts ── enter ──► entrance: the action, in its sandbox
//! ```
//!
//! **Unchanged subtrees cost nothing.** Inputs are Merkle trees. A
//! [`Directory`] is made once for its digest; a sandbox is one more reference to
//! a root. Of a tree that differs in one file, the directories above that file
//! are made anew and all others are found in a table. Only the way to what the
//! action writes is copied for each sandbox, since Bazel does not declare those
//! directories.
//!
//! **What is captured.** A host path that Bazel names says where bytes are at
//! that moment, and no longer. So it is pinned at once: the descriptor is
//! what is served, also when something else has that name. Bytes that are
//! changed in place are gone for everybody; then the file is hashed, and only
//! if it is not what its digest says, opening it fails, and so does collecting
//! from the sandbox, with the path in the message.
//!
//! **Where the action runs.** Bazel runs it, and prepends the wrapper that
//! `Create` answered with. The wrapper brings the command to this process,
//! which starts it in a mount namespace where the view lies *over the exec root*
//! and the rest of the host can only be read. So nothing is mounted where
//! anybody else sees it, every action of a build sees the same paths, and the
//! end of this process is the end of all sandboxes.

mod answers;
mod content;
mod digest;
mod directory;
mod entrance;
pub mod framing;
mod manifest;
mod sandboxes;
mod server;
mod store;
mod volume;
pub mod wire;

pub use content::Content;
pub use digest::{Digest, HashFunction, InvalidDigest};
pub use directory::{DIRECTORY_ENTRIES_MAX, Directory, DirectoryError, TREE_DEPTH_MAX};
pub use entrance::{Command, Ended, EntranceError, enter};
pub use manifest::ManifestError;
pub use sandboxes::SANDBOXES_MAX;
pub use server::{Options, REQUESTS_MAX, ServeError, serve};
pub use store::{
    CONTENTS_MAX, DIRECTORY_BYTES_MAX, INLINE_BYTES_MAX, Store, StoreStatistics, Unresolved,
};
pub use volume::SandboxVolume;
