use anyhow::Result;
use xshell::{Shell, cmd};

/// How this run can do what only root may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Privilege {
    /// It is root.
    Root,
    /// It may become root by `sudo`, without being asked again for a password.
    Sudo,
    /// It cannot, for this reason.
    None(&'static str),
}

impl Privilege {
    /// Finds out; asks for the user's password if sudo wants it.
    pub(crate) fn find(shell: &Shell) -> Self {
        if rustix::process::geteuid().is_root() {
            Self::Root
        } else if cmd!(shell, "sudo --validate").quiet().run().is_ok() {
            Self::Sudo
        } else {
            Self::None("the user is not root and sudo does not help")
        }
    }

    /// The words to put before a command, or before nextest's test programs,
    /// to have it run by root; `None` if that is not possible.
    pub(crate) fn prefix(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Root => Some(&[]),
            Self::Sudo => Some(&["sudo", "--non-interactive", "--preserve-env"]),
            Self::None(_) => None,
        }
    }
}

/// The triple of this machine, such as `x86_64-unknown-linux-gnu`.
pub(crate) fn host_triple(shell: &Shell) -> Result<String> {
    Ok(cmd!(shell, "rustc --print host-tuple").read()?)
}
