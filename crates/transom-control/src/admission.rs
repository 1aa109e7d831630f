use rustix::process::geteuid;

use crate::Peer;

/// Most connections at a time to a server of one user's.
pub const CONNECTIONS_MAX: usize = 16;

/// Most connections at a time to a server for all users of a machine.
pub const SYSTEM_CONNECTIONS_MAX: usize = 1024;

/// Most connections at a time of one user to a server for all.
pub const SYSTEM_CONNECTIONS_OF_USER_MAX: usize = 256;

/// Who may connect, and how often at a time. Who may not, or is one too many, is
/// hung up on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Who may connect.
    pub callers: Callers,
    /// Connections in all, beyond which only our own user and root are let in.
    /// Each costs a thread.
    pub connections: usize,
    /// Connections of one user.
    pub connections_of_user: usize,
}

/// Who may connect, if it runs in our pid namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Callers {
    /// Our own user, and root.
    OurUser,
    /// Whoever the socket's permissions let. What it may do is decided at each
    /// call.
    Anybody,
}

impl Admission {
    /// For what belongs to one user.
    pub const PRIVATE: Self = Self {
        callers: Callers::OurUser,
        connections: CONNECTIONS_MAX,
        connections_of_user: CONNECTIONS_MAX,
    };

    /// For a daemon that serves all users.
    pub const SYSTEM: Self = Self {
        callers: Callers::Anybody,
        connections: SYSTEM_CONNECTIONS_MAX,
        connections_of_user: SYSTEM_CONNECTIONS_OF_USER_MAX,
    };

    pub(crate) fn admits(&self, peer: &Peer) -> bool {
        let is_known = match self.callers {
            Callers::OurUser => peer.uid.is_root() || peer.uid == geteuid(),
            Callers::Anybody => true,
        };
        is_known && peer.is_in_our_pid_namespace()
    }
}
