//! What happened, as a stream.

use std::time::Duration;

use transom_control::host::{self as wire_host, Error, Events, EventsReply, Result};
use transom_control::{Exchange, Next, Stream};
use transom_host::{Event, EventKind, Heard, Since, VolumeId};
use transom_module::ContainerId;

use super::containers::find;
use super::errors::{not_found, refused};
use super::wire;
use crate::Daemon;

/// Of all containers only root is told: whose an unloaded one was is not known.
pub(super) fn events(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &Events,
) -> Result<Stream<EventsReply, Error>> {
    let caller = daemon.caller(exchange.peer());
    let container = match &call.container {
        Some(text) => Some(find_or_past(daemon, &caller, text)?),
        None if caller.is_root() => None,
        None => {
            return Err(Error::Denied {
                rule: "own containers".into(),
                message: "only root is told of all containers; name one of yours".into(),
            });
        }
    };
    let since = match (&call.stream, call.since) {
        (Some(stream), Some(sequence)) => Since::After {
            stream: stream.parse().map_err(|error| refused(&error))?,
            sequence,
        },
        (None, Some(0)) => Since::Oldest,
        (None, None) => Since::Now,
        _ => {
            return Err(super::errors::invalid(
                "an event is known by its stream and its sequence together",
            ));
        }
    };
    let mut subscription = daemon
        .host
        .events()
        .since(container, since)
        .map_err(|error| refused(&error))?;
    let stream = subscription.stream().to_string();
    let is_resumed = matches!(since, Since::After { .. });
    Ok(Box::new(move |patience: Duration| {
        match subscription.next(patience) {
            Heard::Event(event) => Next::Item(EventsReply {
                event: told(&stream, event),
            }),
            // Who asked for all that is kept knows that there may be more.
            Heard::Gap { .. } if !is_resumed => Next::Nothing,
            Heard::Gap { first_kept } => Next::Failed(Error::Gap {
                first: first_kept,
                message: "events that were asked for are not kept any more; look at the status, \
                          and ask again from there on"
                    .into(),
            }),
            Heard::Nothing => Next::Nothing,
            Heard::End => Next::Failed(not_found("container", "that was unloaded")),
        }
    }))
}

/// A container of the caller's; for root, also one that was unloaded.
fn find_or_past(
    daemon: &Daemon,
    caller: &crate::caller::Caller<'_>,
    text: &str,
) -> Result<ContainerId> {
    match (find(daemon, caller, text), text.parse()) {
        (Err(Error::NotFound { .. }), Ok(id)) if caller.is_root() => Ok(id),
        (found, _) => found,
    }
}

fn told(stream: &str, event: Event) -> wire_host::Event {
    let container = event.container;
    let volume = event.kind.volume().zip(container).map(|(key, container)| {
        let key = key.to_owned();
        VolumeId { container, key }.to_string()
    });
    wire_host::Event {
        stream: stream.to_owned(),
        sequence: event.sequence,
        time: wire::moment(event.at),
        kind: kind(&event.kind),
        message: event.message,
        container: container.map(|container| container.to_string()),
        volume,
        task: event.kind.task().map(|task| task.to_string()),
    }
}

fn kind(kind: &EventKind) -> wire_host::EventKind {
    use wire_host::EventKind as Wire;
    match kind {
        EventKind::Loaded => Wire::Loaded,
        EventKind::Unloaded => Wire::Unloaded,
        EventKind::Blocked => Wire::Blocked,
        EventKind::Degraded => Wire::Degraded,
        EventKind::MemberAppeared => Wire::MemberAppeared,
        EventKind::VolumeCreated { .. } => Wire::VolumeCreated,
        EventKind::VolumeRenamed { .. } => Wire::VolumeRenamed,
        EventKind::VolumeResized { .. } => Wire::VolumeResized,
        EventKind::VolumeRemoved { .. } => Wire::VolumeRemoved,
        EventKind::Mounted { .. } => Wire::Mounted,
        EventKind::Unmounted { .. } => Wire::Unmounted,
        EventKind::Published { .. } => Wire::Published,
        EventKind::Withdrawn { .. } => Wire::Withdrawn,
        EventKind::TaskStarted { .. } => Wire::TaskStarted,
        EventKind::TaskProgress { .. } => Wire::TaskProgress,
        EventKind::TaskEnded { .. } => Wire::TaskEnded,
        EventKind::CacheLimited { .. } => Wire::CacheLimited,
        EventKind::Trouble => Wire::Trouble,
    }
}
