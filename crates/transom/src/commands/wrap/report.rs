//! What a person wants to know afterwards: a few numbers, and tables.
//!
//! A report is a value; here it is told in the terminal, where each table has
//! only its first rows, and in `html.rs` as a page with all of them.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, Table as Columns, presets};
use transom_projection::{ViewPath, shown};

use super::html;
use crate::exit::End;
use crate::result_files::write_to;
use crate::streams;

/// The most rows of a table that the terminal shows.
const TERMINAL_ROWS_MAX: usize = 10;

/// What was found out.
#[derive(Debug)]
pub(super) struct Report {
    /// What was done, such as `learn`.
    pub(super) what: &'static str,
    /// The command, as messages show it.
    pub(super) command: String,
    /// How it ended.
    pub(super) exit: Exit,
    /// Numbers with what they are.
    pub(super) numbers: Vec<(&'static str, String)>,
    /// What to do or to know, in a sentence each.
    pub(super) notes: Vec<String>,
    pub(super) tables: Vec<Table>,
}

/// How the command ended.
#[derive(Debug)]
pub(super) struct Exit {
    pub(super) is_success: bool,
    pub(super) text: String,
}

impl From<End> for Exit {
    fn from(end: End) -> Self {
        Self {
            is_success: end.code() == 0,
            text: match end {
                End::Code(code) => format!("exit {code}"),
                End::Signal(signal) => format!("signal {signal}"),
            },
        }
    }
}

/// Names that have something in common.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) title: &'static str,
    /// What it means, in a sentence or two.
    pub(super) about: &'static str,
    pub(super) tone: Tone,
    pub(super) columns: &'static [&'static str],
    pub(super) rows: Vec<Vec<Cell>>,
    /// Whether the terminal leaves it out: the page has it, for who looks
    /// something up.
    pub(super) only_on_page: bool,
}

/// How much a table should worry whoever reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Wrong,
    Notable,
    Plain,
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    /// A path or another name, made harmless for terminals.
    Name(String),
    Count(u64),
    Word(&'static str),
}

impl Cell {
    /// A name of a view, at its place.
    pub(super) fn path(path: &ViewPath) -> Self {
        Self::Name(shown(&path.to_absolute()).to_string())
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Name(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Word(word) => (*word).to_owned(),
        }
    }
}

impl Table {
    /// A table of paths and nothing else.
    pub(super) fn of_paths<'a>(
        title: &'static str,
        about: &'static str,
        tone: Tone,
        paths: impl IntoIterator<Item = &'a ViewPath>,
    ) -> Self {
        Self {
            title,
            about,
            tone,
            columns: &["path"],
            rows: paths
                .into_iter()
                .map(|path| vec![Cell::path(path)])
                .collect(),
            only_on_page: false,
        }
    }

    /// The same, left out in the terminal.
    pub(super) fn only_on_page(self) -> Self {
        Self {
            only_on_page: true,
            ..self
        }
    }
}

const HEAD: Style = AnsiColor::Cyan.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();
const NOTABLE: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

impl Report {
    /// Tells it on standard error, and writes the page if one is wanted.
    pub(super) fn tell(&self, quiet: bool, page: Option<&Path>) -> anyhow::Result<()> {
        write_to(page, |out| out.write_all(html::page(self).as_bytes()))?;
        if !quiet {
            let mut text = String::new();
            // Writing to a string cannot fail.
            let _ = self.write(&mut text);
            streams::complain(text);
        }
        Ok(())
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let style = if self.exit.is_success { GOOD } else { BAD };
        let Self { what, command, .. } = self;
        let exit = &self.exit.text;
        writeln!(
            out,
            "{HEAD}transom wrap {what}{HEAD:#} {style}{exit}{style:#} {DIM}{command}{DIM:#}"
        )?;
        let width = self.numbers.iter().map(|(label, _)| label.len()).max();
        for (label, value) in &self.numbers {
            writeln!(out, "  {label:0$}  {value}", width.unwrap_or(0))?;
        }
        for note in &self.notes {
            writeln!(out, "{NOTABLE}{note}{NOTABLE:#}")?;
        }
        let tables = self.tables.iter();
        let mut tables = tables.filter(|table| !table.rows.is_empty() && !table.only_on_page);
        tables.try_for_each(|table| table.write(out))
    }
}

impl Table {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let style = match self.tone {
            Tone::Wrong => BAD,
            Tone::Notable => NOTABLE,
            Tone::Plain => Style::new().bold(),
        };
        let count = self.rows.len();
        writeln!(out, "{style}{}{style:#} ({count})", self.title)?;
        let mut columns = Columns::new();
        columns.load_style(presets::NOTHING);
        for row in self.rows.iter().take(TERMINAL_ROWS_MAX) {
            columns.add_row(row.iter().map(Cell::text));
        }
        for (index, cell) in self.rows.iter().take(1).flatten().enumerate() {
            if let (Cell::Count(_), Some(column)) = (cell, columns.column_mut(index)) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in columns.lines() {
            writeln!(out, " {}", line.trim_end())?;
        }
        if count > TERMINAL_ROWS_MAX {
            writeln!(out, "  {DIM}and {} more{DIM:#}", count - TERMINAL_ROWS_MAX)?;
        }
        Ok(())
    }
}

/// A command as messages show it.
pub(super) fn command_line(command: &[std::ffi::OsString]) -> String {
    let words = command.iter().map(|word| shown(word).to_string());
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_gets_the_first_rows_and_nothing_that_moves_its_cursor() {
        let row = |name: &str, count| vec![Cell::Name(shown(name).to_string()), Cell::Count(count)];
        let rows = (1..=12).map(|count| row("a\x1b[2J", count)).collect();
        let paths = [ViewPath::root()];
        let report = Report {
            what: "learn",
            command: "make".into(),
            exit: Exit {
                is_success: true,
                text: "exit 0".into(),
            },
            numbers: vec![("read", "12".into()), ("absent", "3".into())],
            notes: vec!["Clean first.".into()],
            tables: vec![
                Table {
                    title: "Absent names",
                    about: "",
                    tone: Tone::Plain,
                    columns: &["path", "requests"],
                    rows,
                    only_on_page: false,
                },
                Table::of_paths("Nothing", "", Tone::Wrong, []),
                Table::of_paths("Everything", "", Tone::Plain, &paths).only_on_page(),
            ],
        };
        let mut text = String::new();
        report.write(&mut text).unwrap();
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.starts_with("transom wrap learn exit 0 make\n  read    12\n"));
        let table = "Clean first.\nAbsent names (12)\n";
        assert!(text.contains(table), "{text}");
        assert!(text.ends_with("  and 2 more\n"), "{text}");
        assert!(
            !text.contains('\x1b') && !text.contains("Nothing"),
            "{text}"
        );
    }
}
