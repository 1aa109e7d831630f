use serde::Serialize;

use crate::machine::Machine;
use crate::statistics::Distribution;
use crate::tables::new_table;

/// Everything. Times are in milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(super) machine: Machine,
    /// What was called.
    pub(super) method: String,
    pub(super) parts: Vec<PartReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct PartReport {
    pub(super) name: &'static str,
    /// How many clients called at once.
    pub(super) clients: usize,
    /// How many calls were answered: all.
    pub(super) calls: usize,
    /// Of one call.
    pub(super) latency: Distribution,
}

impl Report {
    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let mut table = new_table(&[
            &self.method,
            "clients",
            "calls",
            "min",
            "median",
            "p99",
            "max",
        ]);
        for part in &self.parts {
            let Distribution {
                min,
                median,
                p99,
                max,
                ..
            } = part.latency;
            let mut row = vec![
                part.name.to_owned(),
                part.clients.to_string(),
                part.calls.to_string(),
            ];
            row.extend([min, median, p99, max].map(|time| format!("{time:.2}")));
            table.add_row(row);
        }
        format!(
            "{}\n{table}\n\nTimes of one call in milliseconds.\n",
            self.machine.to_text()
        )
    }
}
