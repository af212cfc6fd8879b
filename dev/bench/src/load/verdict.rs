//! Judges a run by comparing the first and the last third of the time after the warm-up.

use std::collections::BTreeMap;

use super::MIN_JOBS_PER_HOUR;
use super::memory::{Generation, Memory};
use super::result::{Run, Sample, Window};
use super::size::{Size, job_indexes_mb, job_table_mb, other_tables_mb};
use crate::numbers::{grouped, median};
use crate::table::Table;

/// The maximum growth of memory and tables.
const GROWTH: f64 = 1.1;
/// The maximum growth of latency, whose percentiles vary more.
const DRIFT: f64 = 1.2;
/// The noise above which a minute is not used to judge latency.
const NOISY: f64 = 0.05;

type OfWindow = fn(&Window) -> Option<f64>;
type OfMemory = fn(&Memory) -> &[Generation];
type OfSample = fn(&Sample) -> f64;
type OfSizes = fn(&[Size]) -> f64;

/// A table row for each goal, and notes.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) table: Table,
    pub(super) notes: Vec<String>,
    /// What could not be judged because the run was too short.
    pub(super) not_judged: Vec<String>,
}

pub(super) fn of(run: &Run) -> Verdict {
    let mut verdict = Verdict {
        table: Table::new(),
        notes: Vec::new(),
        not_judged: Vec::new(),
    };
    verdict.jobs(run);
    verdict.latency(run);
    verdict.memory(run);
    verdict.sizes(run);
    verdict
}

impl Verdict {
    fn jobs(&mut self, run: &Run) {
        let totals = &run.totals;
        let wanted = MIN_JOBS_PER_HOUR * run.minutes / 60.0;
        self.table.add(
            "jobs that arrived",
            grouped(totals.inserted),
            format!("{:.2}", f64::from(totals.inserted) / wanted),
            format!("≥ {wanted:.0}"),
            f64::from(totals.inserted) >= wanted,
        );
        let max = totals.inserted.saturating_add(totals.unconfirmed);
        let lost = i64::from(totals.inserted) - i64::from(totals.successful);
        let unconfirmed = match totals.unconfirmed {
            0 => String::new(),
            number => format!(", {number} unconfirmed"),
        };
        self.table.add(
            "jobs lost (arrived but not successful)",
            format!("{lost}{unconfirmed}"),
            "",
            "0",
            (totals.inserted..=max).contains(&totals.successful) && totals.unfinished == Some(0.0),
        );
        let failed = totals
            .failed
            .map_or_else(|| "?".into(), |failed| failed.to_string());
        self.table.add(
            "failed jobs; retried jobs",
            format!("{failed}; {}", totals.retried),
            "",
            "0; 0",
            totals.failed == Some(0) && totals.retried == 0,
        );
    }

    fn latency(&mut self, run: &Run) {
        let is_quiet = |window: &&Window| window.noise.sum() <= NOISY;
        let [first, last] = thirds(run, &run.windows, |window| window.minute);
        let quiet =
            [&first, &last].map(|third| third.iter().copied().filter(is_quiet).collect::<Vec<_>>());
        // A third of the minutes is enough to judge, if those were quiet.
        let is_enough = |index: usize, all: &[&Window]| quiet[index].len() * 3 >= all.len().max(1);
        let [first, last] = if is_enough(0, &first) && is_enough(1, &last) {
            quiet
        } else {
            self.notes.push(format!(
                "The noise was above {:.0} % in most minutes of a third, so latency is judged including noisy minutes.",
                NOISY * 100.0
            ));
            [first, last]
        };
        let percentiles: [(&str, OfWindow); 3] = [
            ("p50", |window| window.finished.p50_ms),
            ("p95", |window| window.finished.p95_ms),
            ("p99", |window| window.finished.p99_ms),
        ];
        for (name, of) in percentiles {
            let [first, last] =
                [&first, &last].map(|third| third.iter().copied().filter_map(of).collect());
            self.compare(
                &format!("latency {name}, median minute"),
                first,
                last,
                "ms",
                DRIFT,
            );
        }
    }

    fn memory(&mut self, run: &Run) {
        let functions: [(&str, OfMemory); 2] = [
            ("the supaqueue function", |memory| &memory.function),
            ("the target", |memory| &memory.target),
        ];
        for (name, of) in functions {
            let lifetimes = lifetimes(&run.samples, of);
            let [first, last] = thirds(run, &lifetimes, |one| one.minute)
                .map(|third| third.iter().map(|one| one.peak_mb).collect());
            self.compare(
                &format!("memory of {name}, peak per process"),
                first,
                last,
                "MB",
                GROWTH,
            );
        }
        let others: [(&str, OfSample); 2] = [
            ("Postgres, without shared buffers", |sample| {
                sample.memory.postgres_private_mb
            }),
            ("the gateway", |sample| sample.memory.gateway_mb),
        ];
        for (name, of) in others {
            self.compare_samples(run, &format!("memory of {name}"), of);
        }
    }

    fn sizes(&mut self, run: &Run) {
        // Not the small tables: their growth between two vacuums depends on the timing of autovacuum.
        for (name, of) in &SIZES[..2] {
            self.compare_samples(run, name, |sample| of(&sample.sizes));
        }
        let (Some(first), Some(last)) = (run.vacuumed.first(), run.vacuumed.get(1)) else {
            self.notes
                .push("The sizes after a vacuum are not judged, because a vacuum failed.".into());
            return;
        };
        for (name, of) in SIZES {
            let (first, last) = (of(&first.sizes), of(&last.sizes));
            self.compare(
                &format!("{name}, right after a vacuum"),
                vec![first],
                vec![last],
                "MB",
                GROWTH,
            );
        }
    }

    fn compare_samples(&mut self, run: &Run, name: &str, of: impl Fn(&Sample) -> f64) {
        let [first, last] = thirds(run, &run.samples, |sample| sample.minute)
            .map(|third| third.iter().map(|sample| of(sample)).collect());
        self.compare(name, first, last, "MB", GROWTH);
    }

    /// Adds a row that compares the medians of both thirds.
    fn compare(
        &mut self,
        name: &str,
        mut first: Vec<f64>,
        mut last: Vec<f64>,
        unit: &str,
        goal: f64,
    ) {
        if first.is_empty() || last.is_empty() {
            self.not_judged.push(name.to_owned());
            return;
        }
        let (first, last) = (median(&mut first), median(&mut last));
        self.table.add(
            name,
            format!("{first:.1} → {last:.1} {unit}"),
            format!("{:.2}", last / first),
            format!("≤ {goal}"),
            last <= first * goal,
        );
    }
}

/// The sizes that are compared.
const SIZES: [(&str, OfSizes); 3] = [
    ("size of the job table", job_table_mb),
    ("size of its indexes", job_indexes_mb),
    ("size of the other tables, with indexes", other_tables_mb),
];

/// The items in the first and in the last third of the time after the warm-up.
fn thirds<'a, T>(run: &Run, all: &'a [T], minute: impl Fn(&T) -> f64) -> [Vec<&'a T>; 2] {
    let third = (run.minutes - run.warm_up_minutes) / 3.0;
    let between = |from: f64| {
        let is_in = |one: &&T| (from..=from + third).contains(&minute(one));
        all.iter().filter(is_in).collect()
    };
    [between(run.warm_up_minutes), between(run.minutes - third)]
}

/// The memory of a process over its lifetime.
#[derive(Debug, PartialEq)]
struct Lifetime {
    /// The time of the first sample.
    minute: f64,
    peak_mb: f64,
}

/// All processes that ended during the run.
fn lifetimes(samples: &[Sample], of: impl Fn(&Memory) -> &[Generation]) -> Vec<Lifetime> {
    let mut lifetimes: BTreeMap<i32, Lifetime> = BTreeMap::new();
    for sample in samples {
        for one in of(&sample.memory) {
            let lifetime = lifetimes.entry(one.pid).or_insert(Lifetime {
                minute: sample.minute,
                peak_mb: 0.0,
            });
            lifetime.peak_mb = lifetime.peak_mb.max(one.resident_mb);
        }
    }
    if let Some(last) = samples.last() {
        for alive in of(&last.memory) {
            lifetimes.remove(&alive.pid);
        }
    }
    lifetimes.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(minute: f64, processes: &[(i32, f64)]) -> Sample {
        Sample {
            minute,
            memory: Memory {
                function: processes
                    .iter()
                    .map(|&(pid, resident_mb)| Generation { pid, resident_mb })
                    .collect(),
                target: Vec::new(),
                gateway_mb: 0.0,
                postgres_private_mb: 0.0,
            },
            sizes: Vec::new(),
            backlog: 0.0,
        }
    }

    #[test]
    fn the_peak_of_a_process_counts_once_it_has_ended() {
        let samples = [
            sample(1.0, &[(7, 50.0)]),
            sample(2.0, &[(7, 70.0), (9, 40.0)]),
            sample(3.0, &[(7, 60.0), (9, 45.0)]),
            sample(4.0, &[(9, 50.0)]),
        ];
        let want = Lifetime {
            minute: 1.0,
            peak_mb: 70.0,
        };
        assert_eq!(lifetimes(&samples, |memory| &memory.function), [want]);
    }
}
