//! Measures what the engine costs, on a Postgres whose commits wait for the disk.
//!
//! Each number is a median of runs that take turns, so that a slow moment of the
//! machine meets all of them; what the machine did meanwhile is printed beside them.

mod insert;
mod lanes;
mod open_transaction;
mod project;
mod settle;
mod tick;

use std::time::Duration;

use crate::Result;
use crate::machine::{self, Moment, computation_ms, fsync_ms};
use crate::table::Table;
use project::Project;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// "A million jobs".
    many: u32,
    /// "Ten thousand jobs".
    few: u32,
    /// Turns of what is compared.
    turns: usize,
    /// How long a turn takes.
    turn: Duration,
    /// How long a transaction is left open.
    open: Duration,
}

pub(crate) const FULL: Scale = Scale {
    many: 1_000_000,
    few: 10_000,
    turns: 7,
    turn: Duration::from_secs(3),
    open: Duration::from_secs(60),
};

pub(crate) const QUICK: Scale = Scale {
    many: 100_000,
    few: 10_000,
    turns: 3,
    turn: Duration::from_secs(1),
    open: Duration::from_secs(6),
};

/// Measures it all.
pub(crate) async fn measure(scale: Scale) -> Result<()> {
    let project = Project::start().await?;
    let mut table = Table::default();
    println!(
        "Postgres {}, fsync on, {}\n",
        project.version(),
        machine::description()?
    );

    let mut backlogs = settle::backlogs(&project, scale).await?;
    quietly(&project, settle::cost(&mut backlogs, scale, &mut table)).await?;
    quietly(&project, tick::idle(&backlogs, &mut table)).await?;
    quietly(&project, insert::one_into_busy_queue(&backlogs, &mut table)).await?;
    quietly(&project, insert::many_at_once(&project, &mut table)).await?;
    quietly(&project, settle::throughput(&project, scale, &mut table)).await?;
    quietly(
        &project,
        open_transaction::beside(&project, scale, &mut table),
    )
    .await?;

    println!("\n{table}");
    Ok(())
}

/// Shows after a measurement how quiet the machine was.
async fn quietly(project: &Project, measurement: impl Future<Output = Result<()>>) -> Result<()> {
    let speeds = || -> Result<(f64, f64)> { Ok((computation_ms(), fsync_ms(project.folder())?)) };
    let (computation, fsync) = speeds()?;
    let before = Moment::now()?;
    measurement.await?;
    let disturbance = Moment::now()?.since(&before);
    let (computation_after, fsync_after) = speeds()?;
    println!(
        "  the machine: a fixed computation {computation:.2} → {computation_after:.2} ms, \
         fsync {fsync:.2} → {fsync_after:.2} ms, {disturbance}\n"
    );
    Ok(())
}
