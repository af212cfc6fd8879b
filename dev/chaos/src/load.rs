//! A continuous load of new jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use crate::random::chance;
use crate::{Result, Scene};

/// The number of tasks that insert jobs.
const INSERTERS: u32 = 2;
/// Queues with this many unfinished jobs get no new ones.
const BACKLOG: i64 = 15;
const HAS_ROOM: &str = "
    select bool_and(
      (
        select count(*) from supaqueue.job j
        where j.queue = q.id and j.status in ('pending', 'waiting', 'in_progress')
      ) < $2)
    from supaqueue.queue q
    where q.name = any ($1)";
/// How long to wait for an answer of Postgres.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A job to insert.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub(crate) id: String,
    queue: &'static str,
    pub(crate) is_doomed: bool,
    is_large: bool,
    pub(crate) sources: Vec<String>,
}

/// Jobs inserted in one transaction.
#[derive(Debug)]
pub(crate) struct Batch(pub(crate) Vec<NewJob>);

impl Batch {
    /// A random batch: a pipeline, or a few jobs for one queue.
    fn random(rng: &mut Rng) -> Self {
        if chance(rng, 12) {
            return Self::pipeline(rng);
        }
        let queue = match rng.u8(..10) {
            0..4 => "quick",
            4..6 => "slow",
            6..9 => "failing",
            _ => "limited",
        };
        let number = rng.u8(1..=4);
        Self((0..number).map(|_| NewJob::random(queue, rng)).collect())
    }

    /// One job for each queue.
    pub(crate) fn for_each_queue(rng: &mut Rng) -> Self {
        let queues = crate::QUEUES.iter();
        Self(
            queues
                .map(|(queue, _)| NewJob::random(queue, rng))
                .collect(),
        )
    }

    /// Jobs with the largest payloads.
    pub(crate) fn large(number: usize, rng: &mut Rng) -> Self {
        let mut job = || NewJob {
            is_large: true,
            ..NewJob::random("large", rng)
        };
        Self((0..number).map(|_| job()).collect())
    }

    /// A job, three jobs that depend on it, and one that depends on those, across queues.
    fn pipeline(rng: &mut Rng) -> Self {
        let mut job = |queue, sources: &[&NewJob]| NewJob {
            is_doomed: false,
            sources: sources.iter().map(|source| source.id.clone()).collect(),
            ..NewJob::random(queue, rng)
        };
        let first = job("quick", &[]);
        let parts = [
            job("step", &[&first]),
            job("failing", &[&first]),
            job("step", &[&first]),
        ];
        let last = job("step", &[&parts[0], &parts[1], &parts[2]]);
        Self([first].into_iter().chain(parts).chain([last]).collect())
    }

    fn queues(&self) -> Vec<&'static str> {
        self.0.iter().map(|job| job.queue).collect()
    }

    pub(crate) fn sql(&self) -> String {
        let rows: Vec<_> = self.0.iter().map(NewJob::row).collect();
        let mut sql = format!(
            "insert into supaqueue.job (id, queue, max_attempts, headers, payload)
             select id, supaqueue.queue_id(queue), attempts, headers, payload
             from (values {}) as new (id, queue, attempts, headers, payload);",
            rows.join(", ")
        );
        for NewJob { id, sources, .. } in &self.0 {
            for source in sources {
                sql += &format!(
                    "insert into supaqueue.job_dependencies (source, target) values ('{source}', '{id}');"
                );
            }
        }
        sql
    }
}

impl NewJob {
    fn random(queue: &'static str, rng: &mut Rng) -> Self {
        Self {
            id: uuid(rng),
            queue,
            is_doomed: queue == "failing" && chance(rng, 10),
            is_large: false,
            sources: Vec::new(),
        }
    }

    fn row(&self) -> String {
        let Self { id, queue, .. } = self;
        let (attempts, headers) = match self.is_doomed {
            true => ("2", r#"'{"chaos-is-doomed": "yes"}'"#),
            false => ("null", "null"),
        };
        let payload = match self.is_large {
            // 4.9 MB; at most 5 MB are allowed.
            true => "jsonb_build_object('text', repeat('0123456789', 490000))",
            false => "'{}'",
        };
        format!(
            "('{id}'::uuid, '{queue}', {attempts}::integer, {headers}::jsonb, {payload}::jsonb)"
        )
    }
}

/// A random version 4 UUID, in the form in which Postgres prints it.
fn uuid(rng: &mut Rng) -> String {
    let digits = format!("{:032x}", rng.u128(..));
    format!(
        "{}-{}-4{}-a{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..]
    )
}

/// A load that continues until it is stopped.
#[derive(Debug)]
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    inserters: JoinSet<Result<()>>,
}

impl Load {
    pub(crate) fn start(scene: &Arc<Scene>) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut inserters = JoinSet::new();
        for _ in 0..INSERTERS {
            let rng = scene.rng("inserter");
            inserters.spawn(insert(scene.clone(), rng, is_over.clone()));
        }
        Self { is_over, inserters }
    }

    /// Stops the load and waits until no more jobs are inserted.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.inserters.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn insert(scene: Arc<Scene>, mut rng: Rng, is_over: Arc<AtomicBool>) -> Result<()> {
    let mut client = None;
    while !is_over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(rng.u64(40..120))).await;
        let connection = match &client {
            Some(connection) => connection,
            None => client.insert(scene.connect().await?),
        };
        let batch = Batch::random(&mut rng);
        let done = tokio::time::timeout(TIMEOUT, async {
            let has_room: bool = connection
                .query_one(HAS_ROOM, &[&batch.queues(), &BACKLOG])
                .await?
                .get(0);
            match has_room {
                true => scene.ledger.insert(connection, &batch).await,
                false => Ok(()),
            }
        });
        let done = done.await;
        if let Ok(Err(error)) = &done {
            scene.ledger.record_error(error);
        }
        // After a failure the connection may be broken or still busy.
        if !matches!(done, Ok(Ok(()))) {
            client = None;
        }
    }
    Ok(())
}
