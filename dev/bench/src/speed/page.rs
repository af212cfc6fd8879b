//! The results as one table in Markdown.

use std::fmt::Write;

use super::result::{Efficiency, Run, Size};
use crate::machine::Disturbance;
use crate::table::grouped;

/// What `dev/bench/results/speed.md` holds.
pub(super) fn markdown(run: &Run) -> String {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for size in &run.sizes {
        for (number, (what, value)) in cells(size).into_iter().enumerate() {
            match rows.get_mut(number) {
                Some((_, values)) => values.push(value),
                None => rows.push((what, vec![value])),
            }
        }
    }
    let mut page = format!(
        "{}: {}; {}.\n\n",
        run.date,
        run.machine,
        run.versions.join(", ")
    );
    let sizes = run
        .sizes
        .iter()
        .map(|size| format!("{} other jobs", grouped(size.other_jobs)));
    row(&mut page, "measured", sizes);
    row(
        &mut page,
        "---",
        run.sizes.iter().map(|_| "---:".to_owned()),
    );
    for (what, values) in rows {
        row(&mut page, &what, values);
    }
    page
}

fn row(page: &mut String, what: &str, values: impl IntoIterator<Item = String>) {
    let values: Vec<String> = values.into_iter().collect();
    // Writing to a string does not fail.
    let _ = writeln!(page, "| {what} | {} |", values.join(" | "));
}

/// What was measured beside some number of other jobs, and its value.
fn cells(size: &Size) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    for one in &size.efficiency {
        cells.push(match one.way {
            "supaqueue" => {
                let goal = one
                    .goal
                    .map_or_else(String::new, |goal| format!(" (goal {goal:.2})"));
                (
                    format!(
                        "efficiency, {} × {} ms{goal}",
                        workers(one.workers),
                        one.call_ms
                    ),
                    format!("{:.2}: {:.1} jobs/s", one.efficiency, one.jobs_per_second),
                )
            }
            way => (
                format!("the {way}, {} × {} ms", workers(one.workers), one.call_ms),
                format!("{:.2}: {:.1} jobs/s", one.efficiency, one.jobs_per_second),
            ),
        });
    }
    if let Some(times) = times_the_usual_way(&size.efficiency) {
        cells.push((
            "Supaqueue ÷ the usual way (goal 8)".into(),
            format!("{times:.1}"),
        ));
    }
    for one in &size.ceiling {
        let share = one.processor_ms_per_job;
        cells.push((
            format!("ceiling, {} × 0 ms", workers(one.workers)),
            format!("{:.0} jobs/s", one.jobs_per_second),
        ));
        cells.push((
            "processor ms per job: Postgres + gateway + function + target".into(),
            format!(
                "{:.2} + {:.2} + {:.2} + {:.2}",
                share.postgres, share.gateway, share.function, share.target
            ),
        ));
    }
    for one in &size.latency {
        cells.push((
            format!(
                "latency {}, p50 / p95 / {} of {} jobs",
                one.when,
                one.last(),
                one.probes
            ),
            format!(
                "{:.0} / {:.0} / {:.0} ms",
                one.p50_ms, one.p95_ms, one.p99_ms
            ),
        ));
    }
    cells.extend(quiet(size));
    cells
}

/// How many times the rate of the usual way, at the load that both were given.
pub(super) fn times_the_usual_way(all: &[Efficiency]) -> Option<f64> {
    let usual = all.iter().find(|one| one.way != "supaqueue")?;
    let ours = all.iter().find(|one| {
        one.way == "supaqueue" && (one.workers, one.call_ms) == (usual.workers, usual.call_ms)
    })?;
    Some(ours.jobs_per_second / usual.jobs_per_second)
}

/// Rows about the machine while all this was measured.
fn quiet(size: &Size) -> [(String, String); 2] {
    let all = size.efficiency.iter().map(|one| one.disturbance);
    let all = all.chain(size.ceiling.iter().map(|one| one.disturbance));
    let all: Vec<Disturbance> = all
        .chain(size.latency.iter().map(|one| one.disturbance))
        .collect();
    let most = |of: fn(&Disturbance) -> f64| all.iter().map(of).fold(0.0, f64::max) * 100.0;
    let times = || all.iter().filter_map(|one| one.computation_ms);
    [
        (
            "most that others had of the machine".into(),
            format!(
                "{:.0} %, stolen {:.0} %",
                most(|one| one.others),
                most(|one| one.stolen)
            ),
        ),
        (
            "a fixed computation at the machine's fastest and slowest".into(),
            format!(
                "{:.2} and {:.2} ms",
                times().fold(f64::INFINITY, f64::min),
                times().fold(0.0, f64::max)
            ),
        ),
    ]
}

/// A number of workers, in words.
pub(super) fn workers(number: u32) -> String {
    match number {
        1 => "1 worker".into(),
        _ => format!("{number} workers"),
    }
}
