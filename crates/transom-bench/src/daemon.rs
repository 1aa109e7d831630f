//! What many views and volumes cost a daemon, and whether it stays as it is.
//!
//! A real daemon gets views and volumes, all of which are read from and stay
//! (`views`, `volumes`). Beside them views come and go, and at last everything is
//! given back. After each stage the daemon is looked at from outside
//! (`footprint`): what it has at the end has to be what it had at the beginning,
//! and while views only come and go its memory must not grow (`report`).

mod footprint;
mod process;
mod report;
mod views;
mod volumes;

use anyhow::Result;

use crate::arguments::MeasureArguments;
use crate::machine::Machine;
use crate::programs;
use footprint::Counts;
use process::Daemon;
use report::{Stages, Times};
use views::Views;
use volumes::Volumes;

pub(crate) use report::Report;

/// Views that come and go before anything counts. The daemon starts threads and
/// fills pools then that it keeps.
const WARMING_VIEWS: usize = 200;

/// Volumes that do.
const WARMING_VOLUMES: u64 = 2;

/// How often the daemon is looked at while views come and go.
const SAMPLES: u64 = 10;

/// Measures the `transom` beside this program, or the one that was named.
pub(crate) fn run(arguments: &MeasureArguments, mut machine: Machine) -> Result<Report> {
    let program = programs::transom(arguments.transom.as_deref())?;
    let daemon = Daemon::start(&program)?;
    let mut views = Views::new(&daemon)?;
    let begun = warm_up(&daemon, &mut views)?;
    let mut stages = Stages::new(&daemon);
    let empty = stages.add("empty".into())?;

    let mut times = Times::default();
    for _ in 0..arguments.views {
        views.make(&mut times)?;
    }
    let with_views = stages.add(format!("{} views", arguments.views))?;
    let volumes = Volumes::make(&daemon, arguments.volumes, &mut times)?;
    let with_all = stages.add(format!("and {} volumes", arguments.volumes))?;

    let mut times_beside = Times::default();
    let mut samples = Vec::new();
    for sample in 1..=SAMPLES {
        for _ in 0..arguments.cycles / SAMPLES {
            views.come_and_go(&mut times_beside)?;
        }
        let cycles = arguments.cycles / SAMPLES * sample;
        samples.push(stages.add(format!("after {cycles} that came and went"))?);
    }

    volumes.remove(&mut times)?;
    stages.add("without the volumes".into())?;
    views.discard_all(&mut times)?;
    let ended = daemon.settled_as(begun)?;
    stages.add("and without the views".into())?;
    let stages = stages.into_inner();
    daemon.end()?;

    let mut failures = ended.differences(begun);
    failures.extend(report::growth(&samples));
    machine.note_end();
    Ok(Report {
        machine,
        stages,
        memory_of_view: with_views.memory_more_than(empty) / arguments.views,
        memory_of_volume: with_all.memory_more_than(with_views) / arguments.volumes,
        times: times.into_distributions(),
        times_beside: times_beside.into_distributions(),
        failures,
    })
}

/// Some volumes and views that come and go; what is left then counts as nothing.
fn warm_up(daemon: &Daemon, views: &mut Views) -> Result<Counts> {
    let unimportant = &mut Times::default();
    Volumes::make(daemon, WARMING_VOLUMES, unimportant)?.remove(unimportant)?;
    for _ in 0..WARMING_VIEWS {
        views.come_and_go(unimportant)?;
    }
    daemon.settled()
}
