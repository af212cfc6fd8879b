//! What is printed: a Markdown table with a row for each fault, and what was found wrong.

use std::fmt;
use std::time::{Duration, SystemTime};

use crate::Violation;
use crate::log::Call;
use crate::rule::Facts;

/// How many violations are printed.
const PRINTED: usize = 20;

/// What came of one fault.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its name.
    pub fault: String,
    /// Jobs inserted while it went on.
    pub jobs: usize,
    /// How long after its end the last of them was settled.
    pub recovered: Duration,
    /// Calls of a job whose target had done it already, each explained by a lost attempt.
    pub duplicates: usize,
    /// Jobs that are not there or have not ended.
    pub lost: usize,
}

impl Row {
    pub(crate) fn of(fault: &str, number: usize, end: SystemTime, facts: &Facts) -> Self {
        let jobs: Vec<_> = facts
            .known
            .iter()
            .filter(|(_, job)| job.fault == number)
            .collect();
        let rows = || jobs.iter().map(|(id, job)| (facts.rows.get(*id), *job));
        let finished = rows().filter_map(|(row, _)| row?.finished_at).max();
        let is_lost = |(row, job): &(Option<&crate::rule::JobRow>, &crate::ledger::Known)| match row
        {
            Some(row) => row.finished_at.is_none(),
            None => job.is_certain,
        };
        Self {
            fault: fault.to_owned(),
            jobs: jobs.len(),
            recovered: finished
                .and_then(|finished| finished.duration_since(end).ok())
                .unwrap_or_default(),
            duplicates: jobs
                .iter()
                .filter_map(|(id, _)| facts.calls.get(*id))
                .map(|calls| duplicates(calls))
                .sum(),
            lost: rows().filter(is_lost).count(),
        }
    }
}

/// How many calls came after one that the target answered with success.
fn duplicates(calls: &[Call]) -> usize {
    let succeeded = calls.iter().position(Call::is_success);
    succeeded.map_or(0, |first| calls.len() - first - 1)
}

/// All rows, and all violations.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One for each fault.
    pub rows: Vec<Row>,
    /// What was found wrong.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Adds a row, and shows it at once.
    pub(crate) fn add(&mut self, row: Row) {
        println!("{row}");
        self.rows.push(row);
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "| {} | {} | {:.1} s | {} | {} |",
            self.fault,
            self.jobs,
            self.recovered.as_secs_f64(),
            self.duplicates,
            self.lost
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "| fault | jobs | recovered within | duplicates (explained) | lost |"
        )?;
        writeln!(formatter, "|---|---|---|---|---|")?;
        for row in &self.rows {
            writeln!(formatter, "{row}")?;
        }
        for violation in self.violations.iter().take(PRINTED) {
            writeln!(formatter, "{violation}")?;
        }
        match self.violations.len() {
            0 => write!(formatter, "nothing is wrong"),
            number => write!(formatter, "{number} things are wrong"),
        }
    }
}
