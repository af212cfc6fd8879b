//! Jobs that keep coming.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::random::Random;
use crate::{Result, Scene};

/// Tasks that insert jobs.
const INSERTERS: u32 = 2;
/// A queue with so many unfinished jobs gets no more for a while.
const BACKLOG: i64 = 15;
const HAS_ROOM: &str = "
    select bool_and(
      (
        select count(*) from supaqueue.job j
        where j.queue = q.id and j.status in ('pending', 'waiting', 'in_progress')
      ) < $2)
    from supaqueue.queue q
    where q.name = any ($1)";
/// An answer of Postgres that takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A job to be inserted.
#[derive(Debug)]
pub(crate) struct NewJob {
    pub(crate) id: String,
    queue: &'static str,
    pub(crate) is_doomed: bool,
    pub(crate) sources: Vec<String>,
}

/// Jobs that are inserted in one transaction.
#[derive(Debug)]
pub(crate) struct Batch(pub(crate) Vec<NewJob>);

impl Batch {
    /// One of many kinds.
    fn some(random: &mut Random) -> Self {
        if random.percent(12) {
            return Self::pipeline(random);
        }
        let queue = match random.below(10) {
            0..4 => "quick",
            4..6 => "slow",
            6..9 => "failing",
            _ => "limited",
        };
        let number = 1 + random.below(4);
        Self((0..number).map(|_| NewJob::some(queue, random)).collect())
    }

    /// One job for each queue.
    pub(crate) fn of_each_queue(random: &mut Random) -> Self {
        let queues = crate::QUEUES.iter();
        Self(
            queues
                .map(|(queue, _)| NewJob::some(queue, random))
                .collect(),
        )
    }

    /// One job, three that wait for it, one that waits for those, across queues.
    fn pipeline(random: &mut Random) -> Self {
        let mut job = |queue, sources: &[&NewJob]| NewJob {
            is_doomed: false,
            sources: sources.iter().map(|source| source.id.clone()).collect(),
            ..NewJob::some(queue, random)
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
        let rows: Vec<_> = self
            .0
            .iter()
            .map(
                |NewJob {
                     id,
                     queue,
                     is_doomed,
                     ..
                 }| {
                    let (attempts, headers) = match is_doomed {
                        true => ("2", r#"'{"chaos-is-doomed": "yes"}'"#),
                        false => ("null", "null"),
                    };
                    format!("('{id}'::uuid, '{queue}', {attempts}::integer, {headers}::jsonb)")
                },
            )
            .collect();
        let mut sql = format!(
            "insert into supaqueue.job (id, queue, max_attempts, headers)
             select id, supaqueue.queue_id(queue), attempts, headers
             from (values {}) as new (id, queue, attempts, headers);",
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
    fn some(queue: &'static str, random: &mut Random) -> Self {
        Self {
            id: random.uuid(),
            queue,
            is_doomed: queue == "failing" && random.percent(10),
            sources: Vec::new(),
        }
    }
}

/// A load that goes on until it is stopped.
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
            let random = scene.random("inserter");
            inserters.spawn(insert(scene.clone(), random, is_over.clone()));
        }
        Self { is_over, inserters }
    }

    /// Waits until no more jobs come.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.is_over.store(true, Ordering::SeqCst);
        while let Some(ended) = self.inserters.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn insert(scene: Arc<Scene>, mut random: Random, is_over: Arc<AtomicBool>) -> Result<()> {
    let mut client = None;
    while !is_over.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(40 + random.below(80))).await;
        let connection = match &client {
            Some(connection) => connection,
            None => client.insert(scene.connect().await?),
        };
        let batch = Batch::some(&mut random);
        let done = tokio::time::timeout(PATIENCE, async {
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
            scene.ledger.refuse(error);
        }
        // Whether an insert that failed is there after all, only Postgres knows: another connection.
        if !matches!(done, Ok(Ok(()))) {
            client = None;
        }
    }
    Ok(())
}
