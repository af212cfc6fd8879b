//! The results as a Markdown table.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;

use super::result::{Efficiency, Run, Size};
use crate::machine::Noise;
use crate::numbers::grouped;

/// The contents of `dev/bench/results/speed.md`.
pub(super) fn markdown(run: &Run) -> String {
    let mut header = vec!["measurement".to_owned()];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for size in &run.sizes {
        header.push(format!("{} other jobs", grouped(size.other_jobs)));
        for (index, (name, value)) in cells(size).into_iter().enumerate() {
            match rows.get_mut(index) {
                Some(row) => row.push(value),
                None => rows.push(vec![name, value]),
            }
        }
    }
    let mut table = Table::new();
    table
        .load_preset(ASCII_MARKDOWN)
        .set_header(header)
        .add_rows(rows);
    format!(
        "{}: {}; {}.\n\n{table}\n",
        run.date,
        run.machine,
        run.versions.join(", ")
    )
}

/// The names and values of everything measured at one table size.
fn cells(size: &Size) -> Vec<(String, String)> {
    let mut cells = Vec::new();
    for one in &size.efficiency {
        let load = format!("{} × {} ms", workers(one.workers), one.call_ms);
        let goal = one.goal.map(|goal| format!(" (goal {goal:.2})"));
        let name = match one.is_baseline {
            false => format!("efficiency, {load}{}", goal.unwrap_or_default()),
            true => format!("{BASELINE}, {load}"),
        };
        let value = format!("{:.2}: {:.1} jobs/s", one.efficiency, one.jobs_per_second);
        cells.push((name, value));
    }
    if let Some(ratio) = compared_with_baseline(&size.efficiency) {
        let name = format!("Supaqueue ÷ {BASELINE} (goal 8)");
        cells.push((name, format!("{ratio:.1}")));
    }
    for one in &size.max_throughput {
        let cpu = one.cpu_ms_per_job;
        cells.push((
            format!("maximum throughput, {} × 0 ms", workers(one.workers)),
            format!("{:.0} jobs/s", one.jobs_per_second),
        ));
        cells.push((
            "CPU ms per job: Postgres + gateway + function + target".into(),
            format!(
                "{:.2} + {:.2} + {:.2} + {:.2}",
                cpu.postgres, cpu.gateway, cpu.function, cpu.target
            ),
        ));
    }
    for one in &size.latency {
        cells.push((
            format!(
                "latency {}, p50 / p95 / {} of {} jobs",
                one.when,
                one.highest(),
                one.probes
            ),
            format!(
                "{:.0} / {:.0} / {:.0} ms",
                one.p50_ms, one.p95_ms, one.p99_ms
            ),
        ));
    }
    cells.extend(noise(size));
    cells
}

/// The name of the baseline in the results.
pub(super) const BASELINE: &str = "one pg_net call per job";

/// The throughput relative to the baseline, at the load at which both were measured.
fn compared_with_baseline(all: &[Efficiency]) -> Option<f64> {
    let baseline = all.iter().find(|one| one.is_baseline)?;
    let load = |one: &Efficiency| (one.workers, one.call_ms);
    let ours = all
        .iter()
        .find(|one| !one.is_baseline && load(one) == load(baseline))?;
    Some(ours.jobs_per_second / baseline.jobs_per_second)
}

/// Rows about the machine during all measurements at one table size.
fn noise(size: &Size) -> [(String, String); 2] {
    let efficiency = size.efficiency.iter().map(|one| one.noise);
    let throughput = size.max_throughput.iter().map(|one| one.noise);
    let latency = size.latency.iter().map(|one| one.noise);
    let all: Vec<Noise> = efficiency.chain(throughput).chain(latency).collect();
    let max = |of: fn(&Noise) -> f64| all.iter().map(of).fold(0.0, f64::max) * 100.0;
    let reference = || all.iter().filter_map(|one| one.reference_ms);
    [
        (
            "highest CPU use by other processes; steal time".into(),
            format!(
                "{:.0} %; {:.0} %",
                max(|one| one.others),
                max(|one| one.steal)
            ),
        ),
        (
            "fastest and slowest run of the reference computation".into(),
            format!(
                "{:.2} and {:.2} ms",
                reference().fold(f64::INFINITY, f64::min),
                reference().fold(0.0, f64::max)
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
