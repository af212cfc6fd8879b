//! The maximum throughput, with a target that answers at once, and the CPU time per job.

use std::time::Duration;

use super::cpu_time::CpuTime;
use super::result::MaxThroughput;
use super::{Scale, quietest};
use crate::Result;
use crate::machine::Quiet;
use crate::project::Project;

const QUEUE: &str = "throughput";
/// Jobs per second, safely above what any machine reaches.
const UPPER_BOUND: u32 = 2000;

/// Measures with 10 and with 50 workers.
pub(super) async fn all(
    project: &Project,
    scale: Scale,
    quiet: &mut Quiet,
) -> Result<Vec<MaxThroughput>> {
    let mut results = Vec::new();
    for workers in [10, 50] {
        let ((jobs_per_second, cpu_ms_per_job), noise) =
            quietest(quiet, async || one(project, scale, workers).await).await?;
        let result = MaxThroughput {
            workers,
            jobs_per_second,
            cpu_ms_per_job,
            noise,
        };
        println!(
            "  maximum throughput, {workers} workers: {jobs_per_second:.0} jobs/s, {:.2} ms of CPU time per job; {noise}",
            cpu_ms_per_job.sum()
        );
        results.push(result);
    }
    Ok(results)
}

async fn one(project: &Project, scale: Scale, workers: u32) -> Result<(f64, CpuTime)> {
    project.restart_functions().await;
    project.create_queue(QUEUE, workers).await?;
    let seconds = u32::try_from((scale.warm_up + scale.window).as_secs())? + 2;
    project.enqueue(QUEUE, UPPER_BOUND * seconds, 0).await?;
    tokio::time::sleep(scale.warm_up).await;
    let before = CpuTime::now(&project.stack).await?;
    let jobs_per_second = project
        .throughput(QUEUE, Duration::ZERO, scale.window)
        .await?;
    let jobs = jobs_per_second * scale.window.as_secs_f64();
    let after = CpuTime::now(&project.stack).await?;
    project.drop_queue(QUEUE).await?;
    Ok((jobs_per_second, after.per_job_since(before, jobs)))
}
