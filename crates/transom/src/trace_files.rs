//! The files that a trace is written to.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use transom_projection::{TraceReport, shown};

use crate::commands::run::ReportArguments;

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

/// Writes a file that was asked for, if it was.
pub(crate) fn write_to(
    path: Option<&Path>,
    content: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let write = || {
        let mut out = BufWriter::new(File::create(path)?);
        content(&mut out)?;
        out.flush()
    };
    write().with_context(|| format!("cannot write {}", shown(&path)))
}
