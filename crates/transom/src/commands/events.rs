//! `transom events`: what happens.

use std::process::ExitCode;

use anyhow::Context;
use transom_control::host::{Event, Events};

use crate::daemon;
use crate::streams::{print_line, print_text};

/// Print what happens to containers, line by line, until interrupted.
///
/// Each event has a stream and a number in it. Whoever remembers the last it has
/// seen can go on from there: nothing is left out, or it is told that something
/// is.
#[derive(Debug, clap::Args)]
pub(crate) struct EventsArguments {
    /// Of this container, by its id, its name or a resource of it; without, of all
    /// (root only).
    container: Option<String>,
    /// Everything after this event, written `STREAM:NUMBER`; `0`: all that is
    /// kept.
    #[arg(long, value_name = "EVENT")]
    since: Option<String>,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn events(arguments: &EventsArguments) -> anyhow::Result<ExitCode> {
    let (stream, since) = match arguments.since.as_deref() {
        None => (None, None),
        Some("0") => (None, Some(0)),
        Some(since) => {
            let event = since.split_once(':').and_then(|(stream, number)| {
                let number = number.parse().ok()?;
                Some((stream.to_owned(), number))
            });
            let (stream, number) =
                event.with_context(|| format!("`{since}` is not an event: STREAM:NUMBER"))?;
            (Some(stream), Some(number))
        }
    };
    let call = Events {
        container: arguments.container.as_deref().map(daemon::named),
        stream,
        since,
    };
    let told = daemon::connect()?
        .more(&call)
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    for reply in told {
        let event = reply.map_err(|error| anyhow::anyhow!("{error}"))?.event;
        match arguments.json {
            true => print_line(serde_json::to_string(&event)?)?,
            false => print_text(line(&event)?)?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn line(event: &Event) -> anyhow::Result<String> {
    let kind = serde_json::to_value(event.kind)?;
    Ok(format!(
        "{}:{} {} {} {}",
        event.stream,
        event.sequence,
        event.container.as_deref().unwrap_or("-"),
        kind.as_str().unwrap_or_default(),
        event.message
    ))
}
