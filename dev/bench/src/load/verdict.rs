//! Whether what was claimed holds: the first third of the time that is judged beside the last.

use std::collections::BTreeMap;

use super::JOBS_PER_HOUR;
use super::memory::{Generation, Memory};
use super::result::{Run, Sample, Window};
use super::size::Size;
use crate::table::{Table, grouped, median};

/// What memory and tables may grow by.
const GROWTH: f64 = 1.1;
/// What latency may grow by: a percentile of a minute varies more.
const DRIFT: f64 = 1.2;
/// From this share of the machine on, a minute is others', not ours.
const DISTURBED: f64 = 0.05;

/// What is compared.
type OfWindow = fn(&Window) -> Option<f64>;
type OfMemory = fn(&Memory) -> &[Generation];
type OfSample = fn(&Sample) -> f64;
type OfSizes = fn(&[Size]) -> f64;

/// A row for each claim, and what could not be judged.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) table: Table,
    pub(super) notes: Vec<String>,
}

/// Judges a run.
pub(super) fn of(run: &Run) -> Verdict {
    let mut verdict = Verdict::default();
    verdict.jobs(run);
    verdict.latency(run);
    verdict.memory(run);
    verdict.sizes(run);
    verdict
}

impl Verdict {
    fn jobs(&mut self, run: &Run) {
        let totals = &run.totals;
        let wanted = JOBS_PER_HOUR * run.minutes / 60.0;
        self.table.add(
            "jobs that arrived",
            grouped(totals.inserted),
            format!("{:.2}", f64::from(totals.inserted) / wanted),
            format!("≥ {wanted:.0}"),
            f64::from(totals.inserted) >= wanted,
        );
        let most = totals.inserted.saturating_add(totals.unsure);
        let lost = i64::from(totals.inserted) - i64::from(totals.successful);
        let unsure = match totals.unsure {
            0 => String::new(),
            number => format!(", {number} unsure"),
        };
        self.table.add(
            "jobs lost (arrived, not successful)",
            format!("{lost}{unsure}"),
            "",
            "0",
            (totals.inserted..=most).contains(&totals.successful) && totals.left == Some(0),
        );
        let failed = totals
            .failed
            .map_or_else(|| "?".into(), |failed| failed.to_string());
        self.table.add(
            "jobs that failed; that took more than one attempt",
            format!("{failed}; {}", totals.repeated),
            "",
            "0; 0",
            totals.failed == Some(0) && totals.repeated == 0,
        );
    }

    fn latency(&mut self, run: &Run) {
        let is_quiet = |window: &&Window| window.disturbance.sum() <= DISTURBED;
        let [first, last] = thirds(run, &run.windows, |window| window.minute);
        let quiet =
            [&first, &last].map(|third| third.iter().copied().filter(is_quiet).collect::<Vec<_>>());
        // Some minutes of each say more than all of them, if nobody disturbed those.
        let is_enough = |place: usize, all: &[&Window]| quiet[place].len() * 3 >= all.len().max(1);
        let [first, last] = if is_enough(0, &first) && is_enough(1, &last) {
            quiet
        } else {
            self.notes.push(format!(
                "Others had more than {:.0} % of the machine in most minutes of a third: latency is judged with them.",
                DISTURBED * 100.0
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
                &format!("latency {name}, the median minute"),
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
            let generations = generations(&run.samples, of);
            let [first, last] = thirds(run, &generations, |one| one.minute)
                .map(|third| third.iter().map(|one| one.most_mb).collect());
            self.compare(
                &format!("memory of {name}, the most of a process"),
                first,
                last,
                "MB",
                GROWTH,
            );
        }
        let others: [(&str, OfSample); 2] = [
            ("Postgres' processes, without shared buffers", |sample| {
                sample.memory.postgres_own_mb
            }),
            ("the gateway", |sample| sample.memory.gateway_mb),
        ];
        for (name, of) in others {
            self.compare_samples(run, &format!("memory of {name}"), of);
        }
    }

    fn sizes(&mut self, run: &Run) {
        // How far the small ones grow between two vacuums says more of autovacuum than of them.
        for (name, of) in &SIZES[..2] {
            self.compare_samples(run, name, |sample| of(&sample.sizes));
        }
        let (Some(first), Some(last)) = (run.vacuumed.first(), run.vacuumed.get(1)) else {
            self.notes
                .push("The sizes after vacuum are not judged: one of the two failed.".into());
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

    fn compare_samples(&mut self, run: &Run, what: &str, of: impl Fn(&Sample) -> f64) {
        let [first, last] = thirds(run, &run.samples, |sample| sample.minute)
            .map(|third| third.iter().map(|sample| of(sample)).collect());
        self.compare(what, first, last, "MB", GROWTH);
    }

    /// Adds a row: the medians of both thirds.
    fn compare(
        &mut self,
        what: &str,
        mut first: Vec<f64>,
        mut last: Vec<f64>,
        unit: &str,
        goal: f64,
    ) {
        if first.is_empty() || last.is_empty() {
            self.notes
                .push(format!("Not judged, as the run is too short: {what}."));
            return;
        }
        let (first, last) = (median(&mut first), median(&mut last));
        self.table.add(
            what,
            format!("{first:.1} → {last:.1} {unit}"),
            format!("{:.2}", last / first),
            format!("≤ {goal}"),
            last <= first * goal,
        );
    }
}

/// What is compared of the tables.
const SIZES: [(&str, OfSizes); 3] = [
    ("the table of jobs", |sizes| {
        sum(sizes, |size| size.table == "job", |size| size.table_mb)
    }),
    ("its indexes", |sizes| {
        sum(sizes, |size| size.table == "job", |size| size.indexes_mb)
    }),
    ("the other tables, with indexes", |sizes| {
        sum(
            sizes,
            |size| size.table != "job",
            |size| size.table_mb + size.indexes_mb,
        )
    }),
];

fn sum(sizes: &[Size], which: impl Fn(&Size) -> bool, of: impl Fn(&Size) -> f64) -> f64 {
    sizes.iter().filter(|size| which(size)).map(of).sum()
}

/// What lies in the first and in the last third of the time after the warm-up.
fn thirds<'a, T>(run: &Run, all: &'a [T], minute: impl Fn(&T) -> f64) -> [Vec<&'a T>; 2] {
    let third = (run.minutes - run.warm_up_minutes) / 3.0;
    let between = |from: f64| {
        let is_in = |one: &&T| (from..=from + third).contains(&minute(one));
        all.iter().filter(is_in).collect()
    };
    [between(run.warm_up_minutes), between(run.minutes - third)]
}

/// A process from its start to its end.
#[derive(Debug, PartialEq)]
struct Life {
    /// Of the first look at it.
    minute: f64,
    most_mb: f64,
}

/// All processes that were seen to end.
fn generations(samples: &[Sample], of: impl Fn(&Memory) -> &[Generation]) -> Vec<Life> {
    let mut lives: BTreeMap<i32, Life> = BTreeMap::new();
    for sample in samples {
        for one in of(&sample.memory) {
            let life = lives.entry(one.pid).or_insert(Life {
                minute: sample.minute,
                most_mb: 0.0,
            });
            life.most_mb = life.most_mb.max(one.resident_mb);
        }
    }
    if let Some(last) = samples.last() {
        for alive in of(&last.memory) {
            lives.remove(&alive.pid);
        }
    }
    lives.into_values().collect()
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
                    .map(|&(pid, resident_mb)| Generation {
                        pid,
                        age_s: 0.0,
                        resident_mb,
                    })
                    .collect(),
                target: Vec::new(),
                gateway_mb: 0.0,
                postgres_mb: 0.0,
                postgres_own_mb: 0.0,
            },
            sizes: Vec::new(),
            backlog: 0,
        }
    }

    #[test]
    fn the_most_of_a_process_counts_once_it_has_ended() {
        let samples = [
            sample(1.0, &[(7, 50.0)]),
            sample(2.0, &[(7, 70.0), (9, 40.0)]),
            sample(3.0, &[(7, 60.0), (9, 45.0)]),
            sample(4.0, &[(9, 50.0)]),
        ];
        let want = Life {
            minute: 1.0,
            most_mb: 70.0,
        };
        assert_eq!(generations(&samples, |memory| &memory.function), [want]);
    }
}
