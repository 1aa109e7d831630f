//! The files that a trace is written to.

use std::io::Write;

use transom_projection::TraceReport;

use crate::commands::run::ReportArguments;
use crate::result_files::write_to;

/// Writes every form of the trace that was asked for.
pub(crate) fn write(
    report: &TraceReport,
    arguments: &ReportArguments,
    target: &str,
) -> anyhow::Result<()> {
    write_to(arguments.trace.as_deref(), |out| {
        serde_json::to_writer_pretty(&mut *out, report)?;
        writeln!(out)
    })?;
    write_to(arguments.unused_inputs_list.as_deref(), |out| {
        report.write_unused_inputs_list(out)
    })?;
    write_to(arguments.trace_depfile.as_deref(), |out| {
        report.write_depfile(target, out)
    })
}
