//! The demo's pipelines, used in SQL like by any client of Supaqueue.

use std::fmt;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::super::input::Text;
use super::super::queue::tick_every_second;

const SCHEMA: &str = include_str!("schema.sql");

/// The demo's pipelines.
pub(super) struct Pipelines {
    client: Client,
}

/// The pipeline of a text.
pub(super) struct Pipeline {
    /// The name of the file.
    pub(super) name: String,
    /// The id of the last job, which combines the results.
    combine: String,
}

/// The jobs of one queue in a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) queue: String,
    pub(super) jobs: i64,
    /// The number of jobs by status, most advanced first.
    pub(super) states: Vec<(String, i64)>,
    /// The number of calls beyond the first of each job.
    pub(super) retries: i64,
}

/// The result of a pipeline.
#[derive(Deserialize)]
pub(super) struct Combined {
    parts: i64,
    words: i64,
    sentences: i64,
    lix: i64,
}

impl fmt::Display for Combined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            parts,
            words,
            sentences,
            lix,
        } = self;
        let counted = |number: i64, one: &str| {
            format!("{number} {one}{}", if number == 1 { "" } else { "s" })
        };
        write!(
            f,
            "{}, {}, {}, readability (LIX) {lix}",
            counted(*parts, "part"),
            counted(*words, "word"),
            counted(*sentences, "sentence"),
        )
    }
}

impl Stage {
    /// Whether all its jobs are finished.
    pub(super) fn is_over(&self) -> bool {
        self.states
            .iter()
            .all(|(status, _)| matches!(status.as_str(), "successful" | "failed" | "cancelled"))
    }
}

impl Pipelines {
    /// Installs the add-on and creates the queues; `workers` is for the queue measure-text.
    pub(super) async fn create(client: Client, workers: i32) -> Result<Self> {
        let add_on = supaqueue_files::add_on("job_dependencies")
            .context("this program lacks the add-on job_dependencies")?;
        client
            .batch_execute(&add_on.from_scratch())
            .await
            .context("cannot install the add-on job_dependencies")?;
        client
            .batch_execute(SCHEMA)
            .await
            .context("cannot create the queues")?;
        for (queue, workers) in [
            ("split-text", 2),
            ("measure-text", workers),
            ("combine-measures", 1),
        ] {
            client
                .execute("select supaqueue.set_workers($1, $2)", &[&queue, &workers])
                .await
                .context("cannot add workers")?;
        }
        tick_every_second(&client).await?;
        Ok(Self { client })
    }

    /// Inserts the first and the last job of each pipeline. Those in between are not known yet.
    pub(super) async fn enqueue(&self, texts: &[Text]) -> Result<Vec<Pipeline>> {
        let mut pipelines = Vec::new();
        for Text { name, text, .. } in texts {
            let jobs = json!([
                { "name": "split", "queue": "split-text", "payload": { "file": name, "text": text } },
                { "name": "combine", "queue": "combine-measures", "payload": { "file": name }, "depends_on": ["split"] },
            ]);
            let row = self
                .client
                .query_one(
                    "select supaqueue.enqueue_pipeline($1) ->> 'combine'",
                    &[&jobs],
                )
                .await
                .with_context(|| format!("cannot insert the jobs of {name}"))?;
            pipelines.push(Pipeline {
                name: name.clone(),
                combine: row.get(0),
            });
        }
        Ok(pipelines)
    }

    /// The stages of a pipeline, in order.
    pub(super) async fn stages(&self, pipeline: &Pipeline) -> Result<Vec<Stage>> {
        let rows = self
            .client
            .query(
                "select p.queue, p.status, count(*), sum(greatest(p.attempts - 1, 0))::bigint
                 from supaqueue.pipeline($1::text::uuid) p
                 group by p.queue, p.status
                 order by
                   array_position(array['split-text', 'measure-text', 'combine-measures'], p.queue),
                   array_position(
                     array['successful', 'failed', 'cancelled', 'in_progress', 'pending', 'waiting'], p.status)",
                &[&pipeline.combine],
            )
            .await
            .context("cannot read the pipeline")?;
        let mut stages: Vec<Stage> = Vec::new();
        for row in rows {
            let queue: String = row.get(0);
            if stages.last().is_none_or(|stage| stage.queue != queue) {
                stages.push(Stage {
                    queue,
                    jobs: 0,
                    states: Vec::new(),
                    retries: 0,
                });
            }
            if let Some(stage) = stages.last_mut() {
                stage.jobs += row.get::<_, i64>(2);
                stage.states.push((row.get(1), row.get(2)));
                stage.retries += row.get::<_, i64>(3);
            }
        }
        Ok(stages)
    }

    /// The result of a pipeline, or why it has none.
    pub(super) async fn outcome(&self, pipeline: &Pipeline) -> Result<Result<Combined, String>> {
        let row = self
            .client
            .query_one(
                "select j.status, j.result, coalesce(j.errors -> -1 ->> 'message', 'unknown')
                 from supaqueue.job j where j.id = $1::text::uuid",
                &[&pipeline.combine],
            )
            .await
            .context("cannot read the last job")?;
        let status: String = row.get(0);
        if status != "successful" {
            let message: String = row.get(2);
            return Ok(Err(format!(
                "the last job is {status}; last error: {message}"
            )));
        }
        let combined = serde_json::from_value(row.get::<_, Option<Value>>(1).unwrap_or_default())
            .context("the function combine-measures gave an unexpected answer")?;
        Ok(Ok(combined))
    }

    pub(super) async fn mermaid(&self, pipeline: &Pipeline) -> Result<String> {
        let row = self
            .client
            .query_one(
                "select supaqueue.pipeline_mermaid($1::text::uuid)",
                &[&pipeline.combine],
            )
            .await
            .context("cannot draw the pipeline")?;
        Ok(row.get(0))
    }
}
