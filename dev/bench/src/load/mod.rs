//! Keeps a local stack under a long, steady load and checks that nothing grows.
//!
//! The load is an open loop: jobs arrive at a fixed rate, below the capacity measured before. Finished
//! jobs are deleted after some minutes, so that the tables reach a steady size. Only the time after that
//! warm-up is judged.

mod arrivals;
mod calibration;
mod errors;
mod latency;
mod memory;
mod monitor;
mod plot;
mod report;
mod result;
mod size;
mod verdict;

use std::time::Duration;

use crate::numbers::grouped;
use crate::project::{Project, vacuum};
use crate::{Result, machine, results};
use arrivals::Arrivals;
use errors::Errors;
use monitor::Monitor;
use result::{Run, Totals};

/// The queues that share the load.
const QUEUES: [&str; 5] = ["load 1", "load 2", "load 3", "load 4", "load 5"];
/// The number of workers of each queue.
const WORKERS: u32 = 10;
/// The time of a call in milliseconds.
const CALL_MS: u32 = 100;
/// The minimum number of jobs per hour.
const MIN_JOBS_PER_HOUR: f64 = 100_000.0;
/// How long the last jobs may take to finish.
const DRAIN: Duration = Duration::from_secs(120);

/// The size of the benchmark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// How long jobs arrive.
    time: Duration,
    /// How long the capacity is measured before.
    calibration: Duration,
    /// Whether the results are kept.
    is_kept: bool,
}

impl Scale {
    /// A run of the given length. The results of an hour or more are kept.
    pub(crate) const fn minutes(minutes: u32) -> Self {
        Self {
            time: Duration::from_secs(60 * minutes as u64),
            calibration: Duration::from_secs(30),
            is_kept: minutes >= 60,
        }
    }

    /// How long finished jobs are kept: in a short run, just long enough to be read.
    fn retention(self) -> Duration {
        let read = self.window() * 2 + self.interval() * 4;
        (self.time / 8).min(Duration::from_secs(300)).max(read)
    }

    /// The time after which results are judged: by then as many jobs are deleted as arrive, and the
    /// space that they free is reused.
    fn warm_up(self) -> Duration {
        self.retention() * 2
    }

    /// The end of the first third of the time that is judged.
    fn first_third(self) -> Duration {
        self.warm_up() + (self.time.saturating_sub(self.warm_up())) / 3
    }

    /// The interval over which percentiles are computed.
    fn window(self) -> Duration {
        (self.time / 10).min(Duration::from_secs(60))
    }

    /// The time between two samples.
    fn interval(self) -> Duration {
        (self.time / 240).max(Duration::from_secs(5))
    }
}

pub(crate) const FULL: Scale = Scale::minutes(60);

pub(crate) const QUICK: Scale = Scale {
    time: Duration::from_secs(180),
    calibration: Duration::from_secs(10),
    is_kept: false,
};

/// Runs the benchmark, and prints and stores the results.
///
/// # Errors
///
/// Also if a goal is not met, after the results are stored.
pub(crate) async fn measure(scale: Scale) -> Result<()> {
    let project = Project::start(Duration::ZERO, &[]).await?;
    let run = run(&project, scale).await;
    project.stop().await;
    let run = run?;

    println!();
    let verdict = verdict::of(&run);
    let report = report::markdown(&run, &verdict);
    println!("\n{report}");
    let diagram = results::write("load", scale.is_kept, &run, &report)?;
    plot::write(&run, &diagram)?;
    match verdict.table.unmet() {
        0 => Ok(()),
        number => Err(format!("{number} of the goals in the table above not met").into()),
    }
}

async fn run(project: &Project, scale: Scale) -> Result<Run> {
    for queue in QUEUES {
        project.create_queue(queue, WORKERS).await?;
    }
    let capacity = calibration::capacity(project, scale.calibration).await?;
    let rate = calibration::rate(capacity)?;
    // Queried first, so that a failure cannot discard the results.
    let (machine, versions) = (machine::description()?, project.versions().await?);
    let retention = scale.retention().as_secs_f64();
    project
        .client
        .execute(
            "update supaqueue.queue q
             set keep_successful_for = make_interval(secs => $1)
             where q.name = any ($2)",
            &[&retention, &QUEUES.as_slice()],
        )
        .await?;
    vacuum(project.stack.database()).await?;

    let errors = Errors::default();
    let arrivals = Arrivals::start(project, rate, scale.time, &errors).await?;
    let mut monitor = Monitor::new(project, scale, &arrivals, &errors).await?;
    monitor.run().await;
    arrivals.finish().await;
    let unfinished = monitor.drain(DRAIN).await;
    let totals = Totals {
        inserted: arrivals.inserted(),
        unconfirmed: arrivals.unconfirmed(),
        successful: monitor.successful(),
        retried: monitor.retried(),
        failed: monitor.failed().await,
        unfinished,
    };
    println!(
        "{} jobs arrived, {} were successful",
        grouped(totals.inserted),
        grouped(totals.successful)
    );
    monitor.vacuum().await;
    let (samples, windows, vacuumed) = monitor.into_results();
    Ok(Run {
        date: machine::today(),
        machine,
        versions,
        minutes: scale.time.as_secs_f64() / 60.0,
        warm_up_minutes: scale.warm_up().as_secs_f64() / 60.0,
        retention_minutes: retention / 60.0,
        capacity_per_second: capacity,
        rate_per_second: rate,
        totals,
        samples,
        windows,
        vacuumed,
        errors: errors.all(),
    })
}
