//! What the inserters, the targets and the database know at the end.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::ledger::InsertedJob;
use crate::log::Call;
use crate::{QUEUES, Result, Scene};

/// A job as stored in its row.
#[derive(Debug, Clone, Default)]
pub struct JobRow {
    /// `successful`, `failed`, …
    pub status: String,
    /// The number of attempts so far.
    pub attempts: u32,
    /// The job's own limit, or else its queue's.
    pub max_attempts: u32,
    /// The status of the last answer.
    pub http_status: Option<i32>,
    /// The body of the last answer.
    pub result: Value,
    /// One entry for each failed attempt or unacknowledged dispatch.
    pub errors: Vec<Value>,
    /// When the job finished.
    pub finished_at: Option<SystemTime>,
}

impl JobRow {
    /// The error of a failed attempt. Unacknowledged dispatches, which cost no attempt, are ignored.
    pub(super) fn error(&self, attempt: u32) -> Option<&Value> {
        self.errors
            .iter()
            .find(|entry| entry["attempt"] == attempt && !is_unacknowledged(entry))
    }
}

/// Whether an entry is about dispatches that were not acknowledged, rather than about an attempt.
fn is_unacknowledged(entry: &Value) -> bool {
    let message = entry["message"].as_str().unwrap_or_default();
    message.starts_with("not acknowledged by the supaqueue function")
}

/// Everything that the rules check.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The jobs that were inserted, by id.
    pub inserted: HashMap<String, InsertedJob>,
    /// The errors of inserts that failed.
    pub refused: Vec<String>,
    /// The jobs that exist, by id.
    pub rows: HashMap<String, JobRow>,
    /// The targets' log by job, in order of arrival.
    pub calls: HashMap<String, Vec<Call>>,
    /// The number of workers of each queue.
    pub workers: HashMap<String, usize>,
    /// Counters that differ from the number of rows.
    pub wrong_counts: Vec<String>,
    /// Locked workers and current jobs that are left over.
    pub left: Vec<String>,
}

impl Facts {
    /// Collects what is known about jobs inserted since the fault with number `from`.
    ///
    /// # Errors
    ///
    /// If the database cannot be queried.
    pub(crate) async fn collect(scene: &Scene, from: usize) -> Result<Self> {
        let client = scene.connect().await?;
        let mut inserted = scene.ledger.jobs();
        let rows = client
            .query(
                "select j.id::text, j.status, j.attempts, coalesce(j.max_attempts, q.max_attempts),
                   j.http_status, coalesce(j.result, 'null'), j.errors,
                   extract(epoch from j.finished_at)::double precision
                 from supaqueue.job j
                 join supaqueue.queue q on q.id = j.queue",
                &[],
            )
            .await?;
        let mut rows: HashMap<String, JobRow> = rows
            .iter()
            .map(|row| {
                let errors: Value = row.get(6);
                let finished: Option<f64> = row.get(7);
                let job = JobRow {
                    status: row.get(1),
                    attempts: row.get::<_, i32>(2).unsigned_abs(),
                    max_attempts: row.get::<_, i32>(3).unsigned_abs(),
                    http_status: row.get(4),
                    result: row.get(5),
                    errors: errors.as_array().cloned().unwrap_or_default(),
                    finished_at: finished.map(|at| UNIX_EPOCH + Duration::from_secs_f64(at)),
                };
                (row.get(0), job)
            })
            .collect();
        let is_old = |id: &String| inserted.get(id).is_some_and(|job| job.fault < from);
        rows.retain(|id, _| !is_old(id));
        let mut calls: HashMap<String, Vec<Call>> = HashMap::new();
        for call in scene.proxy.log().calls() {
            calls.entry(call.job.clone()).or_default().push(call);
        }
        calls.retain(|id, _| !is_old(id) && inserted.contains_key(id));
        inserted.retain(|_, job| job.fault >= from);
        Ok(Self {
            inserted,
            refused: scene.ledger.take_refused(),
            rows,
            calls,
            workers: QUEUES
                .iter()
                .map(|(name, workers)| ((*name).to_owned(), *workers as usize))
                .collect(),
            wrong_counts: texts(&client, WRONG_COUNTS).await?,
            left: texts(&client, LEFT).await?,
        })
    }
}

const WRONG_COUNTS: &str = "
    select format('%s jobs of %s are %s, but the counter says %s', c.jobs, s.name, c.status, to_jsonb(s) ->> c.status)
    from supaqueue.queue_status s
    cross join lateral (
      select k.status, count(j.id) as jobs
      from unnest(array['pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled']) as k (status)
      left join supaqueue.job j on j.queue = s.id and j.status = k.status
      group by k.status
    ) c
    where c.jobs <> (to_jsonb(s) ->> c.status)::bigint";

const LEFT: &str = "
    select format('a worker of %s is still locked', q.name)
    from supaqueue.worker w
    join supaqueue.queue q on q.id = w.queue
    where w.locked
    union all
    select format('job %s has a current job, sent %s times, %s', c.job, c.dispatches, c.state)
    from supaqueue.current_job c";

async fn texts(client: &tokio_postgres::Client, sql: &str) -> Result<Vec<String>> {
    let rows = client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
