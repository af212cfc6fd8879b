//! Keeps a local stack under a steady load for long, and looks for what grows.
//!
//! Jobs arrive at a fixed rate, whatever becomes of them ("open loop"), below what the machine was
//! just seen to hold. Finished jobs are kept for some minutes, so that the tables come to rest; what
//! is judged is the time after that.

mod arrivals;
mod calibration;
mod errors;
mod latency;
mod memory;
mod page;
mod plot;
mod result;
mod size;
mod verdict;
mod watch;

use std::time::Duration;

use crate::project::Project;
use crate::table::grouped;
use crate::{Result, machine, results};
use arrivals::Arrivals;
use errors::Errors;
use result::{Run, Totals};
use watch::Watch;

/// Queues that share the load.
const QUEUES: [&str; 5] = ["load 1", "load 2", "load 3", "load 4", "load 5"];
/// Workers of each queue.
const WORKERS: u32 = 10;
/// How long a call takes at the target, in milliseconds.
const CALL_MS: u32 = 100;
/// Jobs that an hour has to bring at least.
const JOBS_PER_HOUR: f64 = 100_000.0;
/// How long the last jobs may take to end.
const DRAIN: Duration = Duration::from_secs(120);

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// How long jobs arrive.
    time: Duration,
    /// How long the machine is tried out before.
    calibration: Duration,
    /// Whether the results are kept.
    is_kept: bool,
}

impl Scale {
    /// So many minutes; the results of an hour or more are kept.
    pub(crate) const fn minutes(minutes: u32) -> Self {
        Self {
            time: Duration::from_secs(60 * minutes as u64),
            calibration: Duration::from_secs(30),
            is_kept: minutes >= 60,
        }
    }

    /// How long finished jobs are kept: until they are surely read, in a short run.
    fn retention(self) -> Duration {
        let read = self.window() * 2 + self.interval() * 4;
        (self.time / 8).min(Duration::from_secs(300)).max(read)
    }

    /// From when on results are judged: by then as many jobs are deleted as arrive, and what they
    /// leave is used again.
    fn warm_up(self) -> Duration {
        self.retention() * 2
    }

    /// The end of the first third of the time that is judged.
    fn first_third(self) -> Duration {
        self.warm_up() + (self.time.saturating_sub(self.warm_up())) / 3
    }

    /// The time of which percentiles are taken.
    fn window(self) -> Duration {
        (self.time / 10).min(Duration::from_secs(60))
    }

    /// The time between two looks.
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

/// Runs it all, prints it, and keeps it in `dev/bench/results` (if it took an hour).
///
/// # Errors
/// Also if something that was claimed does not hold; the results are kept all the same.
pub(crate) async fn measure(scale: Scale) -> Result<()> {
    let project = Project::start().await?;
    let run = run(&project, scale).await;
    project.stop().await;
    let run = run?;

    println!();
    let verdict = verdict::of(&run);
    let page = page::markdown(&run, &verdict);
    println!("\n{page}");
    results::keep("load", scale.is_kept, &run, &page, |path| {
        plot::write(&run, path)
    })?;
    match verdict.table.unmet() {
        0 => Ok(()),
        number => Err(format!("{number} of the goals are not met; see the table above").into()),
    }
}

async fn run(project: &Project, scale: Scale) -> Result<Run> {
    for queue in QUEUES {
        project.queue(queue, WORKERS).await?;
    }
    let held = calibration::held(project, scale.calibration).await?;
    let rate = calibration::rate(held)?;
    // Now, so that nothing can fail once there are results.
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
    project.settle_down().await?;

    let errors = Errors::default();
    let arrivals = Arrivals::start(project, rate, scale.time, &errors).await?;
    let mut watch = Watch::new(project, scale, &arrivals, &errors).await?;
    watch.until_the_end().await;
    arrivals.ended().await;
    let left = watch.drained(DRAIN).await;
    let totals = Totals {
        inserted: arrivals.inserted(),
        unsure: arrivals.unsure(),
        successful: watch.successful(),
        repeated: watch.repeated(),
        failed: watch.failed().await,
        left,
    };
    println!(
        "{} jobs arrived, {} were successful",
        grouped(totals.inserted),
        grouped(totals.successful)
    );
    watch.vacuum().await;
    let (samples, windows, vacuumed) = watch.seen();
    Ok(Run {
        date: machine::today(),
        machine,
        versions,
        minutes: scale.time.as_secs_f64() / 60.0,
        warm_up_minutes: scale.warm_up().as_secs_f64() / 60.0,
        kept_minutes: retention / 60.0,
        held_per_second: held,
        rate_per_second: rate,
        totals,
        samples,
        windows,
        vacuumed,
        errors: errors.all(),
    })
}
