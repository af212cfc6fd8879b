//! The sizes of tables and indexes, and the number of unfinished jobs.

use serde::Serialize;
use tokio_postgres::Client;

use crate::Result;

/// The size of a table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Size {
    pub(super) table: String,
    pub(super) table_mb: f64,
    pub(super) indexes_mb: f64,
    /// The estimated number of rows that vacuum has yet to remove.
    pub(super) dead_rows: f64,
}

/// The sizes of the tables that every job changes.
pub(super) async fn sizes(client: &Client) -> Result<Vec<Size>> {
    let rows = client
        .query(
            "select s.relname::text, pg_table_size(s.relid) / 1e6::float8, pg_indexes_size(s.relid) / 1e6::float8,
               s.n_dead_tup::float8
             from pg_stat_user_tables s
             where s.schemaname = 'supaqueue'
               and s.relname in ('job', 'current_job', 'worker', 'ready_job', 'held_job')
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

/// The number of unfinished jobs.
pub(super) async fn backlog(client: &Client) -> Result<f64> {
    let row = client
        .query_one(
            "select coalesce(sum(s.pending + s.in_progress), 0)::float8 from supaqueue.queue_status s",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

pub(super) fn job_table_mb(sizes: &[Size]) -> f64 {
    sum(sizes, true, |size| size.table_mb)
}

pub(super) fn job_indexes_mb(sizes: &[Size]) -> f64 {
    sum(sizes, true, |size| size.indexes_mb)
}

/// The size of all other tables, including their indexes.
pub(super) fn other_tables_mb(sizes: &[Size]) -> f64 {
    sum(sizes, false, |size| size.table_mb + size.indexes_mb)
}

/// The number of dead rows in the job table or in all others.
pub(super) fn dead_rows(sizes: &[Size], is_job: bool) -> f64 {
    sum(sizes, is_job, |size| size.dead_rows)
}

fn sum(sizes: &[Size], is_job: bool, value: fn(&Size) -> f64) -> f64 {
    let sizes = sizes.iter();
    sizes
        .filter(|size| (size.table == "job") == is_job)
        .map(value)
        .sum()
}
