//! Inserts jobs at a fixed rate, independent of how fast they are processed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use supaqueue_local::Database;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::Client;

use super::errors::Errors;
use super::{CALL_MS, QUEUES};
use crate::Result;
use crate::project::Project;

/// The time between two attempts to connect.
const RECONNECT: Duration = Duration::from_secs(1);

/// The tasks that insert jobs, one for each queue.
pub(super) struct Arrivals {
    counts: Arc<Counts>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    inserted: AtomicU32,
    unconfirmed: AtomicU32,
}

impl Arrivals {
    /// Starts to insert `rate` jobs per second in total, for the given time.
    pub(super) async fn start(
        project: &Project,
        rate: f64,
        time: Duration,
        errors: &Errors,
    ) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let start = Instant::now();
        let step = Duration::from_secs_f64(1.0 / rate);
        let mut tasks = Vec::new();
        for (place, queue) in (0_u32..).zip(QUEUES) {
            let queue = Queue {
                database: project.stack.database().clone(),
                name: queue,
                counts: counts.clone(),
                errors: errors.clone(),
            };
            let first = start + step * place;
            let every = step * u32::try_from(QUEUES.len())?;
            tasks.push(tokio::spawn(queue.fill(first, every, start + time)));
        }
        Ok(Self { counts, tasks })
    }

    /// Waits until the last job has been inserted.
    pub(super) async fn finish(&self) {
        while !self.tasks.iter().all(JoinHandle::is_finished) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The number of jobs whose insert was committed.
    pub(super) fn inserted(&self) -> u32 {
        self.counts.inserted.load(Ordering::Relaxed)
    }

    /// The number of jobs that may or may not be committed, because the connection was lost.
    pub(super) fn unconfirmed(&self) -> u32 {
        self.counts.unconfirmed.load(Ordering::Relaxed)
    }
}

struct Queue {
    database: Database,
    name: &'static str,
    counts: Arc<Counts>,
    errors: Errors,
}

impl Queue {
    /// Inserts a job whenever one is due. A late job does not delay the next one.
    async fn fill(self, first: Instant, every: Duration, end: Instant) {
        let sql = format!(
            "insert into supaqueue.job (queue, payload)
             select q.id, '{{\"ms\": {CALL_MS}}}' from supaqueue.queue q where q.name = $1"
        );
        let mut client = self.connect(end).await;
        let mut due = first;
        while due < end {
            sleep_until(due).await;
            due += every;
            let Some(connected) = &client else { return };
            match connected.execute(&sql, &[&self.name]).await {
                Ok(_) => self.counts.inserted.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    self.errors.add("cannot insert a job", &error);
                    if connected.is_closed() {
                        self.counts.unconfirmed.fetch_add(1, Ordering::Relaxed);
                        client = self.connect(end).await;
                    }
                    continue;
                }
            };
        }
    }

    /// Connects, retrying until the run ends.
    async fn connect(&self, end: Instant) -> Option<Client> {
        while Instant::now() < end {
            match self.database.connect().await {
                Ok(client) => return Some(client),
                Err(error) => self.errors.add("cannot connect to insert jobs", error),
            }
            sleep(RECONNECT).await;
        }
        None
    }
}
