//! Measures how fast the whole is: database, pg_net, gateway, the supaqueue function and a target,
//! all on this machine.
//!
//! Each number is taken again where the machine was not as quiet as it had been in this run; how much
//! others had of it is printed.

mod ceiling;
mod efficiency;
mod latency;
mod other_jobs;
mod page;
mod plot;
mod result;
mod share;

use std::time::Duration;

use crate::Result;
use crate::machine::{Disturbance, Quiet};
use crate::project::Project;
use crate::table::grouped;
use crate::{machine, results};
use result::{Run, Size};

/// How often a number is taken at most.
const ATTEMPTS: usize = 3;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Numbers of other jobs in the table.
    sizes: &'static [u32],
    /// How long jobs run before they are counted, so that the start is not.
    warm_up: Duration,
    /// How long they are counted.
    window: Duration,
    /// Jobs whose latency is measured at rest; beside load it is twice as many.
    probes: usize,
    /// Whether the results are kept.
    is_kept: bool,
}

pub(crate) const FULL: Scale = Scale {
    sizes: &[0, 10_000, 1_000_000],
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

/// Measures it all, prints it, and keeps it in `dev/bench/results` (not when quick).
pub(crate) async fn measure(scale: Scale) -> Result<()> {
    let mut quiet = Quiet::new();
    let mut run = Run {
        date: machine::today(),
        machine: machine::description()?,
        versions: Vec::new(),
        sizes: Vec::new(),
    };
    for &other_jobs in scale.sizes {
        println!("\nwith {} other jobs in the table:", grouped(other_jobs));
        let project = Project::start().await?;
        other_jobs::prepare(&project, other_jobs).await?;
        run.sizes.push(Size {
            other_jobs,
            efficiency: efficiency::all(&project, scale, &mut quiet).await?,
            ceiling: ceiling::all(&project, scale, &mut quiet).await?,
            latency: latency::all(&project, scale, &mut quiet).await?,
        });
        run.versions = project.versions().await?;
        project.stop().await;
    }
    let page = page::markdown(&run);
    println!("\n{page}");
    results::keep("speed", scale.is_kept, &run, &page, |path| {
        plot::write(&run, path)
    })
}

/// Measures until the machine is quiet, three times at most; returns the result of the quietest time.
async fn quietest<T>(
    quiet: &mut Quiet,
    measure: impl AsyncFnMut() -> Result<T>,
) -> Result<(T, Disturbance)> {
    let (turns, taken) = quiet.turns(1, ATTEMPTS, measure).await?;
    if taken > 1 {
        println!("  disturbed; the quietest of {taken} counts:");
    }
    let first = turns.into_iter().next();
    first.ok_or_else(|| "nothing was measured".into())
}
