//! What is possible when the target takes no time, and who uses the processors then.

use std::time::Duration;

use super::result::Ceiling;
use super::share::Share;
use super::{Scale, quietest};
use crate::Result;
use crate::machine::Quiet;
use crate::project::Project;

/// Jobs per second that this is sure to stay below.
const BOUND: u32 = 2000;

/// With 10 workers, and with 50.
pub(super) async fn all(
    project: &Project,
    scale: Scale,
    quiet: &mut Quiet,
) -> Result<Vec<Ceiling>> {
    let mut results = Vec::new();
    for workers in [10, 50] {
        let ((jobs_per_second, processor_ms_per_job), disturbance) =
            quietest(quiet, async || one(project, scale, workers).await).await?;
        let result = Ceiling {
            workers,
            jobs_per_second,
            processor_ms_per_job,
            disturbance,
        };
        println!(
            "  ceiling, {workers} workers: {jobs_per_second:.0} jobs/s, {:.2} ms of processor time per job; {disturbance}",
            processor_ms_per_job.sum()
        );
        results.push(result);
    }
    Ok(results)
}

async fn one(project: &Project, scale: Scale, workers: u32) -> Result<(f64, Share)> {
    project.renew_functions().await;
    project.queue("ceiling", workers).await?;
    let seconds = u32::try_from((scale.warm_up + scale.window).as_secs())? + 2;
    project.enqueue("ceiling", BOUND * seconds, 0).await?;
    tokio::time::sleep(scale.warm_up).await;
    let before = Share::now(&project.stack).await?;
    let jobs_per_second = project
        .rate(
            "select s.successful from supaqueue.queue_status s where s.name = 'ceiling'",
            Duration::ZERO,
            scale.window,
        )
        .await?;
    let jobs = jobs_per_second * scale.window.as_secs_f64();
    let share = Share::now(&project.stack).await?.since(before, jobs);
    project.drop_queue("ceiling").await?;
    Ok((jobs_per_second, share))
}
