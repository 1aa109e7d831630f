//! A process that serves many views at once, as a build tool would with these
//! crates.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use transom_fuse::{Options, Session};
use transom_module::Invalidation;
use transom_projection::{
    Declaration, HostRoot, Mapping, Origin, Projection, ProjectionOptions, Tree, View, ViewOptions,
    ViewPath,
};
use transom_sandbox::{Action, Exit, Running, Sandbox, Stdio, compose, host_tree, layout};

use crate::world::Engine;

/// One projection, and if its engine is `fuse`, one session that serves it.
pub(crate) struct Host {
    pub(crate) projection: Projection,
    pub(crate) session: Option<Session<Projection>>,
}

impl Host {
    /// Views of the files of this machine.
    pub(crate) fn new(engine: Engine) -> Self {
        Self::below(engine, host_tree().unwrap())
    }

    /// Views of the files below `root`.
    pub(crate) fn below(engine: Engine, root: OwnedFd) -> Self {
        raise_descriptor_limit();
        let projection = Projection::new(HostRoot::at(root), ProjectionOptions::default());
        let session = (engine == Engine::Fuse)
            .then(|| Session::start(projection.volume(), &Options::default()).unwrap());
        Self {
            projection,
            session,
        }
    }

    pub(crate) fn view(&self, declarations: Vec<Declaration>) -> Arc<View> {
        self.view_with(declarations, ViewOptions::default())
    }

    pub(crate) fn view_with(
        &self,
        declarations: Vec<Declaration>,
        options: ViewOptions,
    ) -> Arc<View> {
        let tree = Tree::build(declarations).unwrap();
        self.projection.pin(tree, options).unwrap()
    }

    /// A detached mount tree of the view.
    pub(crate) fn tree(&self, view: &View) -> OwnedFd {
        match &self.session {
            Some(session) => session.subtree(&view.id().to_string()).unwrap(),
            None => compose(view).unwrap().into_tree(),
        }
    }

    /// Tells the kernel what no longer holds.
    pub(crate) fn invalidate(&self, invalidations: &[Invalidation]) {
        if let Some(session) = &self.session {
            session.invalidate(invalidations).unwrap();
        }
    }
}

fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
}

/// A path of a detached tree that this process can use.
pub(crate) fn path_in(tree: &OwnedFd, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd())).join(name)
}

pub(crate) fn file(name: &str, source: impl AsRef<Path>) -> Declaration {
    let mapping = Mapping::File {
        source: source.as_ref().into(),
        executable: None,
    };
    declaration(name, mapping)
}

pub(crate) fn whole(name: &str, source: impl AsRef<Path>) -> Declaration {
    let source = source.as_ref().into();
    declaration(name, Mapping::Directory { source })
}

/// The host's `/usr`, what leads into it, and what every action needs.
pub(crate) fn usual_inputs() -> Vec<Declaration> {
    let links = ["bin", "lib", "lib64"].map(|name| {
        let target = format!("usr/{name}").into();
        declaration(name, Mapping::Symlink { target })
    });
    let points = layout::mount_points(&Action::new(Vec::new()));
    let points = points.into_iter().map(|point| Declaration {
        name: point.path,
        ..declaration("w", Mapping::EmptyDirectory)
    });
    links
        .into_iter()
        .chain([whole("usr", "/usr")])
        .chain(points)
        .collect()
}

fn declaration(name: &str, mapping: Mapping) -> Declaration {
    Declaration {
        name: ViewPath::parse(name.as_bytes()).unwrap(),
        mapping,
        origin: Origin {
            source: "the test".into(),
            line: None,
        },
    }
}

/// An action that is running and can be talked to.
pub(crate) struct Live {
    running: Running,
    input: File,
    output: BufReader<File>,
}

impl Live {
    /// Starts a command in the view whose detached tree `tree` is.
    pub(crate) fn start(tree: OwnedFd, command: &[&str]) -> Self {
        let mut action = Action::new(command.iter().map(Into::into).collect());
        action.environment = vec![("PATH".into(), "/usr/bin:/bin".into())];
        let (stdin, input) = std::io::pipe().unwrap();
        let (output, stdout) = std::io::pipe().unwrap();
        let stdio = Stdio {
            stdin: stdin.into(),
            stderr: stdout.try_clone().unwrap().into(),
            stdout: stdout.into(),
            passed: Vec::new(),
        };
        let sandbox = Sandbox::new(tree, &action, None).unwrap();
        Self {
            running: sandbox.spawn(stdio).unwrap(),
            input: OwnedFd::from(input).into(),
            output: BufReader::new(OwnedFd::from(output).into()),
        }
    }

    /// Waits until the command prints that line.
    #[track_caller]
    pub(crate) fn says(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), expected);
    }

    /// Sends the command a line.
    pub(crate) fn tell(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Writes to the command's standard input.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.input.write_all(bytes).unwrap();
    }

    /// Waits for its end, which has to be a success. Returns what it printed.
    #[track_caller]
    pub(crate) fn finish(self) -> String {
        let Self {
            running,
            input,
            mut output,
        } = self;
        drop(input);
        let mut printed = String::new();
        output.read_to_string(&mut printed).unwrap();
        let finished = running.wait().unwrap();
        assert_eq!(finished.exit, Exit::Exited(0), "{printed}");
        printed
    }

    /// Kills it, and waits until everything of it is gone.
    pub(crate) fn kill(mut self) {
        drop(self.running);
        // Ends when nobody is left who could write.
        self.output.read_to_end(&mut Vec::new()).unwrap();
    }
}
