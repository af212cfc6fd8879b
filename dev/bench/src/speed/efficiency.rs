//! The throughput of a queue relative to its limit, workers ÷ (call time + hop).

use std::time::Duration;

use super::report::{BASELINE, workers as count_workers};
use super::result::Efficiency;
use super::{Scale, quietest};
use crate::Result;
use crate::machine::Quiet;
use crate::project::Project;

/// The workers, the time of a call in milliseconds, and the goal for the efficiency.
const LOADS: [(u32, u32, Option<f64>); 4] = [
    (1, 100, None),
    (10, 100, Some(0.90)),
    (50, 100, Some(0.80)),
    (10, 1000, None),
];

/// The load at which the baseline is measured, too.
const COMPARED: (u32, u32) = (10, 100);

/// Measures all loads.
pub(super) async fn all(
    project: &Project,
    scale: Scale,
    quiet: &mut Quiet,
) -> Result<Vec<Efficiency>> {
    let mut results = Vec::new();
    for (workers, call_ms, goal) in LOADS {
        let mut add = |is_baseline, goal, (rate, noise)| {
            let limit = project.limit(workers, call_ms);
            let result = Efficiency {
                is_baseline,
                workers,
                call_ms,
                jobs_per_second: rate,
                efficiency: rate / limit,
                goal,
                noise,
            };
            println!(
                "  {}, {} × {call_ms} ms: {rate:.1} jobs/s of {limit:.0}, efficiency {:.2}; {noise}",
                if is_baseline { BASELINE } else { "Supaqueue" },
                count_workers(workers),
                result.efficiency
            );
            results.push(result);
        };
        let measured = quietest(quiet, async || {
            supaqueue(project, scale, workers, call_ms).await
        })
        .await?;
        add(false, goal, measured);
        if (workers, call_ms) == COMPARED {
            let measured = quietest(quiet, async || {
                baseline(project, scale, workers, call_ms).await
            })
            .await?;
            add(true, None, measured);
        }
    }
    Ok(results)
}

/// Finished jobs per second of a queue that never runs empty.
async fn supaqueue(project: &Project, scale: Scale, workers: u32, call_ms: u32) -> Result<f64> {
    project.restart_functions().await;
    project.create_queue("efficiency", workers).await?;
    project
        .enqueue("efficiency", enough(scale, workers, call_ms), call_ms)
        .await?;
    let rate = project
        .throughput("efficiency", scale.warm_up, scale.window)
        .await?;
    project.drop_queue("efficiency").await?;
    Ok(rate)
}

/// The same without Supaqueue: one pg_net call per job, which awaits the target.
async fn baseline(project: &Project, scale: Scale, workers: u32, call_ms: u32) -> Result<f64> {
    project.restart_functions().await;
    project
        .client
        .execute(
            &format!(
                "insert into baseline.job (payload)
                 select jsonb_build_object('ms', {call_ms}) from generate_series(1, {})",
                enough(scale, workers, call_ms)
            ),
            &[],
        )
        .await?;
    project
        .client
        .execute(&format!("select baseline.start({workers})"), &[])
        .await?;
    let rate = project
        .rate(
            "select count(*) from baseline.job j where j.status = 'successful'",
            scale.warm_up,
            scale.window,
        )
        .await?;
    project
        .client
        .execute("delete from baseline.job j where j.status = 'pending'", &[])
        .await?;
    project
        .wait_for_zero("select count(*) from baseline.job j where j.status = 'in_progress'")
        .await?;
    project
        .client
        .execute("delete from baseline.job j where true", &[])
        .await?;
    Ok(rate)
}

/// More jobs than can finish in the time.
fn enough(scale: Scale, workers: u32, call_ms: u32) -> u32 {
    let ms = (scale.warm_up + scale.window + Duration::from_secs(2)).as_millis();
    workers * u32::try_from(ms).unwrap_or(u32::MAX) / call_ms
}
