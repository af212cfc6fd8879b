//! Prepares the database.

use crate::Result;
use crate::project::{Project, vacuum};

/// Creates the baseline and the other jobs, half of them finished and half pending in a paused queue.
pub(super) async fn prepare(project: &Project, other_jobs: u32) -> Result<()> {
    project
        .client
        .batch_execute(include_str!("baseline.sql"))
        .await?;
    let half = other_jobs / 2;
    project
        .client
        .batch_execute(&format!(
            "insert into supaqueue.queue (name, edge_function_name, is_paused) values ('others', 'wait', true);
             insert into supaqueue.job (queue, payload)
             select supaqueue.queue_id('others'), jsonb_build_object('number', number)
             from generate_series(1, {half}) as number;
             insert into supaqueue.job
               (queue, payload, status, attempts, started_at, finished_at, http_status, result)
             select supaqueue.queue_id('others'), jsonb_build_object('number', number), 'successful', 1,
               now(), now(), 200, '{{\"ok\": true}}'
             from generate_series(1, {half}) as number"
        ))
        .await?;
    vacuum(project.stack.database()).await
}
