use std::fmt::Write;

use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};

use super::{ArmReport, Report, WorkloadReport};
use crate::arm::Requests;
use crate::machine::Machine;
use crate::manifest_parsing::ManifestReport;
use crate::statistics::Spread;

const LEGEND: &str = "\
Times in milliseconds, minimum / median. Ratios to native, and of programs to
the native program, minimum to minimum / median to median. Requests by our own
counters, from set-up to tear-down; READ is what passthrough saves.
";

pub(super) fn text(report: &Report) -> String {
    let mut text = machine(&report.machine);
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

fn machine(machine: &Machine) -> String {
    let pinned = machine.pinned_to.map_or_else(
        || "not pinned".to_owned(),
        |cpu| format!("all on processor {cpu}"),
    );
    format!(
        "{}, {} x {}, {pinned}, {} descriptors, load {} before and {} after\n",
        machine.kernel,
        machine.processors,
        machine.processor,
        machine.descriptors,
        machine.load_before,
        machine.load_after
    )
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

/// With the first column of words and the others of numbers.
fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
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
        ratio(arm.run_ratio),
        ratio(arm.total_ratio),
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

fn milliseconds(spread: Spread) -> String {
    format!("{:.2} / {:.2}", spread.min, spread.median)
}

fn ratio(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || "1".to_owned(),
        |spread| format!("{:.2} / {:.2}", spread.min, spread.median),
    )
}

fn count(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}
