//! What Bazel does with a sandbox backend: no Bazel that has been released can
//! do it yet.
//!
//! After the text of the proposal and of bazelbuild/bazel pull request 29886
//! (`SandboxBackendServer.java`, `SandboxBackendSpawn.java`): one backend
//! process, requests from any thread, answers by request id; what was pushed
//! is remembered and pushed once; a sandbox is asked for three times at most;
//! the action is started by Bazel itself, behind the wrapper; at the end the
//! input is closed, and the backend is never killed.

mod merkle;
mod session;

pub use merkle::{Input, MerkleTree};
pub use session::{Bazel, Place};

/// An action as Bazel knows it. Paths are relative to the exec root of the
/// workspace.
#[derive(Debug, Clone, Default)]
pub struct Action {
    /// Its kind.
    pub mnemonic: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The environment, apart from `PATH`.
    pub environment: Vec<(String, String)>,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// The files it makes.
    pub outputs: Vec<String>,
    /// The directories it makes.
    pub output_directories: Vec<String>,
    /// Host paths it may write besides.
    pub writable_paths: Vec<String>,
    /// Host paths it may not read.
    pub inaccessible_paths: Vec<String>,
}
