//! Measures the cost of the engine in Postgres, with commits that wait for the disk.
//!
//! Each number is the median of several runs. Runs that are compared alternate, so that a slow phase of
//! the machine affects all of them. The state of the machine is printed next to the results.

pub(crate) mod database;
mod insert;
pub(crate) mod lanes;
mod open_transaction;
mod queues;
mod settle;
mod tick;
mod unsaturated;
mod wal;

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::Result;
use crate::machine::{self, CpuSnapshot, fsync_ms, reference_ms};
use crate::numbers::median;
use crate::results;
use crate::table::Table;
use database::Server;

/// The size of the benchmark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// The number of jobs in a large table.
    many: u32,
    /// The number of jobs in a small table.
    few: u32,
    /// The number of queues in a project with many.
    queues: u32,
    /// The number of runs of each measurement.
    runs: usize,
    /// The duration of a run.
    run: Duration,
    /// How long a transaction stays open.
    open: Duration,
}

pub(crate) const FULL: Scale = Scale {
    many: 1_000_000,
    few: 10_000,
    queues: 20_000,
    runs: 7,
    run: Duration::from_secs(3),
    open: Duration::from_secs(60),
};

pub(crate) const QUICK: Scale = Scale {
    many: 100_000,
    few: 10_000,
    queues: 10_000,
    runs: 3,
    run: Duration::from_secs(1),
    open: Duration::from_secs(6),
};

/// Runs the benchmark and prints the results.
pub(crate) async fn measure(scale: Scale) -> Result<()> {
    let server = Server::start().await?;
    let numbers = if scale.many == FULL.many {
        "engine"
    } else {
        "engine-quick"
    };
    let mut table = Table::compared_with(results::load(numbers)?);
    println!(
        "Postgres {}, fsync on, {}\n",
        server.version(),
        machine::description()?
    );

    let mut backlogs = settle::backlogs(&server, scale).await?;
    with_noise(&server, settle::cost(&mut backlogs, scale, &mut table)).await?;
    with_noise(&server, tick::idle(&backlogs, &mut table)).await?;
    with_noise(&server, insert::one_into_busy_queue(&backlogs, &mut table)).await?;
    with_noise(&server, insert::many_at_once(&server, &mut table)).await?;
    with_noise(&server, insert::with_keys(&server, &mut table)).await?;
    with_noise(&server, insert::many_with_keys(&server, &mut table)).await?;
    with_noise(&server, settle::throughput(&server, scale, &mut table)).await?;
    with_noise(
        &server,
        open_transaction::measure(&server, scale, &mut table),
    )
    .await?;
    with_noise(&server, wal::measure(&server, &mut table)).await?;
    with_noise(&server, unsaturated::measure(&server, scale, &mut table)).await?;
    with_noise(&server, queues::measure(&server, scale, &mut table)).await?;
    with_noise(&server, tick::schedules(&server, &mut table)).await?;

    println!("\n{table}");
    results::store(numbers, table.numbers())
}

/// Takes a measurement and prints the noise during it.
async fn with_noise(server: &Server, measurement: impl Future<Output = Result<()>>) -> Result<()> {
    let speeds = || -> Result<(f64, f64)> { Ok((reference_ms(), fsync_ms(server.folder())?)) };
    let (reference, fsync) = speeds()?;
    let before = CpuSnapshot::now()?;
    measurement.await?;
    let noise = CpuSnapshot::now()?.since(&before);
    let (reference_after, fsync_after) = speeds()?;
    println!(
        "  machine: reference computation {reference:.2} → {reference_after:.2} ms, \
         fsync {fsync:.2} → {fsync_after:.2} ms, {noise}\n"
    );
    Ok(())
}

/// The median response time of a statement, in milliseconds.
async fn median_ms(client: &Client, sql: &str) -> Result<f64> {
    let statement = client.prepare(sql).await?;
    let mut times = Vec::new();
    for _ in 0..300 {
        let start = Instant::now();
        client.execute(&statement, &[]).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(&mut times))
}
