//! What is known at the end: by the inserters, by the targets, by the database.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::ledger::Known;
use crate::log::Call;
use crate::{QUEUES, Result, Scene};

/// A job as its row says.
#[derive(Debug, Clone, Default)]
pub struct JobRow {
    /// `successful`, `failed`, …
    pub status: String,
    /// Calls so far.
    pub attempts: u32,
    /// Its own, or its queue's.
    pub max_attempts: u32,
    /// Of the last call that was answered.
    pub http_status: Option<i32>,
    /// What the target answered.
    pub result: Value,
    /// One entry per failed attempt.
    pub errors: Vec<Value>,
    /// When it ended.
    pub finished_at: Option<SystemTime>,
}

impl JobRow {
    /// The entry of a failed attempt; not of a dispatch that was given back, which costs none.
    pub(super) fn error(&self, attempt: u32) -> Option<&Value> {
        self.errors
            .iter()
            .find(|entry| entry["attempt"] == attempt && !is_given_back(entry))
    }
}

/// Whether an entry is not of an attempt, but of dispatches that nobody took.
fn is_given_back(entry: &Value) -> bool {
    let message = entry["message"].as_str().unwrap_or_default();
    message.starts_with("not acknowledged by the supaqueue function")
}

/// Everything that the rules look at.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The jobs that were inserted.
    pub known: HashMap<String, Known>,
    /// Why inserts were refused.
    pub refused: Vec<String>,
    /// The jobs that are there.
    pub rows: HashMap<String, JobRow>,
    /// The targets' log, by job, in the order in which calls came.
    pub calls: HashMap<String, Vec<Call>>,
    /// How many workers each queue has.
    pub workers: HashMap<String, usize>,
    /// Counters that are not what counting says; locked workers and current jobs that are left.
    pub wrong_counts: Vec<String>,
    /// See `wrong_counts`.
    pub left: Vec<String>,
}

impl Facts {
    /// What there is of the jobs that are inserted from a fault on (counted from 0).
    pub async fn collect(scene: &Scene, from: usize) -> Result<Self> {
        let client = scene.connect().await?;
        let mut known = scene.ledger.jobs();
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
        let is_old = |id: &String| known.get(id).is_some_and(|job| job.fault < from);
        rows.retain(|id, _| !is_old(id));
        let mut calls: HashMap<String, Vec<Call>> = HashMap::new();
        for call in scene.proxy.log().calls() {
            calls.entry(call.job.clone()).or_default().push(call);
        }
        calls.retain(|id, _| !is_old(id) && known.contains_key(id));
        known.retain(|_, job| job.fault >= from);
        Ok(Self {
            known,
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
    select format('%s jobs of %s are %s, and counted as %s', c.jobs, s.name, c.status, to_jsonb(s) ->> c.status)
    from supaqueue.queue_status s
    cross join lateral (
      select k.status, count(j.id) as jobs
      from unnest(array['pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled']) as k (status)
      left join supaqueue.job j on j.queue = s.id and j.status = k.status
      group by k.status
    ) c
    where c.jobs <> (to_jsonb(s) ->> c.status)::bigint";

const LEFT: &str = "
    select format('a worker of %s is locked', q.name)
    from supaqueue.worker w
    join supaqueue.queue q on q.id = w.queue
    where w.locked
    union all
    select format('job %s has a current job, sent %s times, acknowledged %s', c.job, c.dispatches, c.acknowledged_at)
    from supaqueue.current_job c";

async fn texts(client: &tokio_postgres::Client, sql: &str) -> Result<Vec<String>> {
    let rows = client.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
