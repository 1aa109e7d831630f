use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus,
};
use transom_test::InputFile;

use crate::projection::arm::{About, Arm, NATIVE, Sample};
use crate::projection::client::{Roots, Script, now};
use crate::projection::probes::{Alternative, Findings, Scene};
use crate::projection::workload::Workload;

/// The host's tree as it is, with a rule of the kernel's Landlock that lets the
/// action read its inputs and no other file. Names stay visible: what is
/// undeclared is refused, and does not look absent.
#[derive(Debug)]
pub(crate) struct Landlock {
    volumes: Vec<PathBuf>,
    inputs: Vec<InputFile>,
}

impl Landlock {
    pub(crate) fn new(workload: &Workload) -> Result<Self> {
        Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))
            .context("this kernel has no Landlock")?;
        Ok(Self {
            volumes: workload.volumes.clone(),
            inputs: workload.inputs.clone(),
        })
    }

    fn rules(&self) -> Result<RulesetCreated> {
        let mut rules = Ruleset::default()
            .handle_access(AccessFs::from_all(ABI::V1))?
            .create()?;
        for input in &self.inputs {
            let file = PathBeneath::new(PathFd::new(&input.source)?, AccessFs::ReadFile);
            rules = rules.add_rule(file)?;
        }
        Ok(rules)
    }
}

/// Calls `act` in a thread that may do what `rules` let it.
fn restricted<T: Send>(rules: RulesetCreated, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| {
        let act = || {
            let status = rules.restrict_self()?;
            ensure!(
                status.ruleset == RulesetStatus::FullyEnforced,
                "the kernel enforces only a part of the rules"
            );
            act()
        };
        let result = scope.spawn(act).join();
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

impl Arm for Landlock {
    fn name(&self) -> &'static str {
        "Landlock"
    }

    fn base(&self) -> &'static str {
        NATIVE
    }

    fn about(&self) -> About {
        About {
            before: "nothing",
            set_up: "every input is opened for a rule of its own; a thread is started and \
                     restricted",
            tear_down: "the thread has ended",
        }
    }

    fn round(&mut self, script: &Script) -> Result<Sample> {
        let began = now();
        let roots = Roots::open(&self.volumes)?;
        let report = restricted(self.rules()?, || script.play(&roots))?;
        drop(roots);
        let ended = now();
        Ok(Sample {
            set_up: Duration::from_nanos(report.began - began),
            run: Duration::from_nanos(report.ended - report.began),
            tear_down: Duration::from_nanos(ended - report.ended),
            totals: report.totals,
            requests: None,
        })
    }
}

impl Alternative for Landlock {
    fn probe(&mut self, scene: &Scene) -> Result<Findings> {
        let roots = Roots::open(&self.volumes)?;
        let before = scene.before()?;
        let rules = self.rules()?;
        scene.change_the_host()?;
        let add = |_: &Path, _: &Path| bail!("a thread never gets back what it gave up");
        restricted(rules, || scene.look(&roots, &before, add))
    }
}
