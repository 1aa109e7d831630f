use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use transom_projection::ViewPath;
use transom_sys::launch::{self, Plan, PlannedFile};
use transom_sys::look_ahead;
use transom_sys::mount::{self, Change, Reach};

use crate::error::{Error, Result, host, mounting};
use crate::layout::MountPoint;
use crate::private_directories::PrivateDirectories;
use crate::running::Running;
use crate::{
    Action, Base, Network, Scratch, Stdio, Tmp, device_files, host_base, layout, mixed, privilege,
    walk,
};

/// Where the action searches its program if its environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Everything an action needs, put together and detached. Starting it is all
/// that is left.
#[derive(Debug)]
pub struct Sandbox {
    action: Action,
    root: OwnedFd,
    proc_directory: Option<OwnedFd>,
}

impl Sandbox {
    /// Puts the world of `action` together.
    ///
    /// `view` is a detached, read-only mount tree that nobody else uses. It
    /// contains [`layout::mount_points`](crate::layout::mount_points). An
    /// action without outputs and writable directories needs no `scratch`.
    pub fn new(view: OwnedFd, action: &Action, mut scratch: Option<&mut Scratch>) -> Result<Self> {
        // This process may be the one that serves the view.
        look_ahead(&view, &layout::places(action));
        let view = mixed::mount_scratch(view, action, scratch.as_deref_mut())?;
        let root = match &action.base {
            Base::View => view,
            Base::HostReadOnly {
                mount_at,
                exceptions,
            } => {
                check_not_hidden(mount_at, action)?;
                host_base::around(&view, mount_at, exceptions)?
            }
        };
        mount_private_directories(&root, action, scratch.as_deref())?;
        let proc_directory = action
            .proc
            .then(|| open_mount_point(&root, "proc", "its /proc"))
            .transpose()?;
        Ok(Self {
            action: action.clone(),
            root,
            proc_directory,
        })
    }

    /// Says what is to run, and where in what was put together: for whoever
    /// knows that only now.
    pub fn set_command(
        &mut self,
        command: Vec<OsString>,
        environment: Vec<(OsString, OsString)>,
        working_directory: PathBuf,
    ) {
        self.action.command = command;
        self.action.environment = environment;
        self.action.working_directory = working_directory;
    }

    /// Starts the action.
    pub fn spawn(self, stdio: Stdio) -> Result<Running> {
        stdio.check()?;
        let action = self.action;
        let program = action.command.first().ok_or(Error::NoCommand)?;
        let identity = privilege::identity_maps()?;
        if action.dev {
            let files = [&stdio.stdin, &stdio.stdout, &stdio.stderr];
            device_files::attach_terminal(&self.root, files.map(AsFd::as_fd));
        }
        let plan = Plan {
            root: self.root,
            proc_directory: self.proc_directory,
            mask_proc: identity.maps_initial_root,
            guard_terminal: terminal_can_be_typed_on(),
            share_network: action.network == Network::Host,
            uid_map: identity.uid_map,
            gid_map: identity.gid_map,
            files: planned_files(stdio),
            open_files_limit: action.open_files_limit,
            working_directory: c_string(
                "the working directory",
                action.working_directory.as_os_str(),
            )?,
            candidates: candidates(program, &action.environment)?,
            arguments: action
                .command
                .iter()
                .map(|argument| c_string("an argument", argument))
                .collect::<Result<_>>()?,
            environment: action
                .environment
                .iter()
                .map(|(name, value)| variable(name, value))
                .collect::<Result<_>>()?,
        };
        let child = launch::spawn(plan).map_err(|source| Error::Namespaces { source })?;
        Ok(Running::new(child, action))
    }
}

/// What is private to the action is mounted last, and would hide the view.
fn check_not_hidden(mount_at: &Path, action: &Action) -> Result<()> {
    let hiding = [
        ("/proc", action.proc),
        ("/dev", action.dev),
        ("/tmp", action.tmp != Tmp::AsDeclared),
    ];
    let by = hiding
        .into_iter()
        .find(|(directory, is_private)| *is_private && mount_at.starts_with(directory));
    by.map_or(Ok(()), |(by, _)| {
        Err(Error::ViewHidden {
            path: mount_at.to_owned(),
            by,
        })
    })
}

fn mount_private_directories(
    root: &OwnedFd,
    action: &Action,
    scratch: Option<&Scratch>,
) -> Result<()> {
    let private = match (action.dev, action.tmp) {
        (false, Tmp::Scratch | Tmp::AsDeclared) => None,
        _ => Some(PrivateDirectories::new()?),
    };
    let tmp = match (action.tmp, &private) {
        (Tmp::Private, Some(private)) => Some(private.shared_directory(c"tmp")?),
        (Tmp::Scratch, _) => Some(temporary_directory(scratch)?),
        _ => None,
    };
    if let Some(tmp) = tmp {
        let directory = open_mount_point(root, "tmp", "its /tmp")?;
        mount::attach(tmp, directory, c"").map_err(mounting("/tmp"))?;
    }
    if let (true, Some(private)) = (action.dev, &private) {
        let directory = open_mount_point(root, "dev", "its /dev")?;
        mount::attach(device_files::new(private)?, directory, c"").map_err(mounting("/dev"))?;
    }
    Ok(())
}

fn temporary_directory(scratch: Option<&Scratch>) -> Result<OwnedFd> {
    let scratch = scratch.ok_or_else(|| Error::NoScratch {
        path: ViewPath::parse(b"tmp").unwrap_or_default(),
    })?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    scratch
        .temporary_directory()
        .and_then(|directory| mount::clone(directory, c"", Reach::Mount))
        .and_then(|mount| {
            mount::change(&mount, Reach::Mount, Change::private(attributes))?;
            Ok(mount)
        })
        .map_err(mounting("/tmp"))
}

fn open_mount_point(root: &OwnedFd, name: &str, purpose: &'static str) -> Result<OwnedFd> {
    open_in_root(root, OsStr::new(name), OFlags::DIRECTORY).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => Error::NoMountPoint(MountPoint {
            path: ViewPath::parse(name.as_bytes()).unwrap_or_default(),
            purpose,
            origin: layout::named("the action"),
        }),
        error => host("cannot open", purpose)(error),
    })
}

/// Opens, to mount on it, what `path` is for a process whose root is `root`.
pub(crate) fn open_in_root(
    root: &OwnedFd,
    path: &OsStr,
    kind: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let limits = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    walk::resolve(root, path, OFlags::PATH | kind, limits)
}

/// Whether we have a terminal, and the kernel lets its other users type on it.
fn terminal_can_be_typed_on() -> bool {
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open("/dev/tty", flags, Mode::empty());
    // Without an answer, the worse is assumed.
    let setting = std::fs::read("/proc/sys/dev/tty/legacy_tiocsti");
    terminal.is_ok() && setting.map_or(true, |setting| setting.trim_ascii() != b"0")
}

fn planned_files(stdio: Stdio) -> Vec<PlannedFile> {
    let standard = [(stdio.stdin, 0), (stdio.stdout, 1), (stdio.stderr, 2)];
    let passed = stdio
        .passed
        .into_iter()
        .map(|passed| (passed.file, passed.number));
    standard
        .into_iter()
        .chain(passed)
        .map(|(file, number)| PlannedFile { file, number })
        .collect()
}

/// The paths to try for `program`, as `execvp(3)` does.
fn candidates(program: &OsStr, environment: &[(OsString, OsString)]) -> Result<Vec<CString>> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string("the command", program)?]);
    }
    if program.is_empty() {
        return Ok(Vec::new());
    }
    let path = environment
        .iter()
        .rfind(|(name, _)| name == "PATH")
        .map_or(OsStr::new(DEFAULT_PATH), |(_, value)| value);
    path.as_bytes()
        .split(|byte| *byte == b':')
        .map(|directory| {
            // An empty entry means the working directory.
            let separator: &[u8] = if directory.is_empty() { b"" } else { b"/" };
            let candidate = [directory, separator, program.as_bytes()].concat();
            c_string("the command or PATH", OsStr::from_bytes(&candidate))
        })
        .collect()
}

fn variable(name: &OsStr, value: &OsStr) -> Result<CString> {
    if name.is_empty() || name.as_bytes().contains(&b'=') {
        return Err(Error::VariableName(name.to_owned()));
    }
    let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
    c_string("an environment variable", OsStr::from_bytes(&pair))
}

fn c_string(what: &'static str, text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| Error::Nul {
        what,
        text: text.to_owned(),
    })
}
