use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use transom_fuse::{Options, Session, Statistics};
use transom_projection::{
    Change, Declaration, HostRoot, Projection, ProjectionOptions, Tree, View, ViewOptions,
};
use transom_test::InputFile;

use crate::projection::arm::{About, Mechanism, Requests};
use crate::projection::client::Roots;
use crate::projection::manifests::declarations;
use crate::projection::workload::Workload;

/// The engine `fuse`, with a session of its own for the action, as a single
/// `transom run` has it.
#[derive(Debug)]
pub(crate) struct Fuse {
    declared: Vec<Declaration>,
    prepared: Vec<Declaration>,
    serving: Option<(Serving, Arc<View>)>,
    requests: Option<Requests>,
}

/// The engine `fuse` in a process that serves many actions: the session is
/// there already, the view is new.
#[derive(Debug)]
pub(crate) struct FuseNewView {
    declared: Vec<Declaration>,
    prepared: Vec<Declaration>,
    serving: Serving,
    view: Option<Arc<View>>,
    counted: Option<Statistics>,
}

/// The same for a view that earlier actions have used.
#[derive(Debug)]
pub(crate) struct FuseKeptView {
    serving: Serving,
    view: Arc<View>,
    counted: Option<Statistics>,
}

impl Fuse {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        Ok(Self {
            declared: declarations(&workload.inputs)?,
            prepared: Vec::new(),
            serving: None,
            requests: None,
        })
    }
}

impl FuseNewView {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        Ok(Self {
            declared: declarations(&workload.inputs)?,
            prepared: Vec::new(),
            serving: Serving::start(None)?,
            view: None,
            counted: None,
        })
    }
}

impl FuseKeptView {
    /// `descriptors` is how many inputs may be kept open.
    pub(crate) fn new(workload: &Workload, descriptors: usize) -> Result<Self> {
        let serving = Serving::start(Some(descriptors))?;
        let view = serving.pin(declarations(&workload.inputs)?)?;
        Ok(Self {
            serving,
            view,
            counted: None,
        })
    }
}

impl Mechanism for Fuse {
    const NAME: &'static str = "fuse";
    const ABOUT: About = About {
        before: "the parsed manifest",
        set_up: "a clone of the host's mounts, the tree of names, every input opened, a FUSE \
                 connection mounted and its threads started, the view as a detached mount",
        tear_down: "the mounts are closed, every input is closed, the threads have ended",
    };

    fn prepare(&mut self) {
        self.prepared.clone_from(&self.declared);
    }

    fn set_up(&mut self) -> Result<Roots> {
        let serving = Serving::start(None)?;
        let view = serving.pin(std::mem::take(&mut self.prepared))?;
        let root = serving.root(&view)?;
        self.serving = Some((serving, view));
        Ok(root)
    }

    fn tear_down(&mut self) -> Result<()> {
        let (serving, view) = self.serving.take().context("not set up")?;
        drop(view);
        let Serving {
            projection,
            session,
        } = serving;
        drop(projection);
        let statistics = session.end().context("the session does not end")?;
        self.requests = Some(since(None, &statistics));
        Ok(())
    }

    fn requests(&mut self) -> Result<Option<Requests>> {
        Ok(self.requests.take())
    }
}

impl Mechanism for FuseNewView {
    const NAME: &'static str = "fuse, new view of a kept session";
    const ABOUT: About = About {
        before: "the parsed manifest, and a session without views",
        set_up: "the tree of names, every input opened, the view as a detached mount",
        tear_down: "the mount is closed, the view removed; the server has closed every input",
    };

    fn prepare(&mut self) {
        self.prepared.clone_from(&self.declared);
    }

    fn set_up(&mut self) -> Result<Roots> {
        let view = self.serving.pin(std::mem::take(&mut self.prepared))?;
        let root = self.serving.root(&view)?;
        self.view = Some(view);
        Ok(root)
    }

    fn add(&mut self, name: &Path, source: &Path) -> Result<()> {
        let view = self.view.as_ref().context("not set up")?;
        let added = InputFile {
            name: name.to_owned(),
            source: source.to_owned(),
            bytes: fs::metadata(source)?.len(),
        };
        let added = declarations(&[added])?.into_iter().map(Change::Add);
        let update = view.prepare(added.collect())?;
        let session = &self.serving.session;
        session.invalidate(update.names())?;
        Ok(session.invalidate(&update.apply())?)
    }

    fn tear_down(&mut self) -> Result<()> {
        let view = self.view.take().context("not set up")?;
        let Serving {
            projection,
            session,
        } = &self.serving;
        session.invalidate(&projection.remove(view.id()))?;
        wait_until_gone(view)
    }

    fn requests(&mut self) -> Result<Option<Requests>> {
        Ok(Some(self.serving.requests(&mut self.counted)))
    }
}

impl Mechanism for FuseKeptView {
    const NAME: &'static str = "fuse, kept view";
    const ABOUT: About = About {
        before: "a session with the view, which earlier rounds have read",
        set_up: "the view as a detached mount",
        tear_down: "the mount is closed",
    };

    fn set_up(&mut self) -> Result<Roots> {
        self.serving.root(&self.view)
    }

    fn tear_down(&mut self) -> Result<()> {
        Ok(())
    }

    fn requests(&mut self) -> Result<Option<Requests>> {
        Ok(Some(self.serving.requests(&mut self.counted)))
    }
}

#[derive(Debug)]
struct Serving {
    projection: Projection,
    session: Session<Projection>,
}

impl Serving {
    fn start(descriptors: Option<usize>) -> Result<Self> {
        let host = HostRoot::at(transom_sandbox::host_tree()?);
        let options = ProjectionOptions {
            descriptors,
            ..ProjectionOptions::default()
        };
        let projection = Projection::new(host, options);
        Ok(Self {
            session: Session::start(projection.volume(), &Options::default())?,
            projection,
        })
    }

    fn pin(&self, declared: Vec<Declaration>) -> Result<Arc<View>> {
        let tree = Tree::build(declared)?;
        Ok(self.projection.pin(tree, ViewOptions::default())?)
    }

    fn root(&self, view: &View) -> Result<Roots> {
        Ok(Roots::View(self.session.subtree(&view.id().to_string())?))
    }

    /// The requests since `counted`, which then is now.
    fn requests(&self, counted: &mut Option<Statistics>) -> Requests {
        let now = self.session.statistics();
        let requests = since(counted.as_ref(), &now);
        *counted = Some(now);
        requests
    }
}

/// The server gives a view's inputs back when the kernel has forgotten them. If
/// nobody waited for that, it would be part of what is measured next.
fn wait_until_gone(view: Arc<View>) -> Result<()> {
    let users = Arc::downgrade(&view);
    drop(view);
    let deadline = Instant::now() + FORGETTING_PATIENCE;
    while users.strong_count() > 0 {
        ensure!(Instant::now() < deadline, "a removed view is still in use");
        thread::yield_now();
    }
    Ok(())
}

const FORGETTING_PATIENCE: Duration = Duration::from_secs(5);

fn since(before: Option<&Statistics>, now: &Statistics) -> Requests {
    let new = now.requests.iter().map(|(opcode, count)| {
        let before = before.map_or(0, |before| before.count(*opcode));
        (format!("{opcode:?}").to_uppercase(), count - before)
    });
    new.filter(|(_, count)| *count > 0).collect()
}
