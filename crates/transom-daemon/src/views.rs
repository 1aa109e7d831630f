//! `io.transom.Views`: views for users who could not have passthrough by
//! themselves.
//!
//! The kernel reads the host files of a FUSE file system by itself only if the
//! server has privilege in the initial user namespace. So one daemon of root's
//! serves the views of all users, as directories of one file system, and each
//! user gets a detached mount of his view's directory. He attaches it in a user
//! and mount namespace of his own; `crates/transom-fuse/tests/it/foreign.rs`
//! shows that the kernel allows it, and that nothing can be reached through it
//! but the view.
//!
//! What keeps users apart, and the daemon's files from all of them:
//!
//! * **Host files are opened with the rights of the client**, at any time: the
//!   view is [pinned through a door of his](transom_projection::HostRoot::acting_for).
//! * **Paths are the daemon's**, so the client shows that they mean the same to
//!   him: he sends a descriptor of his root directory, which has to be the
//!   daemon's. Somebody who is locked up in another root could otherwise map
//!   files that he cannot even name; and who has such a descriptor in spite of
//!   that can open everything below it anyway.
//! * **A view is its owner's**; others need a rule of the [policy](crate::Policy).
//! * **A view ends with the connection that made it**, unless it is to be kept.
//!   Then it is emptied, so that nothing is served to whoever kept the mount,
//!   and it counts against the user's limits until that is gone too.

mod host_mounts;
mod refusals;
mod service;
mod table;
mod wire;

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, Weak};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, statx};
use transom_control::views::Error;
use transom_control::{ConnectionId, Peer};
use transom_fuse::{MountError, Options, Session};
use transom_module::Invalidation;
use transom_projection::{
    Allowance, Charge, Projection, ProjectionOptions, Tree, View, ViewOptions,
};

use crate::{Action, Denial, Policy};

use host_mounts::HostMounts;
use refusals::{denied, refused};
use table::{Entry, Table};

/// All views of a daemon, and the session that serves them.
#[derive(Debug)]
pub struct Views {
    policy: Arc<Policy>,
    session: Session<Projection>,
    mounts: HostMounts,
    /// What stands for the root directory in which paths begin.
    root: Root,
    table: Mutex<Table>,
    of_all: Arc<Allowance>,
    of_users: Mutex<HashMap<u32, Weak<Allowance>>>,
}

/// Which directory of which mount a root directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Root {
    mount: u64,
    device: (u32, u32),
    inode: u64,
}

/// What a client wants a view to be.
struct Wanted {
    name: Option<String>,
    tree: Tree,
    options: ViewOptions,
    keep: bool,
}

impl Views {
    /// Begins to serve views of the files that this process sees. Its
    /// capabilities are those it is going to keep.
    pub fn start(policy: Arc<Policy>) -> Result<Self, MountError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty())
            .and_then(|root| Root::of(&root))
            .map_err(io::Error::from)?;
        let mounts = HostMounts::new(ProjectionOptions::default())?;
        let session = Session::start(mounts.projection().volume(), &Options::default())?;
        Ok(Self {
            of_all: Arc::new(policy.allowance_of_all()),
            policy,
            session,
            mounts,
            root,
            table: Mutex::default(),
            of_users: Mutex::default(),
        })
    }

    /// How many views there are.
    #[must_use]
    pub fn len(&self) -> usize {
        table::lock(&self.table).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The session that serves them.
    #[must_use]
    pub fn session(&self) -> &Session<Projection> {
        &self.session
    }

    /// That paths mean the same to a client as to us. Root could make any root
    /// its own.
    fn check_root(&self, peer: &Peer, theirs: Option<&OwnedFd>) -> Result<(), Denial> {
        let is_ours = theirs.is_some_and(|root| Root::of(root) == Ok(self.root));
        if is_ours || peer.uid.is_root() {
            return Ok(());
        }
        Err(Denial {
            rule: "paths begin at the root directory of the daemon".into(),
            message: match theirs {
                Some(_) => "the caller has another root directory".into(),
                None => "no descriptor of the caller's root directory was sent".into(),
            },
        })
    }

    fn create(
        &self,
        peer: &Peer,
        connection: ConnectionId,
        wanted: Wanted,
    ) -> Result<Arc<Entry>, Error> {
        let owner = peer.uid.as_raw();
        let of_user = (!peer.uid.is_root()).then(|| self.allowance_of(owner));
        let allowances = of_user.into_iter().chain([self.of_all.clone()]);
        let charge = Charge::take(allowances, wanted.tree.len())
            .map_err(|exhausted| refusals::exhausted(&exhausted))?;
        let projection = self
            .mounts
            .projection_for(peer)
            .map_err(|error| refused(&error, &format!("the daemon cannot act for user {owner}")))?;
        let view = projection
            .pin_charged(wanted.tree, wanted.options, charge)
            .map_err(|errors| refusals::not_pinned(&errors))?;
        let entry = Arc::new(Entry {
            owner,
            name: wanted.name.unwrap_or_else(|| view.id().to_string()),
            connection: (!wanted.keep).then_some(connection),
            view,
        });
        let inserted = table::lock(&self.table).insert(entry.clone());
        if inserted.is_err() {
            self.discard(&entry);
        }
        inserted.map(|()| entry)
    }

    /// A further detached mount of a view.
    fn mount(&self, view: &View) -> Result<OwnedFd, Error> {
        self.session
            .subtree(&view.id().to_string())
            .map_err(|error| refused(&error, "the view cannot be mounted"))
    }

    /// The view of that number, or the caller's own of that name; for others
    /// than its owner, if the policy lets them perform `action`.
    fn find(&self, peer: &Peer, id: &str, action: Action) -> Result<Arc<Entry>, Error> {
        let entry = table::lock(&self.table).find(id, peer.uid.as_raw())?;
        self.policy
            .check_foreign(action, peer, entry.owner)
            .map_err(denied)?;
        Ok(entry)
    }

    /// Ends a view that is not in the table any more.
    fn discard(&self, entry: &Entry) {
        let forgotten = self.mounts.projection().discard(entry.view.id());
        if let Err(error) = self.session.invalidate(&forgotten) {
            tracing::warn!(%error, view = %entry.view.id(), "the kernel was not told that a view has ended");
        }
    }

    fn invalidate(&self, invalidations: &[Invalidation]) -> Result<(), Error> {
        self.session
            .invalidate(invalidations)
            .map_err(|error| refused(&error, "the kernel could not be told"))
    }

    fn allowance_of(&self, uid: u32) -> Arc<Allowance> {
        let mut of_users = table::lock(&self.of_users);
        if let Some(allowance) = of_users.get(&uid).and_then(Weak::upgrade) {
            return allowance;
        }
        // Those of users who have nothing any more are of no use.
        of_users.retain(|_, allowance| allowance.strong_count() > 0);
        let allowance = Arc::new(self.policy.allowance_of_user());
        of_users.insert(uid, Arc::downgrade(&allowance));
        allowance
    }
}

impl Root {
    fn of(directory: &OwnedFd) -> rustix::io::Result<Self> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let found = statx(directory, c"", AtFlags::EMPTY_PATH, wanted)?;
        Ok(Self {
            mount: found.stx_mnt_id,
            device: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
        })
    }
}
