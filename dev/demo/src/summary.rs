//! The summary at the end of the demo.

use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::queue::{FileTotals, Totals};

/// The results of the demo.
pub(super) struct Summary<'a> {
    pub(super) totals: &'a Totals,
    pub(super) workers: i32,
    /// The time that the stack took to start.
    pub(super) start_time: Duration,
}

impl Totals {
    /// Whether every job succeeded, with no more calls in flight than workers.
    pub(super) fn is_success(&self, workers: i32) -> bool {
        self.files
            .iter()
            .all(|file| file.successful == file.sections)
            && self.max_calls_in_flight <= workers.into()
    }

    fn sum(&self, count: impl Fn(&FileTotals) -> i64) -> i64 {
        self.files.iter().map(count).sum()
    }
}

impl Summary<'_> {
    /// The summary as tables.
    pub(super) fn text(&self) -> String {
        format!(
            "{}\n\n{}\n\n{}",
            self.files(),
            self.overall(),
            self.longest()
        )
    }

    fn files(&self) -> String {
        let mut table = table(&["file", "sections", "successful", "calls", "retries"]);
        let row = |name: &str, sections: i64, successful: i64, calls: i64| {
            [
                name.to_owned(),
                sections.to_string(),
                successful.to_string(),
                calls.to_string(),
                (calls - sections).to_string(),
            ]
        };
        for file in &self.totals.files {
            table.add_row(row(&file.name, file.sections, file.successful, file.calls));
        }
        if self.totals.files.len() > 1 {
            let totals = self.totals;
            let (sections, successful) = (totals.sum(|f| f.sections), totals.sum(|f| f.successful));
            table.add_row(row("all", sections, successful, totals.sum(|f| f.calls)));
        }
        align_right(&mut table, 1..5);
        lines(&table)
    }

    fn overall(&self) -> String {
        let totals = self.totals;
        let jobs = totals.sum(|file| file.sections);
        let calls = totals.sum(|file| file.calls);
        let mut table = Table::new();
        table.load_preset(NOTHING);
        let answers: Vec<String> = totals
            .statuses
            .iter()
            .map(|(status, number)| match status {
                0 => format!("{number} without an answer"),
                429 => format!("{number} answered 429 with retry-after"),
                _ => format!("{number} answered {status}"),
            })
            .collect();
        let rate = jobs as f64 / totals.seconds.max(0.001);
        table.add_row(["workers", &self.workers.to_string()]);
        table.add_row([
            "in flight",
            &format!(
                "at most {}, as counted by the target function",
                totals.max_calls_in_flight
            ),
        ]);
        table.add_row(["attempts", &format!("{calls}: {}", answers.join(", "))]);
        table.add_row(["retries", &(calls - jobs).to_string()]);
        table.add_row([
            "time",
            &format!(
                "{:.1} s, {rate:.1} jobs/s; the stack started in {:.1} s",
                totals.seconds,
                self.start_time.as_secs_f64()
            ),
        ]);
        lines(&table)
    }

    fn longest(&self) -> String {
        let mut table = table(&[
            "longest sections",
            "words",
            "LIX",
            "most frequent words",
            "sha-256",
        ]);
        for section in &self.totals.longest {
            let result = &section.result;
            table.add_row([
                &section.title,
                &result.words.to_string(),
                &result.lix.to_string(),
                &result.frequent.join(" "),
                &result.sha256.chars().take(12).collect(),
            ]);
        }
        align_right(&mut table, [1, 2]);
        lines(&table)
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_preset(NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    table
}

fn align_right(table: &mut Table, columns: impl IntoIterator<Item = usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The table without the padding around its lines.
fn lines(table: &Table) -> String {
    let trim = |line: String| {
        line.strip_prefix(' ')
            .unwrap_or(&line)
            .trim_end()
            .to_owned()
    };
    table.lines().map(trim).collect::<Vec<_>>().join("\n")
}
