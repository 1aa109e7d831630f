//! An arm of the comparison: the backing directory itself, or a program that
//! shows it elsewhere.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use serde::Serialize;
use tempfile::TempDir;
use transom_test::temp_dir;

use super::server::Server;

/// The backing directory itself, or a program that shows it elsewhere.
#[derive(Debug)]
pub(crate) struct Arm {
    pub(crate) name: &'static str,
    pub(crate) side: Side,
    /// How its server is started, as far as the backing directory and the
    /// mount point, which follow.
    pub(crate) server: Option<Vec<OsString>>,
}

/// Whose an arm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// What everything is compared with.
    Native,
    Ours,
    /// What ours are compared with besides.
    Peer,
}

/// The backing directory as an arm shows it.
#[derive(Debug)]
pub(crate) enum View {
    Native(PathBuf),
    Mount {
        // Before the directory that it is mounted on: fields drop in this
        // order.
        server: Server,
        mount_point: TempDir,
    },
}

impl Arm {
    /// Shows `backing`, in a view that knows nothing of it yet.
    pub(crate) fn show(&self, backing: &Path) -> Result<View> {
        let Some([program, words @ ..]) = self.server.as_deref() else {
            return Ok(View::Native(backing.to_owned()));
        };
        let mount_point = temp_dir()?;
        let mut command = Command::new(program);
        command.args(words).arg(backing).arg(mount_point.path());
        Ok(View::Mount {
            server: Server::start(command, mount_point.path())?,
            mount_point,
        })
    }
}

impl View {
    /// Where it is.
    pub(crate) fn root(&self) -> &Path {
        match self {
            Self::Native(root) => root,
            Self::Mount { mount_point, .. } => mount_point.path(),
        }
    }

    /// Ends it, and waits until nothing of it is left.
    pub(crate) fn end(self) -> Result<()> {
        match self {
            Self::Native(_) => Ok(()),
            Self::Mount { server, .. } => server.end(),
        }
    }
}
