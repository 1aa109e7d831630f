use std::fmt::Write;

use super::{ArmReport, Report, WorkloadReport};
use crate::projection::arm::Requests;
use crate::projection::manifest_parsing::ManifestReport;
use crate::tables::{milliseconds, new_table, ratio};

const LEGEND: &str = "\
Times in milliseconds, minimum / median. Ratios to native, and of programs to
the native program, minimum to minimum / median to median. Requests by our own
counters, from set-up to tear-down; READ is what passthrough saves.
";

pub(super) fn text(report: &Report) -> String {
    let mut text = report.machine.to_text();
    for each in &report.workloads {
        text.push('\n');
        text.push_str(&workload(each));
    }
    if !report.manifests.is_empty() {
        text.push('\n');
        text.push_str(&manifests(&report.manifests));
    }
    text.push('\n');
    text.push_str(LEGEND);
    text
}

fn manifests(manifests: &[ManifestReport]) -> String {
    let mut table = new_table(&["manifest", "MiB", "parse", "tree of names"]);
    for manifest in manifests {
        table.add_row([
            format!("{} entries", manifest.entries),
            format!("{:.1}", manifest.bytes as f64 / f64::from(1 << 20)),
            milliseconds(manifest.parse),
            milliseconds(manifest.build),
        ]);
    }
    format!("{table}\n")
}

fn workload(workload: &WorkloadReport) -> String {
    let mut table = new_table(&[
        "arm",
        "set-up",
        "run",
        "tear-down",
        "total",
        "run ratio",
        "total ratio",
        "READ",
        "requests",
    ]);
    for arm in &workload.arms {
        table.add_row(row(arm));
    }
    let mut text = format!(
        "{}: {}; {} rounds\n{table}\n",
        workload.name, workload.about, workload.rounds
    );
    for arm in &workload.arms {
        details(&mut text, arm);
    }
    for missing in &workload.missing {
        let _ = writeln!(text, "not measured: {missing}");
    }
    text
}

fn row(arm: &ArmReport) -> [String; 9] {
    let read = |requests: &Requests| requests.get("READ").copied().unwrap_or(0);
    let all = |requests: &Requests| requests.values().sum();
    [
        arm.name.to_owned(),
        milliseconds(arm.set_up),
        milliseconds(arm.run),
        milliseconds(arm.tear_down),
        milliseconds(arm.total),
        arm.run_ratio.map_or_else(|| "1".to_owned(), ratio),
        arm.total_ratio.map_or_else(|| "1".to_owned(), ratio),
        count(arm.requests.as_ref().map(read)),
        count(arm.requests.as_ref().map(all)),
    ]
}

fn details(text: &mut String, arm: &ArmReport) {
    if let Some(requests) = &arm.requests {
        let requests: Vec<_> = requests
            .iter()
            .map(|(opcode, count)| format!("{opcode} {count}"))
            .collect();
        if !requests.is_empty() {
            let _ = writeln!(text, "{}: {}", arm.name, requests.join(", "));
        }
    }
    if let Some(kernel) = &arm.kernel_requests {
        let _ = writeln!(
            text,
            "{}, by the kernel's trace: READ {}, all {} ({})",
            arm.name, kernel.read, kernel.total, kernel.text
        );
    }
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
