//! What other tools do to give an action its inputs, beside what we do: what it
//! costs, and what it gets right.

use std::fmt::Write as _;
use std::io::{Write, stderr};

use anyhow::{Context, Result};
use serde::Serialize;

use super::arm::Arm;
use super::arms::{self, Arms, Choice};
use super::probes::{Alternative, Findings, QUESTIONS, Scene};
use super::report::{ArmReport, WorkloadReport};
use super::rounds::Rounds;
use super::volumes::Volumes;
use super::workload::Workload;
use crate::arguments::MeasureArguments;
use crate::machine::Machine;
use crate::tables::{milliseconds, new_table, ratio};

/// What was found out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    cost: WorkloadReport,
    /// By the name of the arm, in the order of the questions.
    right: Vec<(&'static str, Findings)>,
}

/// Measures all of them with the seed's action, and asks what they get right.
pub(crate) fn compare(arguments: &MeasureArguments, mut machine: Machine) -> Result<Report> {
    let choice = Choice::new(arguments);
    let volumes = Volumes::new()?;

    let scene = Scene::new(&volumes)?;
    let mut probed = arms::alternatives(&scene.workload, &volumes, &choice)?;
    let mut right = Vec::new();
    for arm in &mut probed.arms {
        let findings = arm.probe(&scene).with_context(|| arm.name())?;
        right.push((arm.name(), findings));
    }
    drop(probed);

    let workload = Workload::seed(&volumes)?;
    let measured = arms::alternatives(&workload, &volumes, &choice)?;
    let as_arm = |arm: Box<dyn Alternative>| -> Box<dyn Arm> { arm };
    let arms = Arms {
        arms: measured.arms.into_iter().map(as_arm).collect(),
        missing: measured.missing,
    };
    let rounds = Rounds {
        count: arguments.rounds,
        kernel_trace: arguments.kernel_trace,
    };
    let mut progress = |round| {
        let _ = writeln!(stderr(), "round {round} of {}", rounds.count);
    };
    let cost = rounds.measure(&workload, arms, &mut progress)?;
    machine.note_end();
    Ok(Report {
        machine,
        cost,
        right,
    })
}

impl Report {
    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let mut header = vec!["way", "set-up", "run", "tear-down", "total, to native"];
        header.extend(QUESTIONS.iter().map(|(heading, _)| *heading));
        let mut table = new_table(&header);
        for (arm, (_, findings)) in self.cost.arms.iter().zip(&self.right) {
            table.add_row(row(arm, findings));
        }
        let WorkloadReport {
            about,
            rounds,
            missing,
            ..
        } = &self.cost;
        let mut text = format!(
            "{}\n{about}; {rounds} rounds, milliseconds, minimum / median\n{table}\n\n",
            self.machine.to_text()
        );
        for (heading, question) in QUESTIONS {
            let _ = writeln!(text, "{heading}: {question}");
        }
        for missing in missing {
            let _ = writeln!(text, "not measured: {missing}");
        }
        text
    }
}

fn row(arm: &ArmReport, findings: &Findings) -> Vec<String> {
    let mut row = vec![
        arm.name.to_owned(),
        milliseconds(arm.set_up),
        milliseconds(arm.run),
        milliseconds(arm.tear_down),
        arm.total_ratio.map_or_else(|| "1".to_owned(), ratio),
    ];
    let words = findings
        .0
        .iter()
        .map(|right| if *right { "yes" } else { "no" });
    row.extend(words.map(str::to_owned));
    row
}
