//! How long a job takes from the commit of its insert to the target.
//!
//! The commit counts from when the client hears of it; the target's time is that of its handler's
//! first line. Both clocks are this machine's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::result::Latency;
use super::{Scale, quietest};
use crate::Result;
use crate::machine::{Disturbance, Quiet};
use crate::project::Project;

/// Jobs under way at once beside load; the queue has a worker for each.
const AT_ONCE: usize = 5;
/// Workers of the queue that is the load, and the time of its calls in milliseconds.
const LOAD: (u32, u32) = (10, 100);

/// At rest, and beside a queue that has no free worker.
pub(super) async fn all(
    project: &Project,
    scale: Scale,
    quiet: &mut Quiet,
) -> Result<Vec<Latency>> {
    project.renew_functions().await;
    project.queue("probe", u32::try_from(AT_ONCE)?).await?;
    // The first one starts the functions.
    probe(&project.client).await?;

    // One after the other: pg_net rests for a second after each.
    let idle = quietest(quiet, async || probes(project, scale.probes, 1).await).await?;
    let idle = summary("idle", idle);

    let (workers, call_ms) = LOAD;
    project.queue("load", workers).await?;
    let loaded = quietest(quiet, async || {
        // More than it can do in the time that any of them may take.
        let seconds = u32::try_from(scale.probes * 2 / AT_ONCE)? * 6 + 60;
        project
            .enqueue("load", workers * seconds * 1000 / call_ms, call_ms)
            .await?;
        let times = probes(project, scale.probes * 2, AT_ONCE).await?;
        let left: i64 = project
            .client
            .query_one(
                "select s.pending::bigint from supaqueue.queue_status s where s.name = 'load'",
                &[],
            )
            .await?
            .get(0);
        if left == 0 {
            return Err("the load ended before the last latency beside it was measured".into());
        }
        project.drain("load").await?;
        Ok(times)
    })
    .await?;
    let loaded = summary("under load", loaded);
    project.drop_queue("load").await?;
    project.drop_queue("probe").await?;
    Ok(vec![idle, loaded])
}

/// The latencies of so many jobs, some of them at once.
async fn probes(project: &Project, number: usize, at_once: usize) -> Result<Vec<f64>> {
    let mut probers = JoinSet::new();
    for _ in 0..at_once {
        let client = project.stack.database().connect().await?;
        probers.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..number.div_ceil(at_once) {
                // So that pg_net has come to rest, and at any point of whatever else is periodic.
                let pause = rand::rng().random_range(1050..1450);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                times.push(probe(&client).await?);
            }
            Result::<Vec<f64>>::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(some) = probers.join_next().await {
        times.extend(some??);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// The latency of one job, in milliseconds.
async fn probe(client: &Client) -> Result<f64> {
    let job: String = client
        .query_one(
            "insert into supaqueue.job (queue, payload)
             values (supaqueue.queue_id('probe'), '{\"ms\": 0}') returning id::text",
            &[],
        )
        .await?
        .get(0);
    let committed_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while tokio::time::Instant::now() < deadline {
        let reached_ms: Option<f64> = client
            .query_one(
                "select (j.result ->> 'reached_at')::float8
                 from supaqueue.job j where j.id = $1::text::uuid",
                &[&job],
            )
            .await?
            .get(0);
        if let Some(reached_ms) = reached_ms {
            return Ok(reached_ms - committed_ms);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err("a job did not reach its target in a minute".into())
}

fn summary(when: &'static str, (times, disturbance): (Vec<f64>, Disturbance)) -> Latency {
    let percentile = |percent: usize| {
        // The smallest number that so many percent are not above ("nearest rank").
        let rank = (times.len() * percent).div_ceil(100).max(1);
        times.get(rank - 1).copied().unwrap_or(f64::NAN)
    };
    let result = Latency {
        when,
        probes: times.len(),
        p50_ms: percentile(50),
        p95_ms: percentile(95),
        p99_ms: percentile(99),
        disturbance,
    };
    println!(
        "  latency {when}: p50 {:.0} ms, p95 {:.0} ms, {} {:.0} ms; {disturbance}",
        result.p50_ms,
        result.p95_ms,
        result.last(),
        result.p99_ms
    );
    result
}
