//! Long work: started, steered and watched.

use std::time::Duration;

use transom_control::host::{
    self as wire_host, Error, Result, StartJob, Task, TaskEventKind, TaskReply, WatchTask,
    WatchTaskReply,
};
use transom_control::{Exchange, Next, Stream};
use transom_host::{Maintenance, TaskEnd, TaskEvent, TaskId, TaskInfo, TaskState, Tasks};
use transom_module::LoadOptions;

use super::containers::find_ready;
use super::errors::{not_found, refused};
use super::{places, wire};
use crate::caller::Caller;
use crate::{Action, Daemon};

pub(super) fn start_job(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: StartJob,
) -> Result<TaskReply> {
    let caller = daemon.caller(exchange.peer());
    let container = find_ready(daemon, &caller, &call.container)?;
    let options = wire::settings(call.options);
    let started = daemon
        .host
        .start_job(container, &call.kind, options, caller.uid());
    reply(daemon, started.map_err(|error| refused(&error))?)
}

/// Checks or formats resources.
pub(super) fn maintain(
    daemon: &Daemon,
    exchange: &mut Exchange,
    what: Maintenance,
    module: &str,
    resources: &[wire_host::Place],
    options: Vec<wire_host::Setting>,
) -> Result<TaskReply> {
    let peer = exchange.peer().clone();
    let caller = daemon.caller(&peer);
    caller.require(Action::Load)?;
    let host = &daemon.host;
    let resources = places::resources(host, &caller, exchange, Some(module), resources, false)?;
    let options = LoadOptions {
        named: wire::settings(options),
        ..LoadOptions::default()
    };
    let started = host.start_maintenance(what, module, resources, options, caller.uid());
    reply(daemon, started.map_err(|error| refused(&error))?)
}

/// Pauses, resumes or cancels a task.
pub(super) fn steer(
    daemon: &Daemon,
    exchange: &mut Exchange,
    task: &str,
    how: impl FnOnce(&Tasks, TaskId) -> transom_module::Result<()>,
) -> Result<TaskReply> {
    let caller = daemon.caller(exchange.peer());
    let info = find(daemon, &caller, task)?;
    caller.check_steers(info.order.owner)?;
    let task = info.id;
    how(daemon.host.tasks(), task).map_err(|error| refused(&error))?;
    reply(daemon, task)
}

pub(super) fn watch(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &WatchTask,
) -> Result<Stream<WatchTaskReply, Error>> {
    let id = find(daemon, &daemon.caller(exchange.peer()), &call.task)?.id;
    let tasks = daemon.host.tasks().clone();
    let mut watch = tasks.watch(id).map_err(|error| refused(&error))?;
    Ok(Box::new(move |patience: Duration| {
        if !watch.wait(patience) {
            return Next::Nothing;
        }
        let now = match tasks.get(id) {
            Ok(info) => described(&info),
            Err(error) => return Next::Failed(refused(&error)),
        };
        let told = |event, line| WatchTaskReply {
            event,
            task: now,
            line,
        };
        match watch.next() {
            Some(TaskEvent::Started | TaskEvent::State(_)) => {
                Next::Item(told(TaskEventKind::State, None))
            }
            Some(TaskEvent::Progress(_)) => Next::Item(told(TaskEventKind::Progress, None)),
            Some(TaskEvent::Line(line)) => Next::Item(told(TaskEventKind::Log, Some(line))),
            Some(TaskEvent::LinesLost(lost)) => {
                let line = format!("({lost} lines are not kept any more)");
                Next::Item(told(TaskEventKind::Log, Some(line)))
            }
            Some(TaskEvent::Ended(_)) | None => Next::Last(told(TaskEventKind::Ended, None)),
        }
    }))
}

/// The task that the caller means, if it is the caller's.
fn find(daemon: &Daemon, caller: &Caller<'_>, text: &str) -> Result<TaskInfo> {
    let missing = || not_found("task", text);
    let id: TaskId = text.parse().map_err(|_| missing())?;
    let info = daemon.host.tasks().get(id).map_err(|_| missing())?;
    match caller.sees(info.order.owner) {
        true => Ok(info),
        false => Err(missing()),
    }
}

/// A task as the wire has it.
pub(super) fn described(info: &TaskInfo) -> Task {
    let about = &info.order.about;
    let (state, message) = match &info.state {
        TaskState::Running if info.held => (wire_host::TaskState::Paused, None),
        TaskState::Running | TaskState::Pausing | TaskState::Cancelling | TaskState::Suspending => {
            (wire_host::TaskState::Running, None)
        }
        TaskState::Paused => (wire_host::TaskState::Paused, None),
        TaskState::Ended(TaskEnd::Done) => (wire_host::TaskState::Done, None),
        TaskState::Ended(TaskEnd::Cancelled) => (wire_host::TaskState::Cancelled, None),
        TaskState::Ended(TaskEnd::Suspended) => (wire_host::TaskState::Suspended, None),
        TaskState::Ended(TaskEnd::Failed { message, .. }) => {
            (wire_host::TaskState::Failed, Some(message.clone()))
        }
    };
    Task {
        id: info.id.to_string(),
        kind: about.kind.clone(),
        container: about.container.map(|container| container.to_string()),
        module: about.module.clone(),
        state,
        done: info.progress.map_or(0, |progress| progress.done),
        of: info.progress.map_or(0, |progress| progress.of),
        message,
        started: wire::moment(info.started),
        owner: info.order.owner,
    }
}

fn reply(daemon: &Daemon, task: TaskId) -> Result<TaskReply> {
    let info = daemon
        .host
        .tasks()
        .get(task)
        .map_err(|error| refused(&error))?;
    Ok(TaskReply {
        task: described(&info),
    })
}
