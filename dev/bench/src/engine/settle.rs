//! The cost of a report that starts the next job, the only call that a busy queue needs per job.

use super::Scale;
use super::database::{Server, TestDatabase};
use super::lanes::Lanes;
use crate::Result;
use crate::machine::Quiet;
use crate::numbers::{Spread, grouped};
use crate::table::Table;

/// The number of connections in the goal.
const CONNECTIONS: u32 = 8;
/// The goal for these connections, in jobs per second.
const RATE: f64 = 2000.0;
/// How many times as many runs as wanted are taken at most to find enough on a quiet machine.
const MAX_REPEATS: usize = 5;
/// The maximum cost of a job in a large table, relative to a small one.
const MAX_COST: f64 = 1.2;

/// A database with jobs and its lanes.
pub(crate) struct Backlog {
    pub(crate) database: TestDatabase,
    lanes: Lanes,
    pub(crate) name: String,
}

/// The only queue of each of these databases.
pub(crate) const QUEUE: &str = "queue";

/// Databases with few pending jobs, many pending jobs, and many finished jobs.
pub(crate) async fn backlogs(server: &Server, scale: Scale) -> Result<Vec<Backlog>> {
    Ok(vec![
        backlog(server, scale.few, 0).await?,
        backlog(server, scale.many, 0).await?,
        backlog(server, scale.few, scale.many).await?,
    ])
}

async fn backlog(server: &Server, pending: u32, finished: u32) -> Result<Backlog> {
    let database = server.database().await?;
    database.create_queues(&[QUEUE], CONNECTIONS).await?;
    if finished > 0 {
        database.insert_finished(QUEUE, finished).await?;
    }
    database.enqueue(&[QUEUE], pending).await?;
    let lanes = Lanes::of(&database).await?;
    database.vacuum().await?;
    let name = match finished {
        0 => format!("{} pending jobs", grouped(pending)),
        _ => format!("{} finished jobs", grouped(finished)),
    };
    println!("created a database with {name}");
    Ok(Backlog {
        database,
        lanes,
        name,
    })
}

/// Compares the cost of a job in a large table with that in a small one: as elapsed time, with eight
/// connections whose commits wait for the disk, and as CPU time of one connection, where neither the
/// disk nor other processes hide the work of the database.
pub(crate) async fn cost(backlogs: &mut [Backlog], scale: Scale, table: &mut Table) -> Result<()> {
    for (connections, is_synchronous) in [(CONNECTIONS, true), (1, false)] {
        let mut costs = vec![Vec::new(); backlogs.len()];
        for _ in 0..scale.runs {
            for (backlog, costs) in backlogs.iter_mut().zip(&mut costs) {
                backlog.lanes.set_synchronous_commit(is_synchronous).await?;
                let before_ms = backlog.lanes.cpu_ms()?;
                let counts = backlog
                    .lanes
                    .run(usize::try_from(connections)?, scale.run)
                    .await?;
                let settled: u32 = counts.iter().sum();
                let ms = if is_synchronous {
                    scale.run.as_secs_f64() * 1000.0
                } else {
                    backlog.lanes.cpu_ms()? - before_ms
                };
                costs.push(ms / f64::from(settled));
                // Restores the number of jobs for the next run.
                backlog.database.enqueue(&[QUEUE], settled).await?;
            }
        }
        let how = if is_synchronous {
            "8 connections, elapsed time"
        } else {
            "1 connection, CPU time"
        };
        let costs: Vec<Spread> = costs.into_iter().map(Spread::of).collect();
        table.add(
            format!("report and start, {}, {how}", backlogs[0].name),
            format!("{:.3} ms per job", costs[0]),
            format!("{:.3}", costs[0].median),
            "less than before",
            true,
        );
        for (backlog, cost) in backlogs.iter().zip(&costs).skip(1) {
            let ratio = cost.median / costs[0].median;
            table.add(
                format!("report and start, {}, {how}", backlog.name),
                format!(
                    "{cost:.3} ms per job; {:.3} with {}",
                    costs[0], backlogs[0].name
                ),
                format!("{ratio:.2}"),
                format!("≤ {MAX_COST}"),
                ratio <= MAX_COST,
            );
        }
    }
    Ok(())
}

/// Compares how many jobs eight connections settle per second in one queue and in eight queues, using
/// the runs with the quietest machine.
pub(crate) async fn throughput(server: &Server, scale: Scale, table: &mut Table) -> Result<()> {
    let names: Vec<String> = (1..=CONNECTIONS)
        .map(|number| format!("queue {number}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lanes = Vec::new();
    for queues in [&names[..1], &names] {
        let database = server.database().await?;
        let number = u32::try_from(queues.len())?;
        database.create_queues(queues, CONNECTIONS / number).await?;
        database.enqueue(queues, scale.many / 2 / number).await?;
        lanes.push(Lanes::of(&database).await?);
        database.vacuum().await?;
    }

    // A warm-up: new connections first have to plan every query.
    for lanes in &mut lanes {
        lanes.rate(usize::try_from(CONNECTIONS)?, scale.run).await?;
    }
    // Short runs, because a machine is seldom quiet for long.
    let wanted = scale.runs * 3;
    let (runs, taken) = Quiet::new()
        .runs(wanted, wanted * MAX_REPEATS, async || {
            let mut rates = [0.0; 2];
            for (lanes, rate) in lanes.iter_mut().zip(&mut rates) {
                *rate = lanes
                    .rate(usize::try_from(CONNECTIONS)?, scale.run / 3)
                    .await?;
            }
            Ok(rates)
        })
        .await?;
    let reference = runs.iter().filter_map(|(_, noise)| noise.reference_ms);
    println!(
        "using {} of {taken} runs, with a reference computation of {:.1} ms",
        runs.len(),
        Spread::of(reference.collect())
    );
    let [one, eight] =
        [0, 1].map(|of| Spread::of(runs.iter().map(|(rates, _)| rates[of]).collect()));
    let ratio = one.median / eight.median;
    table.add(
        "report and start, 8 connections, one queue",
        format!("{one:.0} jobs/s"),
        format!("{:.2}", one.median / RATE),
        format!("≥ {RATE} jobs/s on a quiet 2-core machine"),
        one.median >= RATE,
    );
    table.add(
        "report and start, one queue compared with eight",
        format!("{one:.0} and {eight:.0} jobs/s"),
        format!("{ratio:.2}"),
        "≥ 0.95 (no slower, given the noise)",
        ratio >= 0.95,
    );
    Ok(())
}
