//! The demo's queue, as any client of Supaqueue would use it: in SQL.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::input::Document;

/// The edge function that the queue calls, and so the queue's name.
pub(super) const TARGET: &str = "measure-text";

/// The demo's queue in a database.
pub(super) struct Queue {
    client: Client,
}

/// Where the queue is at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) pending: i64,
    pub(super) in_progress: i64,
    pub(super) successful: i64,
    pub(super) failed: i64,
    /// Calls so far on top of each job's first.
    pub(super) retries: i64,
}

/// What became of one file.
pub(super) struct FileTotals {
    pub(super) name: String,
    pub(super) sections: i64,
    pub(super) successful: i64,
    pub(super) calls: i64,
}

/// What became of all of it.
pub(super) struct Totals {
    pub(super) files: Vec<FileTotals>,
    /// How often the target answered with which status; 0 for no answer.
    pub(super) statuses: BTreeMap<i64, i64>,
    /// As the target counted them.
    pub(super) most_calls_in_flight: i64,
    /// From the insertion to the end of the last call, by the database's clock.
    pub(super) seconds: f64,
    pub(super) longest: Vec<Measured>,
}

/// A section, and what the target says of it.
pub(super) struct Measured {
    pub(super) title: String,
    pub(super) result: Measures,
}

/// The target's answer.
#[derive(Deserialize)]
pub(super) struct Measures {
    pub(super) words: i64,
    pub(super) lix: i64,
    pub(super) frequent: Vec<String>,
    pub(super) sha256: String,
}

/// A retry of an idle queue is started by the tick. Whoever watches does not like to wait five
/// seconds for it, which is the default.
pub(super) async fn tick_every_second(client: &Client) -> Result<()> {
    client
        .batch_execute(
            "select cron.schedule('supaqueue_tick', '1 second', 'select supaqueue.tick()')",
        )
        .await
        .context("cannot schedule the tick")
}

impl Queue {
    /// A queue for the target, with that many workers.
    pub(super) async fn create(client: Client, workers: i32) -> Result<Self> {
        // The target answers 429 to whoever comes too often: that is no reason to give up soon.
        client
            .execute(
                "insert into supaqueue.queue (edge_function_name, max_attempts, backoff_base_ms) values ($1, 20, 250)",
                &[&TARGET],
            )
            .await
            .context("cannot create the queue")?;
        client
            .execute("select supaqueue.set_workers($1, $2)", &[&TARGET, &workers])
            .await
            .context("cannot add workers")?;
        tick_every_second(&client).await?;
        Ok(Self { client })
    }

    /// One job per section, all in one statement.
    pub(super) async fn enqueue(&self, documents: &[Document]) -> Result<()> {
        let payloads: Vec<Value> = documents
            .iter()
            .flat_map(|Document { name, sections }| {
                sections
                    .iter()
                    .map(move |section| json!({ "file": name, "title": section.title, "text": section.text }))
            })
            .collect();
        self.client
            .execute(
                "select supaqueue.enqueue_many($1, $2)",
                &[&TARGET, &payloads],
            )
            .await
            .context("cannot insert the jobs")?;
        Ok(())
    }

    pub(super) async fn progress(&self) -> Result<Progress> {
        let row = self
            .client
            .query_one(
                "select
                   s.pending::bigint, s.in_progress::bigint, s.successful::bigint, s.failed::bigint,
                   (select sum(greatest(j.attempts - 1, 0)) from supaqueue.job j where j.queue = s.id)
                 from supaqueue.queue_status s
                 where s.name = $1",
                &[&TARGET],
            )
            .await
            .context("cannot read the queue's status")?;
        Ok(Progress {
            pending: row.get(0),
            in_progress: row.get(1),
            successful: row.get(2),
            failed: row.get(3),
            retries: row.get(4),
        })
    }

    pub(super) async fn totals(&self) -> Result<Totals> {
        let jobs = "supaqueue.job j join supaqueue.queue q on q.id = j.queue and q.name = $1";
        let files = self.query(format!(
            "select j.payload ->> 'file', count(*), count(*) filter (where j.status = 'successful'), sum(j.attempts)
             from {jobs}
             group by 1
             order by min(j.position)"
        ));
        let statuses = self.query(format!(
            "select coalesce(answer.status, 0), count(*)
             from {jobs}
             cross join lateral (
               select (error.value ->> 'status')::bigint from jsonb_array_elements(j.errors) as error
               union all
               select j.http_status where j.status = 'successful'
             ) as answer (status)
             group by 1"
        ));
        let whole = self.query(format!(
            "select
               coalesce(max((j.result ->> 'most_calls_in_flight')::bigint), 0),
               extract(epoch from max(j.finished_at) - min(j.created_at))::double precision
             from {jobs}"
        ));
        let longest = self.query(format!(
            "select j.payload ->> 'title', j.result
             from {jobs}
             where j.status = 'successful'
             order by (j.result ->> 'words')::bigint desc, j.position
             limit 3"
        ));
        let (files, statuses, whole, longest) = tokio::try_join!(files, statuses, whole, longest)?;
        let whole = whole.first().context("the queue has no jobs")?;
        Ok(Totals {
            files: files
                .iter()
                .map(|row| FileTotals {
                    name: row.get(0),
                    sections: row.get(1),
                    successful: row.get(2),
                    calls: row.get(3),
                })
                .collect(),
            statuses: statuses
                .iter()
                .map(|row| (row.get(0), row.get(1)))
                .collect(),
            most_calls_in_flight: whole.get(0),
            seconds: whole.get::<_, Option<f64>>(1).unwrap_or_default(),
            longest: longest
                .iter()
                .map(|row| {
                    let result = serde_json::from_value(row.get(1))
                        .context("the target answered something else")?;
                    Ok(Measured {
                        title: row.get(0),
                        result,
                    })
                })
                .collect::<Result<_>>()?,
        })
    }

    /// What is wrong, as Supaqueue and the jobs themselves see it: a line each, at most three.
    pub(super) async fn problems(&self) -> Result<Vec<String>> {
        let rows = self
            .query(
                "select p.problem || '. ' || p.remedy from supaqueue.problem p
                 union all
                 select format('\"%s\" is %s after %s calls; of the last: %s',
                   j.payload ->> 'title', j.status, j.attempts, coalesce(j.errors -> -1 ->> 'message', 'nothing known'))
                 from supaqueue.job j join supaqueue.queue q on q.id = j.queue
                 where q.name = $1 and j.status <> 'successful'
                 limit 3"
                    .into(),
            )
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn query(&self, sql: String) -> Result<Vec<tokio_postgres::Row>> {
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&TARGET];
        self.client
            .query(&sql, parameters)
            .await
            .context("cannot read the jobs")
    }
}

impl Progress {
    /// Whether every job is finished.
    pub(super) fn is_over(self) -> bool {
        self.pending + self.in_progress == 0
    }

    pub(super) fn finished(self) -> i64 {
        self.successful + self.failed
    }
}
