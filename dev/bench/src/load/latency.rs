//! Counts finished jobs and computes their latency.
//!
//! The latency includes the commit: it begins with the insert's transaction (`created_at`) and ends at
//! the first line of the target's handler. Both use the clock of this machine.

use serde::Serialize;
use tokio_postgres::Client;

use crate::Result;

/// Jobs that finished within a period.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Finished {
    pub(super) successful: u32,
    /// How many of them took more than one attempt.
    pub(super) retried: u32,
    pub(super) p50_ms: Option<f64>,
    pub(super) p95_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
}

/// Reads the jobs that finished in a period, given in seconds since 1970: `from` inclusive, `to` exclusive.
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
        retried: u32::try_from(row.get::<_, i64>(1))?,
        p50_ms: percentile(0),
        p95_ms: percentile(1),
        p99_ms: percentile(2),
    })
}
