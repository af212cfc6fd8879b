//! The compared queues.

use std::time::Duration;

use serde::Serialize;
use tokio_postgres::{Client, Statement};

use super::target::Target;
use super::worker::Worker;
use crate::Result;
use crate::project::Project;

/// A queue that calls the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Peer {
    Supaqueue,
    GraphileWorker,
    /// The same, fetching and completing jobs together.
    BatchedGraphileWorker,
    PgBoss,
    /// The pattern that Supabase documents, of pgmq, `pg_cron` and `pg_net`.
    Pattern,
}

/// How many calls are in flight, and how long each takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Load {
    pub(super) places: u32,
    pub(super) call_ms: u32,
}

impl Peer {
    pub(super) const ALL: [Self; 5] = [
        Self::Supaqueue,
        Self::GraphileWorker,
        Self::BatchedGraphileWorker,
        Self::PgBoss,
        Self::Pattern,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Supaqueue => "Supaqueue",
            Self::GraphileWorker => "graphile-worker",
            Self::BatchedGraphileWorker => "graphile-worker, batched",
            Self::PgBoss => "pg-boss",
            Self::Pattern => "pgmq, pg_cron, pg_net",
        }
    }

    /// Inserts `$1` jobs with the payload `$2`, as the queue documents it.
    fn insert(self) -> &'static str {
        match self {
            Self::Supaqueue => {
                "insert into supaqueue.job (queue, payload)
                 select q.id, $2::text::jsonb
                 from supaqueue.queue q, generate_series(1, $1::integer)
                 where q.name = 'peers'"
            }
            Self::GraphileWorker | Self::BatchedGraphileWorker => {
                "select count(*) from graphile_worker.add_jobs(array(
                   select ('call', $2::text::json, null, null, null, null, null, null)::graphile_worker.job_spec
                   from generate_series(1, $1::integer)))"
            }
            Self::PgBoss => {
                "with inserted as (
                   insert into pgboss.job (name, data)
                   select 'call', $2::text::jsonb from generate_series(1, $1::integer)
                 )
                 select pg_notify('pgboss_' || left(encode(sha224('pgboss'), 'hex'), 24), 'call')"
            }
            Self::Pattern => {
                "insert into pattern.message (message)
                 select $2::text::jsonb from generate_series(1, $1::integer)"
            }
        }
    }

    /// Starts with an empty queue and new processes.
    pub(super) async fn start<'a>(
        self,
        project: &'a Project,
        target: &Target,
        load: Load,
    ) -> Result<Running<'a>> {
        project.restart_functions().await;
        let worker =
            async |script: &[&str]| Worker::start(script, project, target, load.places).await;
        let worker = match self {
            Self::Supaqueue => {
                project.create_queue("peers", load.places).await?;
                None
            }
            Self::GraphileWorker => Some(worker(&["graphile_worker.ts"]).await?),
            Self::BatchedGraphileWorker => Some(worker(&["graphile_worker.ts", "batched"]).await?),
            Self::PgBoss => Some(worker(&["pg_boss.ts"]).await?),
            Self::Pattern => {
                let sql = include_str!("pattern.sql");
                project.client.batch_execute(sql).await?;
                let schedule = format!(
                    "select cron.schedule('pattern', '1 second', 'select pattern.process({}, {})')",
                    load.places,
                    batch(project, load)
                );
                project.client.batch_execute(&schedule).await?;
                None
            }
        };
        Ok(Running {
            peer: self,
            project,
            worker,
        })
    }
}

/// How many messages a request of the pattern carries at most: as many as take nine seconds, because
/// `pg_net` pauses for a second after the slowest request.
fn batch(project: &Project, load: Load) -> u128 {
    // What a machine with two cores adds to a message, which takes a call and its deletion.
    let more_ms = match load.call_ms {
        0 => load.places,
        _ => load.places / 4,
    };
    let message = Duration::from_millis((load.call_ms + more_ms).into()) + project.hop * 2;
    9000 / message.as_millis()
}

/// A queue that waits for jobs.
pub(super) struct Running<'a> {
    peer: Peer,
    project: &'a Project,
    worker: Option<Worker>,
}

impl Running<'_> {
    /// Stops it and removes all that it left.
    pub(super) async fn stop(self) -> Result<()> {
        if let Some(worker) = self.worker {
            worker.stop().await?;
        }
        let project = self.project;
        match self.peer {
            Peer::Supaqueue => return project.drop_queue("peers").await,
            Peer::Pattern => {
                let stop = "select cron.unschedule('pattern');
                            delete from pattern.message m where m.vt <= clock_timestamp()";
                project.client.batch_execute(stop).await?;
                project
                    .wait_for_zero("select count(*) from pattern.message")
                    .await?;
            }
            Peer::GraphileWorker | Peer::BatchedGraphileWorker | Peer::PgBoss => {}
        }
        let drop = "drop schema if exists graphile_worker, pgboss, pattern cascade;
                    drop function if exists public.delete_message";
        Ok(project.client.batch_execute(drop).await?)
    }
}

/// A connection that inserts jobs.
pub(super) struct Inserts {
    client: Client,
    insert: Statement,
}

impl Inserts {
    pub(super) async fn of(project: &Project, peer: Peer) -> Result<Self> {
        let client = project.stack.database().connect().await?;
        let insert = client.prepare(peer.insert()).await?;
        Ok(Self { client, insert })
    }

    pub(super) async fn insert(&self, jobs: u32, payload: &str) -> Result<()> {
        let jobs = i32::try_from(jobs)?;
        self.client
            .execute(&self.insert, &[&jobs, &payload])
            .await?;
        Ok(())
    }
}
