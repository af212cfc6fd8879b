//! The results in Markdown.

use std::fmt::Write;

use super::result::Run;
use super::verdict::Verdict;
use super::{CALL_MS, QUEUES, WORKERS};
use crate::numbers::{grouped, median};

/// The contents of `dev/bench/results/load.md`.
pub(super) fn markdown(run: &Run, verdict: &Verdict) -> String {
    let mut page = format!(
        "{}: {}; {}.\n\n\
         {} jobs in {:.0} minutes: {:.0} jobs/s arrived in {} queues with {WORKERS} workers each, for calls of \
         {CALL_MS} ms. That is {:.0} % of the machine's capacity of {:.0} jobs/s, measured before. Finished jobs were \
         kept for {:.1} minutes. The table compares the first and the last third of the time after a warm-up of \
         {:.1} minutes (grey in the diagram):\n\n{}",
        run.date,
        run.machine,
        run.versions.join(", "),
        grouped(run.totals.inserted),
        run.minutes,
        run.rate_per_second,
        QUEUES.len(),
        run.rate_per_second / run.capacity_per_second * 100.0,
        run.capacity_per_second,
        run.retention_minutes,
        run.warm_up_minutes,
        verdict.table,
    );
    let mut noise: Vec<f64> = run
        .windows
        .iter()
        .map(|window| window.noise.sum() * 100.0)
        .collect();
    // Writing to a string cannot fail.
    let _ = write!(
        page,
        "\nCPU use by other processes and steal time: {:.0} % in the median minute, {:.0} % in the worst.",
        median(&mut noise),
        noise.last().copied().unwrap_or(0.0),
    );
    for note in &verdict.notes {
        let _ = write!(page, " {note}");
    }
    if !verdict.not_judged.is_empty() {
        let list = verdict.not_judged.join("; ");
        let _ = write!(page, " The run is too short to judge: {list}.");
    }
    page.push('\n');
    if !run.errors.is_empty() {
        page.push_str("\nErrors during the run:\n\n");
        for error in &run.errors {
            let _ = writeln!(page, "- {error}");
        }
    }
    page
}
