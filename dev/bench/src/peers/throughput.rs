//! The calls per second of a queue that never runs empty.

use serde::Serialize;
use tokio::time::sleep;

use super::Scale;
use super::peer::{Inserts, Load, Peer};
use super::target::Target;
use super::usage::Usage;
use crate::Result;
use crate::project::{Project, vacuum};

/// More jobs per second than any machine reaches.
const UPPER_BOUND: u32 = 15_000;

/// A result.
#[derive(Debug, Serialize)]
pub(super) struct Throughput {
    pub(super) jobs_per_second: f64,
    pub(super) most_in_flight: u32,
    /// From the start of a job to its end, without its insert.
    pub(super) usage: Usage,
}

pub(super) async fn measure(
    project: &Project,
    target: &Target,
    peer: Peer,
    load: Load,
    scale: Scale,
) -> Result<Throughput> {
    let running = peer.start(project, target, load).await?;
    // Before the jobs are inserted: after a checkpoint, the first change of a page logs all of it.
    vacuum(project.stack.database()).await?;
    let admin = project.stack.database().connect_as_admin().await?;
    let seconds = u32::try_from((scale.warm_up + scale.window).as_secs())? + 2;
    let per_second = match load.call_ms {
        0 => UPPER_BOUND,
        call_ms => load.places * 1000 / call_ms,
    };
    let jobs = per_second * seconds;
    let payload = format!(r#"{{"ms": {}}}"#, load.call_ms);
    Inserts::of(project, peer)
        .await?
        .insert(jobs, &payload)
        .await?;
    // As autovacuum would soon.
    admin.batch_execute("analyze").await?;

    sleep(scale.warm_up).await;
    let (before, used_before) = (target.collect().await?, Usage::now(project, &admin).await?);
    sleep(scale.window).await;
    let (after, used_after) = (target.collect().await?, Usage::now(project, &admin).await?);
    running.stop().await?;

    if after.calls + load.places >= jobs {
        return Err(format!(
            "{} is faster than expected: it needs more jobs",
            peer.name()
        )
        .into());
    }
    let calls = after.calls - before.calls;
    if calls == 0 {
        return Err(format!("{} did not call the target", peer.name()).into());
    }
    Ok(Throughput {
        jobs_per_second: f64::from(calls) * 1000.0 / (after.now - before.now),
        most_in_flight: after.most_in_flight,
        usage: used_after.per_job(used_before, calls),
    })
}
