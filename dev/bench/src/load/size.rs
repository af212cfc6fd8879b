//! The sizes of the tables and their indexes, and how many jobs wait.

use serde::Serialize;
use tokio_postgres::Client;

use crate::Result;

/// A table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Size {
    pub(super) table: String,
    pub(super) table_mb: f64,
    pub(super) indexes_mb: f64,
    /// Rows that vacuum has yet to remove, as the statistics estimate it.
    pub(super) dead_rows: i64,
}

/// The tables that each job changes.
pub(super) async fn sizes(client: &Client) -> Result<Vec<Size>> {
    let rows = client
        .query(
            "select s.relname::text, pg_table_size(s.relid) / 1e6::float8, pg_indexes_size(s.relid) / 1e6::float8,
               s.n_dead_tup
             from pg_stat_user_tables s
             where s.schemaname = 'supaqueue'
               and s.relname in ('job', 'current_job', 'worker', 'queue_front')
             order by s.relname",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Size {
            table: row.get(0),
            table_mb: row.get(1),
            indexes_mb: row.get(2),
            dead_rows: row.get(3),
        })
        .collect())
}

/// Jobs that are not finished.
pub(super) async fn backlog(client: &Client) -> Result<i64> {
    let row = client
        .query_one(
            "select coalesce(sum(s.pending + s.in_progress), 0)::bigint from supaqueue.queue_status s",
            &[],
        )
        .await?;
    Ok(row.get(0))
}
