use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use transom_test::{KernelRequests, RequestCounts, connection_of};

use super::arm::{Arm, View};
use super::workload::Workload;

/// What was found out about one arm.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    pub(crate) times: Vec<Duration>,
    /// What the kernel asked of the server in the round that is not timed.
    /// `None` where there is no server.
    pub(crate) requests: Option<RequestCounts>,
    /// What was seen and made, which must be the same everywhere.
    outcome: Option<(u64, u64)>,
}

/// Runs all arms round by round, so that whatever disturbs the machine for a
/// while disturbs all of them; each round begins with another arm, so that
/// none always follows the same. The first round only counts requests.
pub(crate) fn measure(
    workload: &mut dyn Workload,
    backing: &Path,
    arms: &[Arm],
    rounds: u32,
) -> Result<Vec<Samples>> {
    let mut all: Vec<_> = arms.iter().map(|_| Samples::default()).collect();
    for round in 0..=rounds {
        for turn in 0..arms.len() {
            let index = (turn + round as usize) % arms.len();
            let (arm, samples) = (&arms[index], &mut all[index]);
            let counting = round == 0;
            play(workload, backing, arm, counting, samples).context(arm.name)?;
        }
    }
    let native = all.first().context("no arms")?.outcome;
    for (arm, samples) in arms.iter().zip(&all) {
        let (name, outcome) = (arm.name, samples.outcome);
        ensure!(
            outcome == native,
            "{name} led to {outcome:?}, native to {native:?}"
        );
    }
    Ok(all)
}

/// One round of one arm.
fn play(
    workload: &mut dyn Workload,
    backing: &Path,
    arm: &Arm,
    counting: bool,
    samples: &mut Samples,
) -> Result<()> {
    workload.prepare(backing).context("preparing")?;
    settle(backing)?;
    let view = arm.show(backing)?;
    workload.warm_up(view.root()).context("warming up")?;
    let counter = if counting { count(&view)? } else { None };

    let began = Instant::now();
    let saw = workload.run(view.root())?;
    let took = began.elapsed();

    if let Some(counter) = counter {
        samples.requests = Some(counter.finish()?);
    }
    view.end()?;
    let outcome = (saw, workload.examine(backing).context("examining")?);
    let first = *samples.outcome.get_or_insert(outcome);
    ensure!(
        first == outcome,
        "once it led to {first:?}, then to {outcome:?}"
    );
    if !counting {
        samples.times.push(took);
    }
    Ok(())
}

/// Writes out what one arm has left to be written, so that the next does not
/// wait for it.
fn settle(backing: &Path) -> Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(backing)?)?)
}

fn count(view: &View) -> Result<Option<KernelRequests>> {
    match view {
        View::Native(_) => Ok(None),
        View::Mount { .. } => {
            let connection = connection_of(view.root())?;
            Ok(Some(KernelRequests::watch_many(connection)?))
        }
    }
}
