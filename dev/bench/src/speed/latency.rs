//! The latency of a job, from the commit of its insert, or the time of its retry, until the call reaches the
//! target.
//!
//! It begins when the client has received the answer to the commit, or at `run_at`, and ends at the first
//! line of the target's handler. All use the clock of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::result::Latency;
use super::{Scale, quietest};
use crate::Result;
use crate::machine::{Noise, Quiet};
use crate::numbers::percentile;
use crate::project::Project;

/// The number of concurrent probes under load. Their queue has a worker for each.
const CONCURRENT: usize = 5;
/// The workers of the queue that makes the load, and the time of its calls in milliseconds.
const LOAD: (u32, u32) = (10, 100);

/// What a latency is of.
#[derive(Debug, Clone, Copy)]
enum Start {
    New,
    Retry,
}

/// Measures the latency when idle, that of retries, and that beside a queue without free workers.
pub(super) async fn all(
    project: &Project,
    scale: Scale,
    quiet: &mut Quiet,
) -> Result<Vec<Latency>> {
    project.restart_functions().await;
    project
        .create_queue("probe", u32::try_from(CONCURRENT)?)
        .await?;
    // The first call starts the functions.
    probe(&project.client, Start::New).await?;

    // One at a time: pg_net pauses for a second after each batch.
    let idle = quietest(quiet, async || {
        probes(project, scale.probes, 1, Start::New).await
    })
    .await?;
    let idle = summary("idle", idle);
    let retries = quietest(quiet, async || {
        probes(project, scale.probes, 1, Start::Retry).await
    })
    .await?;
    let retries = summary("of a retry", retries);

    let (workers, call_ms) = LOAD;
    project.create_queue("load", workers).await?;
    let loaded = quietest(quiet, async || {
        // More jobs than can finish while the probes are measured, even slow ones.
        let seconds = u32::try_from(scale.probes * 2 / CONCURRENT)? * 6 + 60;
        project
            .enqueue("load", workers * seconds * 1000 / call_ms, call_ms)
            .await?;
        let times = probes(project, scale.probes * 2, CONCURRENT, Start::New).await?;
        let left: i64 = project
            .client
            .query_one(
                "select s.pending::bigint from supaqueue.queue_status s where s.name = 'load'",
                &[],
            )
            .await?
            .get(0);
        if left == 0 {
            return Err("the load ended before the last latency was measured".into());
        }
        project.drain("load").await?;
        Ok(times)
    })
    .await?;
    let loaded = summary("under load", loaded);
    project.drop_queue("load").await?;
    project.drop_queue("probe").await?;
    Ok(vec![idle, retries, loaded])
}

/// The sorted latencies of `number` jobs, `concurrent` of them at a time.
async fn probes(
    project: &Project,
    number: usize,
    concurrent: usize,
    start: Start,
) -> Result<Vec<f64>> {
    let mut probers = JoinSet::new();
    for _ in 0..concurrent {
        let client = project.stack.database().connect().await?;
        probers.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..number.div_ceil(concurrent) {
                // Longer than pg_net's pause, and random, so as not to be in phase with anything periodic.
                let pause = fastrand::u64(1050..1450);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                times.push(probe(&client, start).await?);
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
async fn probe(client: &Client, start: Start) -> Result<f64> {
    let job: String = client
        .query_one(
            "insert into supaqueue.job (queue, payload)
             values (supaqueue.queue_id('probe'), jsonb_build_object('ms', 0, 'fails_first', $1::boolean))
             returning id::text",
            &[&matches!(start, Start::Retry)],
        )
        .await?
        .get(0);
    let committed_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64() * 1000.0;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while tokio::time::Instant::now() < deadline {
        let row = client
            .query_one(
                "select (j.result ->> 'reached_at')::float8, extract(epoch from j.run_at)::float8 * 1000
                 from supaqueue.job j where j.id = $1::text::uuid",
                &[&job],
            )
            .await?;
        if let Some(reached_ms) = row.get::<_, Option<f64>>(0) {
            let start_ms = match start {
                Start::New => committed_ms,
                Start::Retry => row.get(1),
            };
            return Ok(reached_ms - start_ms);
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    Err("a job did not reach its target in a minute".into())
}

fn summary(when: &'static str, (times, noise): (Vec<f64>, Noise)) -> Latency {
    let result = Latency {
        when,
        probes: times.len(),
        p50_ms: percentile(&times, 50),
        p95_ms: percentile(&times, 95),
        p99_ms: percentile(&times, 99),
        noise,
    };
    println!(
        "  latency {when}: p50 {:.0} ms, p95 {:.0} ms, {} {:.0} ms; {noise}",
        result.p50_ms,
        result.p95_ms,
        result.highest(),
        result.p99_ms
    );
    result
}
