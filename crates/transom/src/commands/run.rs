//! `transom run`: one action, from its declaration to its outputs.
//!
//! The order is what matters here. What can be wrong with the declaration is
//! found before anything is made; a user namespace has to be entered before
//! there are threads; what was made on the host's disk is settled before
//! the program ends as the command ended. Views and mounts are descriptors, and
//! end with the program.

mod arguments;
mod outcome;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use transom_control::{Admission, Bytes, Client, Permission, Server, Socket};
use transom_projection::{
    Cover, Declaration, HostRoot, Mapping, OnChange, Projection, ProjectionOptions, TraceReport,
    Tree, View, ViewOptions, ViewPath, WalkEntry, shown,
};
use transom_sandbox::privilege::Privilege;
use transom_sandbox::{Action, PassedFile, Sandbox, Scratch, Stdio};
use transom_view::{Engine, Served, obtain_privilege, owners, tree_for};

pub(crate) use arguments::{
    ActionArguments, DaemonChoice, EngineChoice, InputArguments, OutputArguments, ReportArguments,
    Root, RunArguments, Tmp as TmpChoice,
};

use self::outcome::settle;
use crate::control::{self, OwnView};
use crate::daemon_view::{DaemonView, FoundDaemon};
use crate::declared::Declared;
use crate::engine::{self, Choice, Wishes};
use crate::exit::End;
use crate::progress::Progress;
use crate::run_view::RunView;
use crate::scratch_base::scratch_base;
use crate::signals::HeldSignals;
use crate::streams::print_line;
use crate::summary::{Measured, OutputState, OutputSummary, Summary, Times};
use crate::{covers, exit, kept, report_files, trace_files};

/// Names the descriptor of the control connection to the command.
const CONTROL_FD_VARIABLE: &str = "TRANSOM_CONTROL_FD";

/// What was seen of an action whose view was traced.
pub(crate) struct Traced<'a> {
    pub(crate) action: &'a Action,
    pub(crate) trace: &'a TraceReport,
    pub(crate) end: End,
    /// How many outputs are at their destinations.
    pub(crate) published: usize,
    pub(crate) undeclared_writes: &'a [ViewPath],
    /// How long the command ran.
    pub(crate) time: Duration,
}

/// What is done with a trace.
pub(crate) type Tell<'a> = dyn FnMut(&Traced<'_>) -> anyhow::Result<()> + 'a;

pub(crate) fn run(arguments: &RunArguments) -> ExitCode {
    run_and_tell(arguments, None)
}

/// Traces the view whatever the arguments say, and has the trace told.
pub(crate) fn run_traced(arguments: &RunArguments, tell: &mut Tell<'_>) -> ExitCode {
    run_and_tell(arguments, Some(tell))
}

fn run_and_tell(arguments: &RunArguments, tell: Option<&mut Tell<'_>>) -> ExitCode {
    let mut failure = Summary::default();
    let end = prepare_and_run(arguments, &mut failure, tell).unwrap_or_else(|error| {
        let end = exit::failed(&error);
        failure.exit_code = end.code();
        failure.errors = vec![exit::with_causes(&error)];
        if let Err(error) = failure.tell(&arguments.report) {
            exit::report(&error);
        }
        end
    });
    end.finish()
}

/// Does it all. `failure` is what is told should that fail.
fn prepare_and_run(
    arguments: &RunArguments,
    failure: &mut Summary,
    tell: Option<&mut Tell<'_>>,
) -> anyhow::Result<End> {
    let began = Instant::now();
    // Names and relative paths mean nothing without it.
    std::env::current_dir().context(
        "the current directory cannot be used; if it was deleted, change to another one",
    )?;
    let declared = Declared::from_arguments(arguments)?;
    let outputs = declared.action.outputs.iter();
    failure.outputs = outputs
        .map(|output| OutputSummary::new(output, OutputState::Missing))
        .collect();
    let scratch_base = scratch_base(
        arguments.outputs.scratch.as_deref(),
        &declared.inputs,
        &declared.action,
    );
    kept::check_outputs(arguments, &declared, &scratch_base)?;
    report_files::check(&arguments.report, &declared.action)?;
    let Declared { inputs, mut action } = declared;
    let held_signals = HeldSignals::hold()?;
    let daemon = FoundDaemon::find(arguments.service.daemon)?;
    let privilege = obtain_privilege()?;
    // The action gets the limit we were given, not the one we need.
    action.open_files_limit = raise_descriptor_limit();
    // Early: its caretaker is a copy of this process, which is still small.
    let mut scratch = make_scratch(&scratch_base, arguments, &action)?;

    let bound = inputs.iter().filter(|input| is_bound(input)).count();
    let mut tree = tree_for(inputs, &action)?;
    let covers = covers::of_action(&action);
    tree.cover(covers.clone());
    let on_change = OnChange::from(arguments.service.on_change);
    let options = ViewOptions {
        on_change,
        trace: arguments.report.wants_trace() || tell.is_some(),
        ..ViewOptions::default()
    };
    let wishes = Wishes {
        asked: arguments.service.engine,
        privilege,
        entries: tree.len(),
        needs_fuse: needs_fuse(arguments).or(tell.is_some().then_some("the report")),
    };
    let (choice, view) = match served_by_daemon(daemon, wishes, &tree, &covers, options, arguments)?
    {
        Some((choice, view)) => (choice, Arc::new(view) as Arc<dyn RunView>),
        None => {
            let choice = engine::choose(wishes)?;
            if choice.engine == Engine::Mounts {
                transom_sandbox::check_mounts(bound)?;
            }
            let view = own_view(tree, options, &choice, privilege, arguments)?;
            if arguments.report.dry_run {
                print_view(&view.view, &choice)?;
                return Ok(End::Code(0));
            }
            (choice, Arc::new(view) as Arc<dyn RunView>)
        }
    };

    let mut stdio = Stdio::inherit()?;
    let control = Control::start(arguments, &view, choice.engine, &mut stdio, &mut action)?;
    let sandbox = Sandbox::new(view.input_root()?, &action, scratch.as_mut())?;
    let running = sandbox.spawn(stdio)?;
    let set_up = began.elapsed();
    let passed_on = held_signals.pass_on_to(running.remote())?;
    let finished = running.wait()?;
    drop((passed_on, control));
    failure.exit = finished.exit.into();

    let ended = Instant::now();
    let changed = view.verify()?;
    let outcome = settle(
        &finished,
        &changed,
        on_change,
        &action,
        scratch,
        arguments.outputs.keep_failed,
    )?;
    let trace = view.traced()?;
    // An error of these comes last: what there is to say about the run is said.
    let mut written = Ok(());
    if let Some(trace) = &trace {
        let target = action.outputs.first().map_or_else(
            || "action".into(),
            |output| output.path.as_os_str().to_string_lossy().into_owned(),
        );
        written = trace_files::write(trace, &arguments.report, &target);
    }
    for message in &outcome.errors {
        exit::tell(message);
    }
    if let Some(path) = &outcome.kept {
        exit::tell(&format!(
            "what the command wrote was kept in {}",
            shown(path)
        ));
    }
    for path in &outcome.undeclared {
        exit::tell(&format!("undeclared write: {path}"));
    }
    if let (Some(trace), Some(tell)) = (&trace, tell) {
        let outputs = outcome.outputs.iter();
        let published = outputs.filter(|output| output.state == OutputState::Published);
        tell(&Traced {
            action: &action,
            trace,
            end: outcome.end,
            published: published.count(),
            undeclared_writes: &outcome.undeclared,
            time: finished.phases.run,
        })?;
    }
    written?;
    let summary = Summary {
        exit_code: outcome.end.code(),
        exit: finished.exit.into(),
        errors: outcome.errors,
        outputs: outcome.outputs,
        changed_inputs: changed,
        undeclared_writes: outcome.undeclared,
        kept: outcome.kept.as_ref().map(Bytes::from),
        measured: Some(Measured {
            engine: choice.engine.name(),
            engine_reason: choice.reason,
            passthrough: view.passthrough(),
            declared: view.declared(),
            requests: view.requests(),
            times: Times::new(
                set_up + finished.phases.start,
                finished.phases.run,
                finished.phases.end + ended.elapsed(),
                &finished.usage,
            ),
        }),
        ..Summary::default()
    };
    summary.tell(&arguments.report)?;
    // Only memory and descriptors are left, thousands of them. The end of the
    // program gives them back too, and more quickly than we one by one.
    std::mem::forget(view);
    Ok(outcome.end)
}

/// The view as the daemon serves it, if that is there and the engine is `fuse`.
/// What the daemon refuses is done without it unless it is required: whoever
/// does it then, meets the reason himself.
fn served_by_daemon(
    daemon: Option<FoundDaemon>,
    wishes: Wishes,
    tree: &Tree,
    covers: &[Cover],
    options: ViewOptions,
    arguments: &RunArguments,
) -> anyhow::Result<Option<(Choice, DaemonView)>> {
    let is_required = arguments.service.daemon == DaemonChoice::Require;
    let (Some(daemon), false) = (daemon, arguments.report.dry_run) else {
        return Ok(None);
    };
    let mut choice = engine::choose(Wishes {
        privilege: Privilege::Host,
        needs_fuse: wishes
            .needs_fuse
            .or(is_required.then_some("--daemon require")),
        ..wishes
    })?;
    if choice.engine != Engine::Fuse {
        return Ok(None);
    }
    choice.reason.push_str("; served by the daemon");
    match daemon.serve(tree, covers, options, view_name(arguments)) {
        Ok(view) => Ok(Some((choice, view))),
        Err(error) if is_required => Err(error.context("the daemon does not serve the view")),
        Err(error) => {
            tracing::trace!(error = format!("{error:#}"), "the daemon is not used");
            Ok(None)
        }
    }
}

/// The view as this process serves it; not at all yet for a dry run.
fn own_view(
    tree: Tree,
    options: ViewOptions,
    choice: &Choice,
    privilege: Privilege,
    arguments: &RunArguments,
) -> anyhow::Result<OwnView> {
    let host = HostRoot::at(transom_sandbox::host_tree()?);
    let projection = Projection::new(
        host,
        ProjectionOptions {
            owners: owners(privilege),
            descriptors: None,
        },
    );
    let progress = Progress::of_opening(tree.len());
    let view = projection.pin(tree, options)?;
    drop(progress);
    let served = match arguments.report.dry_run {
        true => Served::Mounts,
        false => Served::start(choice.engine, &projection)?,
    };
    Ok(OwnView {
        name: view_name(arguments),
        view,
        served: Arc::new(served),
        engine: choice.engine.name(),
    })
}

/// Whether the engine `mounts` makes a mount for it.
fn is_bound(input: &Declaration) -> bool {
    matches!(
        input.mapping,
        Mapping::File { .. } | Mapping::Directory { .. }
    )
}

/// Every pinned file takes a descriptor. Failing to get more is no error: the
/// files beyond the limit are pinned by their stamp. Returns the limit that was
/// in force, `None` if there was none.
pub(crate) fn raise_descriptor_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let _ = setrlimit(Resource::Nofile, raised);
    limit.current
}

/// The first option given that only the engine `fuse` can serve.
fn needs_fuse(arguments: &RunArguments) -> Option<&'static str> {
    let RunArguments {
        report, service, ..
    } = arguments;
    let options = [
        (report.trace.is_some(), "--trace"),
        (report.unused_inputs_list.is_some(), "--unused-inputs-list"),
        (report.trace_depfile.is_some(), "--trace-depfile"),
        (service.control_fd.is_some(), "--control-fd"),
        (service.name.is_some(), "--name"),
    ];
    options
        .into_iter()
        .find_map(|(given, option)| given.then_some(option))
}

fn view_name(arguments: &RunArguments) -> String {
    arguments
        .service
        .name
        .clone()
        .unwrap_or_else(|| std::process::id().to_string())
}

/// A scratch directory, if the action writes anywhere on the host's disk.
fn make_scratch(
    base: &Path,
    arguments: &RunArguments,
    action: &Action,
) -> anyhow::Result<Option<Scratch>> {
    if !action.needs_scratch() || arguments.report.dry_run {
        return Ok(None);
    }
    Scratch::sweep(base)?;
    Ok(Some(Scratch::new(base, &action.outputs)?))
}

/// What serves `transom view` and the command's own control connection.
struct Control {
    _server: Option<Server>,
}

impl Control {
    fn start(
        arguments: &RunArguments,
        view: &Arc<dyn RunView>,
        engine: Engine,
        stdio: &mut Stdio,
        action: &mut Action,
    ) -> anyhow::Result<Self> {
        if engine != Engine::Fuse {
            return Ok(Self { _server: None });
        }
        let path = control::socket(&view_name(arguments))?;
        if let Some(number) = arguments.service.control_fd {
            let (ours, theirs) = UnixStream::pair()?;
            let services = Arc::clone(view).services();
            std::thread::Builder::new()
                .name("control-fd".into())
                .spawn(move || {
                    if let Err(error) = services.serve(&ours) {
                        tracing::debug!(%error, "the command's control connection ended");
                    }
                })?;
            stdio.passed.push(PassedFile {
                file: OwnedFd::from(theirs),
                number,
            });
            action
                .environment
                .push((CONTROL_FD_VARIABLE.into(), number.to_string().into()));
        }
        let started = Socket::bind(&path, Permission::OurUser).and_then(|socket| {
            Server::start(socket, Admission::PRIVATE, Arc::clone(view).services())
        });
        match started {
            Ok(server) => Ok(Self {
                _server: Some(server),
            }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let pid = Client::connect_to_own(&path).and_then(|client| client.server());
                let pid = pid.map_or_else(
                    |_| String::new(),
                    |server| format!(" (process {})", server.pid),
                );
                let name = view_name(arguments);
                bail!("a view named {name:?} is running already{pid}; give this one another name")
            }
            Err(error) if arguments.service.name.is_some() => {
                Err(error).with_context(|| format!("cannot listen at {}", shown(&path)))
            }
            Err(error) => {
                tracing::info!(%error, path = %shown(&path), "the view cannot be steered from outside");
                Ok(Self { _server: None })
            }
        }
    }
}

/// What `--dry-run` prints.
fn print_view(view: &View, choice: &Choice) -> anyhow::Result<()> {
    view.walk(|path, entry| match entry {
        WalkEntry::Directory => print_line(format_args!("{path}/")),
        WalkEntry::File(version) => {
            print_line(format_args!("{path} = {}", shown(&version.host_path())))
        }
        WalkEntry::WholeDirectory(directory) => {
            let directory = shown(&directory.path()).to_string();
            print_line(format_args!("{path}/ = {directory}/ (whole)"))
        }
        WalkEntry::Symlink { target } => print_line(format_args!("{path} -> {}", shown(&target))),
    })?;
    print_line(format_args!(
        "engine {} ({})",
        choice.engine.name(),
        choice.reason
    ))
}
