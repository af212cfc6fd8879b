//! The results in Markdown.

use std::fmt::Write;

use super::result::Run;
use super::verdict::Verdict;
use super::{CALL_MS, QUEUES, WORKERS};
use crate::table::grouped;

/// What `dev/bench/results/load.md` holds.
pub(super) fn markdown(run: &Run, verdict: &Verdict) -> String {
    let mut page = format!(
        "{}: {}; {}.\n\n\
         {} jobs in {:.0} minutes: {:.0} arrived per second, in {} queues of {WORKERS} workers, for calls of \
         {CALL_MS} ms. That is {:.0} % of the {:.0} per second that the machine held before. Finished jobs were kept \
         for {:.1} minutes. After a warm-up of {:.1} minutes (grey in the picture), the first third of the time beside the last:\n\n{}",
        run.date,
        run.machine,
        run.versions.join(", "),
        grouped(run.totals.inserted),
        run.minutes,
        run.rate_per_second,
        QUEUES.len(),
        run.rate_per_second / run.held_per_second * 100.0,
        run.held_per_second,
        run.kept_minutes,
        run.warm_up_minutes,
        verdict.table,
    );
    let mut shares: Vec<f64> = run
        .windows
        .iter()
        .map(|window| window.disturbance.sum() * 100.0)
        .collect();
    // Writing to a string does not fail.
    let _ = write!(
        page,
        "\nOthers had {:.0} % of the machine in the median minute, {:.0} % in the worst.",
        crate::table::median(&mut shares),
        shares.last().copied().unwrap_or(0.0),
    );
    for note in &verdict.notes {
        let _ = write!(page, " {note}");
    }
    page.push('\n');
    if !run.errors.is_empty() {
        page.push_str("\nOn the way:\n\n");
        for error in &run.errors {
            let _ = writeln!(page, "- {error}");
        }
    }
    page
}
