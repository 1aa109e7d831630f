//! A report as one page that needs nothing else: no network, no other file.
//!
//! Names are hostile input here as everywhere. They are escaped first for the
//! eye, by `shown`, and then for HTML; the script only ever hides and moves rows
//! that are there.

use std::fmt::Write as _;

use super::report::{Cell, Report, Table, Tone};

/// The most rows of a table that a page holds: browsers take their time with
/// more.
const PAGE_ROWS_MAX: usize = 20_000;

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_page(&mut out, report);
    out
}

fn write_page(out: &mut String, report: &Report) -> std::fmt::Result {
    let command = escaped(&report.command);
    let what = report.what;
    let exit = escaped(&report.exit.text);
    let class = if report.exit.is_success {
        "good"
    } else {
        "wrong"
    };
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>transom wrap {what}: {command}</title>\n\
         <style>\n{STYLE}</style>\n\
         <h1>transom wrap {what} <span class=\"{class}\">{exit}</span></h1>\n\
         <pre>{command}</pre>"
    )?;
    writeln!(out, "<dl>")?;
    for (label, value) in &report.numbers {
        writeln!(out, "<dt>{}<dd>{}", escaped(label), escaped(value))?;
    }
    writeln!(out, "</dl>")?;
    for note in &report.notes {
        writeln!(out, "<p class=\"notable\">{}", escaped(note))?;
    }
    for table in &report.tables {
        write_table(out, table)?;
    }
    writeln!(out, "<script>\n{SCRIPT}</script>")
}

fn write_table(out: &mut String, table: &Table) -> std::fmt::Result {
    let class = match table.tone {
        Tone::Wrong => "wrong",
        Tone::Notable => "notable",
        Tone::Plain => "plain",
    };
    let (title, about) = (escaped(table.title), escaped(table.about));
    let count = table.rows.len();
    let is_open = count > 0 && !table.only_on_page;
    let open = if is_open { " open" } else { "" };
    writeln!(
        out,
        "<details{open}>\n<summary class=\"{class}\">{title} <small>{count}</small></summary>\n\
         <p>{about}"
    )?;
    if count > PAGE_ROWS_MAX {
        writeln!(out, "<p>The first {PAGE_ROWS_MAX} of {count} are shown.")?;
    }
    if count > 0 {
        writeln!(
            out,
            "<input type=\"search\" placeholder=\"filter\">\n<table>\n<thead><tr>"
        )?;
        for column in table.columns {
            writeln!(out, "<th>{}", escaped(column))?;
        }
        writeln!(out, "<tbody>")?;
        for row in table.rows.iter().take(PAGE_ROWS_MAX) {
            write!(out, "<tr>")?;
            for cell in row {
                let class = match cell {
                    Cell::Name(_) => "name",
                    Cell::Count(_) => "count",
                    Cell::Word(_) => "word",
                };
                write!(out, "<td class=\"{class}\">{}", escaped(&cell.text()))?;
            }
            writeln!(out)?;
        }
        writeln!(out, "</table>")?;
    }
    writeln!(out, "</details>")
}

/// Text that is nothing but text, wherever it stands.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::report::Exit;
    use super::*;

    #[test]
    fn names_are_text_and_nothing_is_fetched() {
        let evil = "</td><script src=\"http://x\">'&";
        let report = Report {
            what: "learn",
            command: evil.into(),
            exit: Exit {
                is_success: false,
                text: "exit 1".into(),
            },
            numbers: vec![("read", evil.into())],
            notes: vec![evil.into()],
            tables: vec![Table {
                title: "Absent names",
                about: "Nobody has them.",
                tone: Tone::Wrong,
                columns: &["path", "requests"],
                rows: vec![vec![Cell::Name(evil.into()), Cell::Count(3)]],
                only_on_page: false,
            }],
        };
        let page = page(&report);
        assert!(!page.contains("<script src"), "{page}");
        assert_eq!(page.matches("<script").count(), 1);
        let text = "&lt;/td&gt;&lt;script src=&quot;http://x&quot;&gt;&#39;&amp;";
        // Title, heading, number, note, row.
        assert_eq!(page.matches(text).count(), 5);
        for fetching in ["src=\"", "href=", "url(", "@import", "fetch("] {
            assert!(!page.contains(fetching), "{fetching}");
        }
    }
}
