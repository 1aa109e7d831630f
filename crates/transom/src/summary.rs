//! What is told when an action has ended.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use transom_control::Bytes;
use transom_fuse::{Opcode, Statistics};
use transom_projection::{ChangedInput, ViewPath, ViewStatistics, shown};
use transom_sandbox::{Exit, Output, Usage};

use crate::commands::run::ReportArguments;
use crate::result_files::write_to;
use crate::streams;

/// What became of one run. Its fields are the JSON of `--json`, which
/// `docs/summary.md` describes.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    /// Version of this format.
    pub(crate) format: u32,
    /// What `transom` ends with, as a shell has it.
    pub(crate) exit_code: u8,
    pub(crate) exit: ExitSummary,
    /// What is wrong, as it was printed.
    pub(crate) errors: Vec<String>,
    /// In the order of declaration.
    pub(crate) outputs: Vec<OutputSummary>,
    /// Inputs that are not what they were when the view was made.
    pub(crate) changed_inputs: Vec<ChangedInput>,
    /// Names written in scratch that are not declared.
    pub(crate) undeclared_writes: Vec<ViewPath>,
    /// Where the scratch directory was kept.
    pub(crate) kept: Option<Bytes>,
    /// Present if there was a view and the command ran in it.
    #[serde(flatten)]
    pub(crate) measured: Option<Measured>,
}

impl Default for Summary {
    fn default() -> Self {
        Self {
            format: 1,
            exit_code: 0,
            exit: ExitSummary::NotRun,
            errors: Vec::new(),
            outputs: Vec::new(),
            changed_inputs: Vec::new(),
            undeclared_writes: Vec::new(),
            kept: None,
            measured: None,
        }
    }
}

/// One run, in numbers.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) engine: &'static str,
    /// Why this engine.
    pub(crate) engine_reason: String,
    /// Whether the kernel reads the host files itself.
    pub(crate) passthrough: bool,
    pub(crate) declared: ViewStatistics,
    /// `None` if the daemon served the view, which counts those of all together.
    pub(crate) requests: Option<Requests>,
    pub(crate) times: Times,
}

/// How the command ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(crate) enum ExitSummary {
    Exited { code: u8 },
    Signalled { signal: i32 },
    TimedOut,
    NotRun,
}

impl From<Exit> for ExitSummary {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Exited(code) => Self::Exited { code },
            Exit::Signalled { signal, .. } => Self::Signalled { signal },
            Exit::TimedOut => Self::TimedOut,
        }
    }
}

/// What became of a declared output.
#[derive(Debug, Serialize)]
pub(crate) struct OutputSummary {
    /// Bytes that are no text as `{"base64": ...}`, as everywhere.
    name: Bytes,
    /// Absolute and without detours.
    destination: Bytes,
    pub(crate) state: OutputState,
    #[serde(skip)]
    path: PathBuf,
}

impl OutputSummary {
    pub(crate) fn new(output: &Output, state: OutputState) -> Self {
        let path = direct(&output.destination);
        Self {
            name: Bytes::from(output.path.as_os_str()),
            destination: Bytes::from(&path),
            state,
            path,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OutputState {
    /// It is at its destination.
    Published,
    /// The action did not make it.
    Missing,
    /// What the action made of it is in the scratch directory that was kept.
    Kept,
    /// What the action made of it is gone.
    Discarded,
}

/// What reached our process.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Requests {
    pub(crate) total: u64,
    pub(crate) read: u64,
    pub(crate) by_opcode: std::collections::BTreeMap<String, u64>,
    pub(crate) passthrough_opens: u64,
    pub(crate) served_opens: u64,
    pub(crate) bytes_served: u64,
}

impl From<&Statistics> for Requests {
    fn from(statistics: &Statistics) -> Self {
        Self {
            total: statistics.total(),
            read: statistics.count(Opcode::Read),
            by_opcode: statistics
                .requests
                .iter()
                .map(|(opcode, count)| (name(*opcode), *count))
                .collect(),
            passthrough_opens: statistics.passthrough_opens,
            served_opens: statistics.served_opens,
            bytes_served: statistics.bytes_read,
        }
    }
}

/// The kernel's name of an opcode, as its documentation and traces have it.
fn name(opcode: Opcode) -> String {
    format!("{opcode:?}").to_uppercase()
}

/// Times in microseconds, and what the command used.
#[derive(Debug, Serialize)]
pub(crate) struct Times {
    pub(crate) set_up_us: u64,
    pub(crate) run_us: u64,
    pub(crate) tear_down_us: u64,
    pub(crate) user_us: u64,
    pub(crate) system_us: u64,
}

impl Times {
    pub(crate) fn new(set_up: Duration, run: Duration, tear_down: Duration, usage: &Usage) -> Self {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            set_up_us: us(set_up),
            run_us: us(run),
            tear_down_us: us(tear_down),
            user_us: usage.user_us,
            system_us: usage.system_us,
        }
    }
}

const HEAD: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const DIM: Style = Style::new().dimmed();

impl Summary {
    /// Prints or writes the summary as the user wants it. Unasked, people get
    /// a short one, and programs none. A run that failed has none for people:
    /// they have been told.
    pub(crate) fn tell(&self, wanted: &ReportArguments) -> anyhow::Result<()> {
        let text = if wanted.json {
            serde_json::to_string_pretty(self)? + "\n"
        } else if self.measured.is_none() && wanted.report.is_none() {
            return Ok(());
        } else if wanted.stats || wanted.report.is_some() {
            self.render(true)
        } else if !wanted.quiet && std::io::stderr().is_terminal() {
            self.render(false)
        } else {
            return Ok(());
        };
        match &wanted.report {
            Some(path) => write_to(Some(path), |out| {
                write!(out, "{}", anstream::adapter::strip_str(&text))
            })?,
            None => streams::complain(text),
        }
        Ok(())
    }

    /// The lines people see. With `details`, all requests by opcode.
    fn render(&self, details: bool) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut text, details);
        text
    }

    fn write(&self, out: &mut String, details: bool) -> std::fmt::Result {
        let exit = match self.exit {
            ExitSummary::Exited { code: 0 } => format!("{GOOD}exit 0{GOOD:#}"),
            ExitSummary::Exited { code } => format!("{BAD}exit {code}{BAD:#}"),
            ExitSummary::Signalled { signal } => format!("{BAD}signal {signal}{BAD:#}"),
            ExitSummary::TimedOut => format!("{BAD}out of time{BAD:#}"),
            ExitSummary::NotRun => format!("{BAD}not run{BAD:#}"),
        };
        let Some(measured) = &self.measured else {
            return writeln!(out, "{HEAD}transom{HEAD:#} {exit}");
        };
        let Times {
            set_up_us,
            run_us,
            tear_down_us,
            ..
        } = measured.times;
        writeln!(
            out,
            "{HEAD}transom{HEAD:#} {exit} in {} {DIM}(set-up {}, run {}, tear-down {}){DIM:#}",
            duration(set_up_us + run_us + tear_down_us),
            duration(set_up_us),
            duration(run_us),
            duration(tear_down_us),
        )?;
        let declared = &measured.declared;
        let mut parts = vec![format!(
            "{} ({})",
            counted(declared.files, "file", "files"),
            bytes(declared.file_bytes)
        )];
        let others = [
            (
                declared.whole_directories,
                "whole directory",
                "whole directories",
            ),
            (declared.symlinks, "symlink", "symlinks"),
        ];
        parts.extend(
            others
                .into_iter()
                .filter(|(count, ..)| *count > 0)
                .map(|(count, one, many)| counted(count, one, many)),
        );
        writeln!(out, "  declared  {}", parts.join(", "))?;
        writeln!(
            out,
            "  engine    {} {DIM}({}){DIM:#}",
            measured.engine, measured.engine_reason
        )?;
        if let Some(requests) = measured
            .requests
            .as_ref()
            .filter(|_| measured.engine == "fuse")
        {
            let style = if requests.read == 0 { GOOD } else { BAD };
            writeln!(
                out,
                "  requests  {}, of them {style}READ {}{style:#}; opens {} by the kernel, {} by transom",
                requests.total, requests.read, requests.passthrough_opens, requests.served_opens
            )?;
            if !measured.passthrough {
                writeln!(
                    out,
                    "            reads pass through transom: passthrough needs CAP_SYS_ADMIN"
                )?;
            }
        } else if measured.requests.is_none() {
            let reader = match measured.passthrough {
                true => "the kernel, through the daemon",
                false => "the daemon, which has no passthrough",
            };
            writeln!(out, "  reads     by {reader}")?;
        } else {
            writeln!(
                out,
                "  requests  {GOOD}0{GOOD:#}: the kernel does everything"
            )?;
        }
        for output in &self.outputs {
            if output.state == OutputState::Published {
                let path = from_here(&output.path);
                writeln!(out, "  {GOOD}output{GOOD:#}    {}", shown(&path))?;
            }
        }
        for input in self.changed_inputs.iter().filter(|input| !input.is_wrong()) {
            writeln!(out, "  touched   {}", input.path)?;
        }
        for name in &self.undeclared_writes {
            writeln!(out, "  {BAD}undeclared write{BAD:#} {name}")?;
        }
        if let Some(path) = self.kept.as_ref().and_then(|path| path.as_path().to_str()) {
            writeln!(out, "  kept      {}", shown(path))?;
        }
        if details {
            measured.write_requests(out)?;
        }
        Ok(())
    }
}

impl Measured {
    fn write_requests(&self, out: &mut String) -> std::fmt::Result {
        let Some(counted) = self
            .requests
            .as_ref()
            .filter(|counted| !counted.by_opcode.is_empty())
        else {
            return Ok(());
        };
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_header(["request", "count"]);
        let mut requests: Vec<_> = counted.by_opcode.iter().collect();
        requests.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
        for (name, count) in requests {
            table.add_row([name.clone(), count.to_string()]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for line in table.lines() {
            writeln!(out, " {}", line.trim_end())?;
        }
        writeln!(
            out,
            "  {} served by transom, user {}, system {}",
            bytes(counted.bytes_served),
            duration(self.times.user_us),
            duration(self.times.system_us)
        )
    }
}

/// `path` without detours.
fn direct(path: &Path) -> PathBuf {
    let above = path.ancestors().skip(1);
    let mut direct = above.filter_map(|directory| {
        let below = path.strip_prefix(directory).ok()?;
        Some(directory.canonicalize().ok()?.join(below))
    });
    direct.next().unwrap_or_else(|| path.to_owned())
}

/// `path`, relative if it lies below the current directory.
fn from_here(path: &Path) -> &Path {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path)
}

/// A number with the noun it counts.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A time in microseconds, as people read it.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

fn bytes(count: u64) -> String {
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{:.1} KiB", count as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(duration(999), "999 us");
        assert_eq!(duration(1_500), "1.5 ms");
        assert_eq!(duration(2_250_000), "2.25 s");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(30 << 20), "30.0 MiB");
    }
}
