//! How long a job takes from the commit of its insert to the target.
//!
//! The commit counts from when the client hears of it; the target's time is that of its handler's
//! first line. Both clocks are this machine's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::RngExt;

use super::Scale;
use super::result::Latency;
use super::undisturbed::undisturbed;
use crate::Result;
use crate::machine::Disturbance;
use crate::project::Project;

/// At rest, and beside a queue that has no free worker.
pub(super) async fn all(project: &Project, scale: Scale) -> Result<Vec<Latency>> {
    project.renew_functions().await;
    project.queue("probe", 5).await?;
    // The first one starts the functions.
    probe(project).await?;

    let idle = undisturbed(async || probes(project, scale).await).await?;
    let results = vec![summary("idle", idle), {
        project.queue("load", 10).await?;
        let seconds = u32::try_from(scale.probes)? * 2;
        project.enqueue("load", 100 * seconds * 3, 100).await?;
        let loaded = undisturbed(async || probes(project, scale).await).await?;
        project.drop_queue("load").await?;
        summary("under load", loaded)
    }];
    project.drop_queue("probe").await?;
    Ok(results)
}

/// So many, one after the other; after each, pg_net comes to rest.
async fn probes(project: &Project, scale: Scale) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..scale.probes {
        let pause = rand::rng().random_range(1100..1900);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        times.push(probe(project).await?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// The latency of one job, in milliseconds.
async fn probe(project: &Project) -> Result<f64> {
    let job: String = project
        .client
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
        let reached_ms: Option<f64> = project
            .client
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
        "  latency {when}: p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms; {disturbance}",
        result.p50_ms, result.p95_ms, result.p99_ms
    );
    result
}
