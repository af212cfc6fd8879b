//! How near a queue comes to its limit: workers ÷ call time.

use std::time::Duration;

use super::page;
use super::result::Efficiency;
use super::{Scale, quietest};
use crate::Result;
use crate::machine::Quiet;
use crate::project::Project;

/// Workers, the time of a call in milliseconds, and the efficiency that is wanted.
const LOADS: [(u32, u32, Option<f64>); 4] = [
    (1, 100, None),
    (10, 100, Some(0.90)),
    (50, 100, Some(0.80)),
    (10, 1000, None),
];

/// Which load the usual way is given, too.
const COMPARED: (u32, u32) = (10, 100);

/// All loads, one after the other.
pub(super) async fn all(
    project: &Project,
    scale: Scale,
    quiet: &mut Quiet,
) -> Result<Vec<Efficiency>> {
    let mut results = Vec::new();
    for (workers, call_ms, goal) in LOADS {
        let mut add = |way, goal, (rate, disturbance)| {
            let limit = f64::from(workers) * 1000.0 / f64::from(call_ms);
            let result = Efficiency {
                way,
                workers,
                call_ms,
                jobs_per_second: rate,
                efficiency: rate / limit,
                goal,
                disturbance,
            };
            println!(
                "  {way}, {} × {call_ms} ms: {rate:.1} jobs/s of {limit:.0}, efficiency {:.2}; {disturbance}",
                page::workers(workers),
                result.efficiency
            );
            results.push(result);
        };
        let measured = quietest(quiet, async || {
            supaqueue_way(project, scale, workers, call_ms).await
        })
        .await?;
        add("supaqueue", goal, measured);
        if (workers, call_ms) == COMPARED {
            let measured = quietest(quiet, async || {
                usual_way(project, scale, workers, call_ms).await
            })
            .await?;
            add("usual way", None, measured);
        }
    }
    Ok(results)
}

/// Jobs that end per second while there are always more.
async fn supaqueue_way(project: &Project, scale: Scale, workers: u32, call_ms: u32) -> Result<f64> {
    project.renew_functions().await;
    project.queue("efficiency", workers).await?;
    project
        .enqueue("efficiency", enough(scale, workers, call_ms), call_ms)
        .await?;
    let rate = project
        .rate(
            "select s.successful from supaqueue.queue_status s where s.name = 'efficiency'",
            scale.warm_up,
            scale.window,
        )
        .await?;
    project.drop_queue("efficiency").await?;
    Ok(rate)
}

/// The same without Supaqueue: one pg_net call for each job, in which the target is awaited.
async fn usual_way(project: &Project, scale: Scale, workers: u32, call_ms: u32) -> Result<f64> {
    project.renew_functions().await;
    project
        .client
        .execute(
            &format!(
                "insert into usual_way.job (payload)
                 select jsonb_build_object('ms', {call_ms}) from generate_series(1, {})",
                enough(scale, workers, call_ms)
            ),
            &[],
        )
        .await?;
    project
        .client
        .execute(&format!("select usual_way.start({workers})"), &[])
        .await?;
    let rate = project
        .rate(
            "select count(*) from usual_way.job j where j.status = 'successful'",
            scale.warm_up,
            scale.window,
        )
        .await?;
    project
        .client
        .execute(
            "delete from usual_way.job j where j.status = 'pending'",
            &[],
        )
        .await?;
    project
        .settle(
            "select count(*) from usual_way.job j where j.status = 'in_progress' and $1 <> ''",
            "the usual way",
        )
        .await?;
    project
        .client
        .execute("delete from usual_way.job j where true", &[])
        .await?;
    Ok(rate)
}

/// More jobs than the limit allows in the time.
fn enough(scale: Scale, workers: u32, call_ms: u32) -> u32 {
    let ms = (scale.warm_up + scale.window + Duration::from_secs(2)).as_millis();
    workers * u32::try_from(ms).unwrap_or(u32::MAX) / call_ms
}
