//! Measures the speed of the whole system: database, pg_net, gateway, the supaqueue function and a
//! target, all on this machine.
//!
//! A measurement is repeated if the machine was not as quiet as before in this run. The noise is printed
//! with the results.

mod cpu_time;
mod efficiency;
mod latency;
mod max_throughput;
mod other_jobs;
mod plot;
mod report;
mod result;

use std::time::Duration;

use crate::Result;
use crate::machine::{Noise, Quiet};
use crate::numbers::grouped;
use crate::project::Project;
use crate::{machine, results};
use result::{Run, Size};

/// How often a measurement is taken at most.
const MAX_ATTEMPTS: usize = 3;

/// The size of the benchmark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// The numbers of other jobs in the table.
    sizes: &'static [u32],
    /// How long jobs run before they are counted.
    warm_up: Duration,
    /// How long jobs are counted.
    window: Duration,
    /// The number of jobs whose latency is measured when idle; under load it is twice that.
    probes: usize,
    /// Whether the results are kept.
    is_kept: bool,
}

pub(crate) const FULL: Scale = Scale {
    sizes: &[0, 1_000_000],
    warm_up: Duration::from_secs(3),
    window: Duration::from_secs(20),
    probes: 100,
    is_kept: true,
};

pub(crate) const QUICK: Scale = Scale {
    sizes: &[0],
    warm_up: Duration::from_secs(2),
    window: Duration::from_secs(6),
    probes: 10,
    is_kept: false,
};

/// Runs the benchmark, and prints and stores the results.
pub(crate) async fn measure(scale: Scale, hop: Duration) -> Result<()> {
    let mut quiet = Quiet::new();
    let mut run = Run {
        date: machine::today(),
        machine: machine::description()?,
        versions: Vec::new(),
        sizes: Vec::new(),
    };
    for &other_jobs in scale.sizes {
        println!("\nwith {} other jobs in the table:", grouped(other_jobs));
        let project = Project::start(hop, &[]).await?;
        other_jobs::prepare(&project, other_jobs).await?;
        run.sizes.push(Size {
            other_jobs,
            efficiency: efficiency::all(&project, scale, &mut quiet).await?,
            max_throughput: max_throughput::all(&project, scale, &mut quiet).await?,
            latency: latency::all(&project, scale, &mut quiet).await?,
        });
        run.versions = project.versions().await?;
        project.stop().await;
    }
    let report = report::markdown(&run);
    println!("\n{report}");
    let name = results::name("speed", hop);
    let diagram = results::write(&name, scale.is_kept, &run, &report)?;
    plot::write(&run, &diagram)
}

/// Measures until the machine is quiet, at most three times. Returns the result of the quietest run.
async fn quietest<T>(
    quiet: &mut Quiet,
    measure: impl AsyncFnMut() -> Result<T>,
) -> Result<(T, Noise)> {
    let (runs, number) = quiet.runs(1, MAX_ATTEMPTS, measure).await?;
    if number > 1 {
        println!("  the quietest of {number} runs, because of noise:");
    }
    let first = runs.into_iter().next();
    first.ok_or_else(|| "nothing was measured".into())
}
