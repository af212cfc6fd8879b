//! Measures how fast the whole is: database, pg_net, gateway, the supaqueue function and a target,
//! all on this machine.
//!
//! Each number is taken again while something else used the machine; how much that was is printed.

mod ceiling;
mod disturbance;
mod efficiency;
mod latency;
mod page;
mod plot;
mod processes;
mod project;
mod result;

use std::time::Duration;

use crate::Result;
use crate::machine;
use crate::table::grouped;
use project::Project;
use result::{Run, Size};

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Numbers of other jobs in the table.
    sizes: &'static [u32],
    /// How long jobs run before they are counted, so that the start is not.
    warm_up: Duration,
    /// How long they are counted.
    window: Duration,
    /// Jobs whose latency is measured.
    probes: usize,
    /// Whether the results are kept.
    is_kept: bool,
}

pub(crate) const FULL: Scale = Scale {
    sizes: &[0, 10_000, 1_000_000],
    warm_up: Duration::from_secs(3),
    window: Duration::from_secs(20),
    probes: 50,
    is_kept: true,
};

pub(crate) const QUICK: Scale = Scale {
    sizes: &[0],
    warm_up: Duration::from_secs(2),
    window: Duration::from_secs(6),
    probes: 8,
    is_kept: false,
};

/// Measures it all, prints it, and keeps it in `bench/results` (not when quick).
pub(crate) async fn measure(scale: Scale) -> Result<()> {
    let mut run: Option<Run> = None;
    for &other_jobs in scale.sizes {
        println!("\nwith {} other jobs in the table:", grouped(other_jobs));
        let project = Project::start(other_jobs).await?;
        let size = Size {
            other_jobs,
            efficiency: efficiency::all(&project, scale).await?,
            ceiling: ceiling::all(&project, scale).await?,
            latency: latency::all(&project, scale).await?,
        };
        let versions = project.versions().await?;
        run.get_or_insert_with(|| Run {
            machine: machine::description(),
            versions,
            sizes: Vec::new(),
        })
        .sizes
        .push(size);
        project.stop().await;
    }
    let Some(run) = run else { return Ok(()) };
    let page = page::markdown(&run);
    println!("\n{page}");
    if scale.is_kept {
        let folder = result::folder()?;
        std::fs::write(
            folder.join("speed.json"),
            serde_json::to_string_pretty(&run)? + "\n",
        )?;
        std::fs::write(folder.join("speed.md"), &page)?;
        plot::write(&run, &folder.join("speed.svg"))?;
        println!("kept in {}", folder.display());
    }
    Ok(())
}
