//! The report: a Markdown table with a row for each fault, and the violations.

use std::fmt;
use std::time::{Duration, SystemTime};

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use crate::Violation;
use crate::log::Call;
use crate::rule::Facts;

/// How many violations are printed.
const MAX_PRINTED: usize = 20;

/// The result of one fault.
#[derive(Debug, Clone)]
pub struct Row {
    /// The fault's name.
    pub fault: String,
    /// Jobs inserted during the fault.
    pub jobs: usize,
    /// The time from the end of the fault until the last of these jobs finished.
    pub recovered: Duration,
    /// Calls of a job that had succeeded already, which is only allowed after a lost attempt.
    pub duplicates: usize,
    /// Jobs that are missing or unfinished.
    pub lost: usize,
}

impl Row {
    pub(crate) fn of(fault: &str, number: usize, end: SystemTime, facts: &Facts) -> Self {
        let mut row = Self {
            fault: fault.to_owned(),
            jobs: 0,
            recovered: Duration::ZERO,
            duplicates: 0,
            lost: 0,
        };
        for (id, job) in &facts.inserted {
            if job.fault != number {
                continue;
            }
            row.jobs += 1;
            row.duplicates += facts.calls.get(id).map_or(0, |calls| duplicates(calls));
            let stored = facts.rows.get(id);
            match stored.and_then(|stored| stored.finished_at) {
                Some(at) => {
                    let after = at.duration_since(end).unwrap_or_default();
                    row.recovered = row.recovered.max(after);
                }
                // An insert that was never confirmed may have been rolled back.
                None => row.lost += usize::from(stored.is_some() || job.is_committed),
            }
        }
        row
    }

    fn cells(&self) -> [String; 5] {
        [
            self.fault.clone(),
            self.jobs.to_string(),
            format!("{:.1} s", self.recovered.as_secs_f64()),
            self.duplicates.to_string(),
            self.lost.to_string(),
        ]
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [fault, jobs, recovered, duplicates, lost] = self.cells();
        write!(
            formatter,
            "{fault}: {jobs} jobs, recovered after {recovered}, {duplicates} duplicates, {lost} lost"
        )
    }
}

/// The number of calls after the first one that succeeded.
fn duplicates(calls: &[Call]) -> usize {
    let succeeded = calls.iter().position(Call::is_success);
    succeeded.map_or(0, |first| calls.len() - first - 1)
}

/// The results of all faults.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One row for each fault.
    pub rows: Vec<Row>,
    /// All broken promises.
    pub violations: Vec<Violation>,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_preset(ASCII_MARKDOWN)
            .set_header([
                "fault",
                "jobs",
                "recovered after",
                "duplicates (explained)",
                "lost",
            ])
            .add_rows(self.rows.iter().map(Row::cells));
        writeln!(formatter, "{table}")?;
        for violation in self.violations.iter().take(MAX_PRINTED) {
            writeln!(formatter, "{violation}")?;
        }
        match self.violations.len() {
            0 => write!(formatter, "no violations"),
            1 => write!(formatter, "1 violation"),
            number => write!(formatter, "{number} violations"),
        }
    }
}
