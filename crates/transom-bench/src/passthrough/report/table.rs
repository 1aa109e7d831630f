use std::fmt::Write;

use super::{ArmReport, Report, WorkloadReport};
use crate::passthrough::arms::OURS;
use crate::tables::{milliseconds, new_table, ratio};

const LEGEND: &str = "\
Times in milliseconds, ratios to native and to the best peer: minimum / median.
Requests by the kernel's trace, in a round that is not timed.
";

pub(super) fn text(report: &Report) -> String {
    let mut text = report.machine.to_text();
    for each in &report.workloads {
        text.push('\n');
        text.push_str(&workload(each, report.rounds));
    }
    let _ = writeln!(text, "\n{}", summary(report));
    for missing in &report.missing {
        let _ = writeln!(text, "not measured: {missing}");
    }
    text.push('\n');
    text.push_str(LEGEND);
    text
}

fn workload(workload: &WorkloadReport, rounds: u32) -> String {
    let mut table = new_table(&["arm", "time", "to native", "to best peer", "requests"]);
    for arm in &workload.arms {
        let requests = arm.requests.as_ref();
        table.add_row([
            arm.name.to_owned(),
            milliseconds(arm.time),
            arm.to_native.map_or_else(|| "1".to_owned(), ratio),
            or_dash(arm.to_best_peer.map(ratio)),
            or_dash(requests.map(|requests| requests.total.to_string())),
        ]);
    }
    let (name, about) = (workload.name, &workload.about);
    let mut text = format!("{name}: {about}. {rounds} rounds\n{table}\n");
    for arm in &workload.arms {
        if let Some(requests) = &arm.requests {
            let _ = writeln!(text, "{}: {}", arm.name, requests.by_opcode);
        }
    }
    text
}

/// All workloads, with ratios only.
fn summary(report: &Report) -> String {
    let Some(first) = report.workloads.first() else {
        return String::new();
    };
    let mut header = vec!["workload", "native, ms"];
    header.extend(first.arms.iter().skip(1).map(|arm| arm.name));
    header.push("transom to best peer");
    let mut table = new_table(&header);
    for workload in &report.workloads {
        let mut row = vec![workload.name.to_owned()];
        row.extend(workload.arms.iter().map(cell));
        let ours = workload.arms.iter().find(|arm| arm.name == OURS);
        row.push(or_dash(ours.and_then(|arm| arm.to_best_peer).map(ratio)));
        table.add_row(row);
    }
    table.to_string()
}

fn cell(arm: &ArmReport) -> String {
    arm.to_native.map_or_else(|| milliseconds(arm.time), ratio)
}

fn or_dash(text: Option<String>) -> String {
    text.unwrap_or_else(|| "-".to_owned())
}
