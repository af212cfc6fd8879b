//! What became of the jobs that finished in some time, and how long they took to reach the target.
//!
//! The time is from the start of the insert's transaction (`created_at`), so that the commit is in
//! it, to the first line of the target's handler. Both clocks are this machine's.

use serde::Serialize;
use tokio_postgres::Client;

use crate::Result;

/// Jobs that finished in some time.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finished {
    pub(super) successful: u32,
    /// Of them, how many took more than one attempt.
    pub(super) repeated: u32,
    pub(super) p50_ms: Option<f64>,
    pub(super) p95_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

/// From one time (inclusive) to another (exclusive), in seconds since 1970.
pub(super) async fn finished(client: &Client, from: f64, to: f64) -> Result<Finished> {
    let row = client
        .query_one(
            "select count(*), count(*) filter (where j.attempts > 1),
               percentile_disc(array[0.5, 0.95, 0.99]) within group (
                 order by (j.result ->> 'reached_at')::float8 - extract(epoch from j.created_at)::float8 * 1000
               )
             from supaqueue.queue q
             join supaqueue.job j on j.queue = q.id
             where j.status = 'successful' and j.finished_at >= to_timestamp($1) and j.finished_at < to_timestamp($2)",
            &[&from, &to],
        )
        .await?;
    let percentiles: Option<Vec<f64>> = row.get(2);
    let percentile = |place: usize| percentiles.as_ref()?.get(place).copied();
    Ok(Finished {
        successful: u32::try_from(row.get::<_, i64>(0))?,
        repeated: u32::try_from(row.get::<_, i64>(1))?,
        p50_ms: percentile(0),
        p95_ms: percentile(1),
        p99_ms: percentile(2),
    })
}
