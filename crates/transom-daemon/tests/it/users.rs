//! A server of views, and users who call it.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Uid};
use serde_json::{Value, json};
use tempfile::TempDir;
use transom_control::views::{self, Create, Error, View};
use transom_control::{
    Admission, Bytes, CallError, Client, Descriptor, Permission, Server, Services, Socket,
};
use transom_daemon::{Names, Policy, Views};

/// The users of these tests, and a group that none of them belongs to by itself.
pub(crate) const USER: u32 = 65534;
pub(crate) const OTHER: u32 = 65533;
pub(crate) const GROUP: u32 = 4242;

/// A daemon that serves views.
pub(crate) struct Daemon {
    pub(crate) views: Arc<Views>,
    pub(crate) directory: TempDir,
    _server: Server,
    socket: PathBuf,
}

impl Daemon {
    pub(crate) fn start() -> Self {
        Self::with_policy("")
    }

    pub(crate) fn with_policy(text: &str) -> Self {
        let names = Names::of_host().unwrap();
        let policy = Policy::parse(text, "policy.toml", &names).unwrap();
        let views = Arc::new(Views::start(Arc::new(policy)).unwrap());
        let directory = transom_test::temp_dir().unwrap();
        let public = directory.path().join("public");
        std::fs::create_dir(&public).unwrap();
        std::fs::set_permissions(&public, Permissions::from_mode(0o777)).unwrap();
        let path = directory.path().join("socket/host");
        let socket = Socket::bind(&path, Permission::Everybody).unwrap();
        let services = Services::new([views::interface(views.clone())]);
        Self {
            views,
            _server: Server::start(socket, Admission::SYSTEM, services).unwrap(),
            directory,
            socket: path,
        }
    }

    /// Makes a host file.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Makes a host file that belongs to the thread's user.
    pub(crate) fn write_as_user(&self, name: &str, text: &str) -> PathBuf {
        self.write(&format!("public/{name}"), text)
    }

    pub(crate) fn connect_as(&self, user: u32) -> Caller {
        act_as(user, &[], || self.connect())
    }

    pub(crate) fn connect(&self) -> Caller {
        Caller(Client::connect(&self.socket).unwrap())
    }

    /// Waits until there are that many views.
    pub(crate) fn wait_for_views(&self, count: usize) {
        while self.views.len() != count {
            thread::yield_now();
        }
    }
}

/// Does something as a user, in a thread that is the user's for good.
pub(crate) fn act_as<T: Send>(uid: u32, groups: &[u32], act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let acting = scope.spawn(|| {
            let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
            rustix::thread::set_thread_groups(&groups).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            act()
        });
        acting
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A connection, of whoever made it.
pub(crate) struct Caller(pub(crate) Client);

impl Caller {
    /// A view of one file or directory, called `f`.
    pub(crate) fn map(&mut self, source: &Path) -> Result<(View, Tree), Error> {
        self.create(&manifest(&[("f", source)]), |_| ())
    }

    pub(crate) fn create(
        &mut self,
        manifest: &Value,
        change: impl FnOnce(&mut Create),
    ) -> Result<(View, Tree), Error> {
        self.create_below(&open_path("/"), manifest, change)
    }

    /// With `root` to show that paths mean the same.
    pub(crate) fn create_below(
        &mut self,
        root: &OwnedFd,
        manifest: &Value,
        change: impl FnOnce(&mut Create),
    ) -> Result<(View, Tree), Error> {
        let mut call = Create {
            manifest: manifest.clone(),
            base: Bytes::from("/"),
            root: Some(Descriptor(0)),
            ..Create::default()
        };
        change(&mut call);
        let called = self.0.call_with_descriptors(&call, &[root.as_fd()]);
        let (reply, mut descriptors) = called.map_err(refusal)?;
        let tree = descriptors.take(reply.descriptor).unwrap();
        Ok((reply.view, Tree(tree)))
    }

    pub(crate) fn call<M>(&mut self, call: &M) -> Result<M::Reply, Error>
    where
        M: transom_control::Method<Error = Error>,
    {
        self.0.call(call).map_err(refusal)
    }
}

fn refusal(error: CallError<Error>) -> Error {
    match error {
        CallError::Method(error) => error,
        other => panic!("{other}"),
    }
}

/// The rule of a refusal, and its message.
pub(crate) fn denial<T: std::fmt::Debug>(result: Result<T, Error>) -> (String, String) {
    match result.unwrap_err() {
        Error::Denied { rule, message } => (rule, message),
        other => panic!("{other:?}"),
    }
}

/// The detached mount of a view.
#[derive(Debug)]
pub(crate) struct Tree(pub(crate) OwnedFd);

impl Tree {
    pub(crate) fn open(
        &self,
        name: impl AsRef<OsStr>,
        flags: OFlags,
    ) -> rustix::io::Result<OwnedFd> {
        rustix::fs::openat(&self.0, name.as_ref(), flags, Mode::empty())
    }

    pub(crate) fn read(&self, name: &str) -> rustix::io::Result<String> {
        let mut file = std::fs::File::from(self.open(name, OFlags::RDONLY)?);
        let mut text = String::new();
        match file.read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) => Err(rustix::io::Errno::from_io_error(&error).unwrap()),
        }
    }
}

pub(crate) fn manifest(files: &[(&str, &Path)]) -> Value {
    let inputs: Vec<_> = files.iter().map(|(name, path)| input(name, path)).collect();
    json!({ "version": 1, "inputs": inputs })
}

pub(crate) fn input(name: &str, path: &Path) -> Value {
    let kind = if path.is_dir() { "directory" } else { "file" };
    json!({ "name": name, kind: path.to_str().unwrap() })
}

pub(crate) fn open_path(path: impl AsRef<Path>) -> OwnedFd {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    rustix::fs::open(path.as_ref(), flags, Mode::empty()).unwrap()
}
