//! Settle-and-next: the one call that a busy queue consists of.

use super::Scale;
use super::lanes::Lanes;
use super::project::{Project, Stage};
use crate::Result;
use crate::machine::Quiet;
use crate::table::{Spread, Table, grouped};

/// Connections, as many as the goal names.
const CONNECTIONS: u32 = 8;
/// Jobs per second that eight connections reach.
const RATE: f64 = 2000.0;
/// So many times as many turns are taken at most, until enough met a quiet machine.
const PATIENCE: usize = 5;
/// What a backlog may cost at most.
const COST: f64 = 1.2;

/// A database with jobs, and its lanes.
pub(crate) struct Backlog {
    pub(crate) stage: Stage,
    lanes: Lanes,
    pub(crate) name: String,
}

/// The one queue of each.
pub(crate) const QUEUE: &str = "queue";

/// Databases with few pending jobs, with many, and with many finished ones.
pub(crate) async fn backlogs(project: &Project, scale: Scale) -> Result<Vec<Backlog>> {
    Ok(vec![
        backlog(project, scale.few, 0).await?,
        backlog(project, scale.many, 0).await?,
        backlog(project, scale.few, scale.many).await?,
    ])
}

async fn backlog(project: &Project, pending: u32, finished: u32) -> Result<Backlog> {
    let stage = project.database().await?;
    stage.queues(&[QUEUE], CONNECTIONS).await?;
    if finished > 0 {
        stage.finish(QUEUE, finished).await?;
    }
    stage.enqueue(&[QUEUE], pending).await?;
    let lanes = Lanes::of(&stage).await?;
    stage.settle_down().await?;
    let name = match finished {
        0 => format!("{} pending jobs", grouped(pending)),
        _ => format!("{} finished jobs", grouped(finished)),
    };
    println!("a database with {name} is made");
    Ok(Backlog { stage, lanes, name })
}

/// What many jobs cost, compared with few, by turns: once in time, at eight connections with
/// commits that wait for the disk; once in the time that one connection's process computes,
/// where neither the disk nor whatever else runs on the machine hides what the database does.
pub(crate) async fn cost(backlogs: &mut [Backlog], scale: Scale, table: &mut Table) -> Result<()> {
    for (connections, waits) in [(CONNECTIONS, true), (1, false)] {
        let mut costs = vec![Vec::new(); backlogs.len()];
        for _ in 0..scale.turns {
            for (backlog, costs) in backlogs.iter_mut().zip(&mut costs) {
                backlog.lanes.wait_for_disk(waits).await?;
                let before_ms = backlog.lanes.processor_ms()?;
                let counts = backlog
                    .lanes
                    .run(usize::try_from(connections)?, scale.turn)
                    .await?;
                let settled: u32 = counts.iter().sum();
                let ms = if waits {
                    scale.turn.as_secs_f64() * 1000.0
                } else {
                    backlog.lanes.processor_ms()? - before_ms
                };
                costs.push(ms / f64::from(settled));
                // As many as before, for the next turn.
                backlog.stage.enqueue(&[QUEUE], settled).await?;
            }
        }
        let how = if waits {
            "8 connections, in time"
        } else {
            "one connection, computing"
        };
        let costs: Vec<Spread> = costs.into_iter().map(Spread::of).collect();
        for (backlog, cost) in backlogs.iter().zip(&costs).skip(1) {
            let ratio = cost.median / costs[0].median;
            table.add(
                format!("settle-and-next with {}, {how}", backlog.name),
                format!(
                    "{cost:.3} ms per job; {:.3} with {}",
                    costs[0], backlogs[0].name
                ),
                format!("{ratio:.2}"),
                format!("≤ {COST}"),
                ratio <= COST,
            );
        }
    }
    Ok(())
}

/// How many jobs are settled per second by eight connections, on one queue and on eight, by turns;
/// those count in which the processors were fastest.
pub(crate) async fn throughput(project: &Project, scale: Scale, table: &mut Table) -> Result<()> {
    let names: Vec<String> = (1..=CONNECTIONS)
        .map(|number| format!("queue {number}"))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lanes = Vec::new();
    for queues in [&names[..1], &names] {
        let stage = project.database().await?;
        let number = u32::try_from(queues.len())?;
        stage.queues(queues, CONNECTIONS / number).await?;
        stage.enqueue(queues, scale.many / 2 / number).await?;
        lanes.push(Lanes::of(&stage).await?);
        stage.settle_down().await?;
    }

    // New connections have to plan everything first.
    for lanes in &mut lanes {
        lanes
            .rate(usize::try_from(CONNECTIONS)?, scale.turn)
            .await?;
    }
    // Short turns: a machine is seldom quiet for long.
    let wanted = scale.turns * 3;
    let (turns, taken) = Quiet::new()
        .turns(wanted, wanted * PATIENCE, async || {
            let mut rates = [0.0; 2];
            for (lanes, rate) in lanes.iter_mut().zip(&mut rates) {
                *rate = lanes
                    .rate(usize::try_from(CONNECTIONS)?, scale.turn / 3)
                    .await?;
            }
            Ok(rates)
        })
        .await?;
    let beside = turns.iter().filter_map(|(_, beside)| beside.computation_ms);
    println!(
        "{} of {taken} turns count: those with a fixed computation of {:.1} ms beside them",
        turns.len(),
        Spread::of(beside.collect())
    );
    let [one, eight] =
        [0, 1].map(|of| Spread::of(turns.iter().map(|(rates, _)| rates[of]).collect()));
    let ratio = one.median / eight.median;
    table.add(
        "settle-and-next at 8 connections, one queue",
        format!("{one:.0} per second"),
        format!("{:.2}", one.median / RATE),
        format!("≥ {RATE} per second on a quiet 2-core machine"),
        one.median >= RATE,
    );
    table.add(
        "one queue, compared with eight",
        format!("{one:.0} and {eight:.0} per second"),
        format!("{ratio:.2}"),
        "no slower (≥ 0.95, for the noise)",
        ratio >= 0.95,
    );
    Ok(())
}
