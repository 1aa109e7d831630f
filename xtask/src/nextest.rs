//! Runs tests with nextest and reads its report.
//!
//! A test that cannot run on this machine passes, after printing a line
//! `skipped: <reason>`: the test harness has no third outcome. The report that
//! nextest writes for machines (JUnit's XML) holds what each test printed.

use anyhow::{Context, Result, anyhow, bail};
use roxmltree::{Document, Node};
use xshell::{Cmd, Shell};

use crate::report::{Report, Skip};

/// Where `.config/nextest.toml` has the report written.
const REPORT: &str = "target/nextest/default/junit.xml";

/// Runs `command`, a `cargo nextest run`. Failed tests make a report with
/// failures; an error is what prevented them from running.
pub(crate) fn run(shell: &Shell, command: Cmd<'_>) -> Result<Report> {
    shell.remove_path(REPORT)?;
    let result = command.args(["--no-tests", "pass"]).run();
    if !shell.path_exists(REPORT) {
        // No test was run: either none was chosen, or they do not build.
        return Ok(result.map(|()| Report::default())?);
    }
    let report = parse(&shell.read_file(REPORT)?).with_context(|| format!("reading {REPORT}"))?;
    if let (Err(error), true) = (result, report.failed.is_empty()) {
        bail!(error);
    }
    Ok(report)
}

fn parse(xml: &str) -> Result<Report> {
    let document = Document::parse(xml)?;
    let mut report = Report::default();
    for case in elements(document.root(), "testcase") {
        let attribute = |name| {
            case.attribute(name)
                .ok_or_else(|| anyhow!("a test without {name}"))
        };
        let test = format!("{} {}", attribute("classname")?, attribute("name")?);
        let printed = elements(case, "system-out").filter_map(|output| output.text());
        if elements(case, "failure")
            .chain(elements(case, "error"))
            .next()
            .is_some()
        {
            report.run += 1;
            report.failed.push(test);
        } else if let Some(reason) = printed.flat_map(str::lines).find_map(skip_reason) {
            let reason = reason.to_owned();
            report.skipped.push(Skip { test, reason });
        } else {
            report.run += 1;
        }
    }
    Ok(report)
}

fn elements<'a>(node: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    node.descendants()
        .filter(move |node| node.has_tag_name(name))
}

/// The reason in a line `skipped: <reason>`. On a machine with one processor
/// the test harness has begun the line with `test <name> ... `.
fn skip_reason(line: &str) -> Option<&str> {
    let (before, reason) = line.split_once("skipped: ")?;
    (before.is_empty() || before.ends_with(" ... ")).then_some(reason.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_run_failed_and_skipped_apart() {
        let report = parse(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run">
  <testsuite name="transom-fuse::it">
    <testcase name="passes" classname="transom-fuse::it"><system-out>nothing was skipped: true</system-out></testcase>
    <testcase name="fails" classname="transom-fuse::it">
      <failure type="test failure">x</failure><system-out>skipped: no</system-out>
    </testcase>
    <testcase name="a::skips" classname="transom-fuse::it">
      <system-out>
running 1 test
skipped: needs root to &lt;mount&gt;
test a::skips ... ok</system-out>
    </testcase>
    <testcase name="skips" classname="transom-fuse"><system-out>test skips ... skipped: no xfs</system-out></testcase>
  </testsuite>
</testsuites>"#,
        )
        .unwrap();
        let skip = |test: &str, reason: &str| Skip {
            test: test.into(),
            reason: reason.into(),
        };
        assert_eq!(
            report,
            Report {
                run: 2,
                failed: vec!["transom-fuse::it fails".into()],
                skipped: vec![
                    skip("transom-fuse::it a::skips", "needs root to <mount>"),
                    skip("transom-fuse skips", "no xfs"),
                ],
                notes: Vec::new(),
            }
        );
    }
}
