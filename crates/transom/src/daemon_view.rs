//! A view that the daemon serves for a run: with passthrough, which a user does
//! not get by himself.
//!
//! The daemon has to be found before the run enters a user namespace: it goes by
//! what the caller is outside, and by a root directory that is its own too.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;
use serde_json::{Value, json};
use transom_control::view::{self, Change, Description, Explanation};
use transom_control::views::{
    Create, CreateReply, Describe, Error, Explain, OnChange, Open, Statistics, Trace, Update,
    Verify, View,
};
use transom_control::{Bytes, CallError, Client, Descriptor, Method, Services};
use transom_projection::{
    ChangedInput, Cover, Declaration, Mapping, TraceReport, Tree, ViewOptions, ViewStatistics,
};
use transom_sandbox::privilege::{self, Privilege};

use crate::commands::run::DaemonChoice;
use crate::daemon;
use crate::run_view::RunView;
use crate::summary::Requests;

/// A daemon that may serve the view of a run.
pub(crate) struct FoundDaemon {
    client: Client,
    root: OwnedFd,
}

/// A view that the daemon serves.
pub(crate) struct DaemonView {
    client: Mutex<Client>,
    view: View,
    /// What `transom view` calls it.
    name: String,
    tree: Mutex<Option<OwnedFd>>,
    declared: ViewStatistics,
    is_traced: bool,
}

impl FoundDaemon {
    /// The daemon, if the run is to use one and it is there. Without a wish, one
    /// is used by those whom the kernel gives no passthrough.
    pub(crate) fn find(choice: DaemonChoice) -> anyhow::Result<Option<Self>> {
        let is_needed = match choice {
            DaemonChoice::Never => false,
            DaemonChoice::Require => true,
            DaemonChoice::Auto => privilege::detect()? != Privilege::Host,
        };
        if !is_needed {
            return Ok(None);
        }
        match Self::connect() {
            Ok(found) => Ok(Some(found)),
            Err(error) if choice == DaemonChoice::Require => Err(error),
            Err(error) => {
                tracing::trace!(error = format!("{error:#}"), "no daemon is used");
                Ok(None)
            }
        }
    }

    fn connect() -> anyhow::Result<Self> {
        let client = daemon::connect()?;
        let server = client.server()?;
        // Whoever serves the view decides what the action reads.
        if !server.uid.is_root() && server.uid != geteuid() {
            bail!(
                "the daemon at {} belongs to user {}, who is neither root nor this user",
                daemon::socket().display(),
                server.uid.as_raw()
            );
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open("/", flags, Mode::empty()).context("cannot open /")?;
        Ok(Self { client, root })
    }

    /// Has a view of `tree` made.
    pub(crate) fn serve(
        mut self,
        tree: &Tree,
        covers: &[Cover],
        options: ViewOptions,
        name: String,
    ) -> anyhow::Result<DaemonView> {
        let call = Create {
            manifest: manifest(tree),
            base: Bytes::from("/"),
            on_change: match options.on_change {
                transom_projection::OnChange::Refuse => OnChange::Refuse,
                transom_projection::OnChange::Report => OnChange::Report,
                transom_projection::OnChange::Ignore => OnChange::Ignore,
            },
            trace: options.trace,
            root: Some(Descriptor(0)),
            required: tree
                .required()
                .map(|name| Bytes::from(name.as_os_str()))
                .collect(),
            mounted: covers
                .iter()
                .map(serde_json::to_value)
                .collect::<Result<_, _>>()?,
            ..Create::default()
        };
        let (CreateReply { view, descriptor }, mut descriptors) = self
            .client
            .call_with_descriptors(&call, &[self.root.as_fd()])?;
        let mount = descriptors.take(descriptor)?;
        Ok(DaemonView {
            client: Mutex::new(self.client),
            tree: Mutex::new(Some(mount)),
            declared: ViewStatistics {
                file_bytes: view.bytes,
                ..tree.statistics()
            },
            view,
            name,
            is_traced: options.trace,
        })
    }
}

impl DaemonView {
    fn call<M: Method<Error = Error>>(&self, call: &M) -> Result<M::Reply, CallError<Error>> {
        lock(&self.client).call(call)
    }

    fn id(&self) -> String {
        self.view.id.clone()
    }
}

impl RunView for DaemonView {
    fn input_root(&self) -> anyhow::Result<OwnedFd> {
        if let Some(tree) = lock(&self.tree).take() {
            return Ok(tree);
        }
        let open = Open { view: self.id() };
        let (reply, mut descriptors) = lock(&self.client).call_with_descriptors(&open, &[])?;
        Ok(descriptors.take(reply.descriptor)?)
    }

    fn services(self: Arc<Self>) -> Services {
        Services::new([view::interface(self)])
    }

    fn verify(&self) -> anyhow::Result<Vec<ChangedInput>> {
        let changed = self.call(&Verify { view: self.id() })?.changed;
        Ok(serde_json::from_value(changed.into())?)
    }

    fn traced(&self) -> anyhow::Result<Option<TraceReport>> {
        if !self.is_traced {
            return Ok(None);
        }
        let trace = self.call(&Trace { view: self.id() })?.trace;
        Ok(Some(serde_json::from_value(trace)?))
    }

    fn passthrough(&self) -> bool {
        self.view.passthrough
    }

    fn declared(&self) -> ViewStatistics {
        self.declared
    }

    fn requests(&self) -> Option<Requests> {
        None
    }
}

impl view::ViewService for DaemonView {
    fn describe(&self) -> Description {
        let described = self.call(&Describe { view: self.id() });
        let view = described.map_or_else(|_| self.view.clone(), |reply| reply.view);
        Description {
            name: self.name.clone(),
            engine: "fuse".into(),
            epoch: view.epoch,
            files: view.files,
            bytes: view.bytes,
            passthrough: view.passthrough,
        }
    }

    fn update(&self, changes: &[Change]) -> Result<u64, view::Error> {
        let update = Update {
            view: self.id(),
            changes: changes.to_vec(),
        };
        self.call(&update).map(|reply| reply.epoch).map_err(refused)
    }

    fn explain(&self, path: &Bytes) -> Result<Explanation, view::Error> {
        let explain = Explain {
            view: self.id(),
            path: path.clone(),
        };
        self.call(&explain).map_err(refused)
    }

    fn trace(&self) -> Result<Value, view::Error> {
        self.call(&Trace { view: self.id() })
            .map(|reply| reply.trace)
            .map_err(refused)
    }

    fn statistics(&self) -> Value {
        let counted = self.call(&Statistics {});
        counted.map_or(Value::Null, |reply| reply.statistics)
    }
}

fn refused(error: CallError<Error>) -> view::Error {
    match error {
        CallError::Method(Error::Unavailable { .. }) => view::Error::Unavailable {
            message: "the view is not traced; start it with `--trace FILE`".into(),
        },
        other => view::Error::Refused {
            message: other.to_string(),
        },
    }
}

/// A manifest that declares what a tree has.
fn manifest(tree: &Tree) -> Value {
    let inputs: Vec<_> = tree.declarations().map(input).collect();
    json!({ "version": 1, "inputs": inputs })
}

fn input(declaration: Declaration) -> Value {
    let mut input = json!({ "name": Bytes::from(declaration.name.as_os_str()) });
    match declaration.mapping {
        Mapping::File { source, executable } => {
            input["file"] = Bytes::from(&source).to_value();
            if let Some(executable) = executable {
                input["executable"] = executable.into();
            }
        }
        Mapping::Directory { source } => input["directory"] = Bytes::from(&source).to_value(),
        Mapping::Symlink { target } => input["symlink"] = Bytes::from(&target).to_value(),
        Mapping::EmptyDirectory => input["empty_directory"] = true.into(),
    }
    input
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
