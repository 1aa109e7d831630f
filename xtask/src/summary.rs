use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::report::Report;

/// What to print when all steps are done.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) rows: Vec<Row>,
}

/// One step of it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) step: String,
    pub(crate) result: anyhow::Result<Report>,
    pub(crate) time: Duration,
}

impl Summary {
    /// Whether every step passed, and, if `no_skips`, every test ran.
    pub(crate) fn is_success(&self, no_skips: bool) -> bool {
        let skips = self.reports().any(|report| !report.skipped.is_empty());
        self.rows.iter().all(Row::passed) && !(no_skips && skips)
    }

    fn reports(&self) -> impl Iterator<Item = &Report> {
        self.rows.iter().filter_map(|row| row.result.as_ref().ok())
    }

    fn fmt_failed(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for test in self.reports().flat_map(|report| &report.failed) {
            writeln!(f, "failed: {test}")?;
        }
        Ok(())
    }

    /// Each reason once, with the tests it kept from running.
    fn fmt_skipped(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_reason = BTreeMap::<_, Vec<_>>::new();
        for skip in self.reports().flat_map(|report| &report.skipped) {
            by_reason.entry(&skip.reason).or_default().push(&skip.test);
        }
        for (reason, tests) in by_reason {
            writeln!(f, "skipped: {reason}")?;
            for test in tests {
                writeln!(f, "    {test}")?;
            }
        }
        Ok(())
    }
}

impl Row {
    fn passed(&self) -> bool {
        let report = self.result.as_ref();
        report.is_ok_and(|report| report.failed.is_empty())
    }

    fn outcome(&self) -> &'static str {
        match &self.result {
            Ok(report) if report.run == 0 && !report.skipped.is_empty() => "skipped",
            _ if self.passed() => "passed",
            _ => "FAILED",
        }
    }

    fn notes(&self) -> impl Iterator<Item = (&str, &str)> {
        let notes = self.result.iter().flat_map(|report| &report.notes);
        notes.map(|note| (self.step.as_str(), note.as_str()))
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["step", "result", "time", "run", "failed", "skipped"];
        let [step, result, time, run, failed, skipped] = header;
        writeln!(
            f,
            "{step:<12}{result:<8}{time:>9}{run:>8}{failed:>8}{skipped:>9}"
        )?;
        for row in &self.rows {
            let time = format!("{:.1} s", row.time.as_secs_f64());
            write!(f, "{:<12}{:<8}{time:>9}", row.step, row.outcome())?;
            let count = |count: usize| match count {
                0 => "-".to_owned(),
                _ => count.to_string(),
            };
            match &row.result {
                Ok(report) => writeln!(
                    f,
                    "{:>8}{:>8}{:>9}",
                    count(report.run),
                    count(report.failed.len()),
                    count(report.skipped.len())
                )?,
                Err(_) => writeln!(f)?,
            }
        }
        writeln!(f)?;
        self.fmt_failed(f)?;
        self.fmt_skipped(f)?;
        for (row, note) in self.rows.iter().flat_map(Row::notes) {
            writeln!(f, "note: {row}: {note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::report::Skip;

    fn row(step: &str, result: anyhow::Result<Report>) -> Row {
        Row {
            step: step.into(),
            result,
            time: Duration::from_millis(1234),
        }
    }

    fn skipping() -> Report {
        let skip = |test: &str| Skip {
            test: test.into(),
            reason: "needs root".into(),
        };
        Report {
            skipped: vec![skip("a"), skip("b")],
            notes: vec!["something".into()],
            ..Report::default()
        }
    }

    #[test]
    fn every_skip_failure_and_note_is_printed() {
        let failing = Report {
            run: 12,
            failed: vec!["c".into()],
            ..Report::default()
        };
        let summary = Summary {
            rows: vec![
                row("fmt", Err(anyhow!("unformatted"))),
                row("unit", Ok(failing)),
                row("privileged", Ok(skipping())),
            ],
        };
        assert_eq!(
            summary.to_string(),
            "\
step        result       time     run  failed  skipped
fmt         FAILED      1.2 s
unit        FAILED      1.2 s      12       1        -
privileged  skipped     1.2 s       -       -        2

failed: c
skipped: needs root
    a
    b
note: privileged: something
"
        );
        assert!(!summary.is_success(false));
    }

    #[test]
    fn skips_fail_only_where_they_must_not_happen() {
        let summary = Summary {
            rows: vec![row("privileged", Ok(skipping()))],
        };
        assert!(summary.is_success(false));
        assert!(!summary.is_success(true));
    }
}
