//! The demo's queue, used in SQL like by any client of Supaqueue.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::sections::Section;

/// The edge function that the queue calls, which is also the queue's name.
pub(super) const TARGET: &str = "measure-text";

/// The demo's queue.
pub(super) struct Queue {
    client: Client,
}

/// The numbers of jobs by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) pending: i64,
    pub(super) in_progress: i64,
    pub(super) successful: i64,
    pub(super) failed: i64,
    /// The number of calls beyond the first of each job.
    pub(super) retries: i64,
}

/// The totals of a file.
pub(super) struct FileTotals {
    pub(super) name: String,
    pub(super) sections: i64,
    pub(super) successful: i64,
    pub(super) calls: i64,
}

/// The totals of the demo.
pub(super) struct Totals {
    pub(super) files: Vec<FileTotals>,
    /// The number of answers by HTTP status; 0 stands for no answer.
    pub(super) statuses: BTreeMap<i64, i64>,
    /// The maximum number of calls in flight, as counted by the target.
    pub(super) max_calls_in_flight: i64,
    /// The time from the insert to the end of the last call, by the database's clock.
    pub(super) seconds: f64,
    pub(super) longest: Vec<MeasuredSection>,
}

/// A section and the target's answer.
pub(super) struct MeasuredSection {
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

/// Shortens the tick's interval from five seconds to one. The tick starts the retries of an idle queue,
/// for which the user of the demo would have to wait.
pub(super) async fn tick_every_second(client: &Client) -> Result<()> {
    client
        .batch_execute(
            "select cron.schedule('supaqueue_tick', '1 second', supaqueue.tick_command())",
        )
        .await
        .context("cannot schedule the tick")
}

impl Queue {
    /// Creates the queue.
    pub(super) async fn create(client: Client, workers: i32) -> Result<Self> {
        // Enough attempts for a target that often answers 429.
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

    /// Inserts a job for each section, in one statement.
    pub(super) async fn enqueue(&self, files: &[(&str, Vec<Section>)]) -> Result<()> {
        let mut payloads: Vec<Value> = Vec::new();
        for (file, sections) in files {
            for Section { title, text } in sections {
                payloads.push(json!({ "file": file, "title": title, "text": text }));
            }
        }
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
        let overall = self.query(format!(
            "select
               coalesce(max((j.result ->> 'max_calls_in_flight')::bigint), 0),
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
        let (files, statuses, overall, longest) =
            tokio::try_join!(files, statuses, overall, longest)?;
        let overall = overall.first().context("the queue has no jobs")?;
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
            max_calls_in_flight: overall.get(0),
            seconds: overall.get::<_, Option<f64>>(1).unwrap_or_default(),
            longest: longest
                .iter()
                .map(|row| {
                    let result = serde_json::from_value(row.get(1))
                        .context("the target gave an unexpected answer")?;
                    Ok(MeasuredSection {
                        title: row.get(0),
                        result,
                    })
                })
                .collect::<Result<_>>()?,
        })
    }

    /// At most three problems that Supaqueue or the jobs report, one per line.
    pub(super) async fn problems(&self) -> Result<Vec<String>> {
        let rows = self
            .query(
                "select p.problem || '. ' || p.remedy from supaqueue.problem p
                 union all
                 select format('\"%s\" is %s after %s calls; last error: %s',
                   j.payload ->> 'title', j.status, j.attempts, coalesce(j.errors -> -1 ->> 'message', 'unknown'))
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
