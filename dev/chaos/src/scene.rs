//! The place where everything happens: a stack, the proxy before it, and the queues.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use supaqueue_files::Part;
use supaqueue_local::Stack;
use tokio_postgres::Client;

use crate::Result;
use crate::ledger::Ledger;
use crate::proxy::Proxy;
use crate::random::Random;

fn job_dependencies() -> Result<Part> {
    let add_on = supaqueue_files::add_on("job_dependencies");
    Ok(add_on.ok_or("this program lacks the add-on job_dependencies")?)
}

/// The queues: name, which is also that of the target behind `chaos-`, and number of workers.
pub const QUEUES: [(&str, u32); 5] = [
    ("quick", 4),
    ("slow", 3),
    ("failing", 3),
    ("limited", 2),
    ("step", 3),
];

/// How long Supaqueue waits before it takes something for lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Seconds, so that tests see the end of it.
    Quick,
    /// What users have who set nothing, but calls that take at most ten seconds.
    Real,
}

impl Pace {
    fn settings(self) -> &'static str {
        match self {
            Self::Quick => {
                "update supaqueue.setting
                 set dispatch_lease_ms = 2000, lease_grace_ms = 2000, max_dispatches = 2, max_errors = 1000;
                 update supaqueue.queue set timeout_ms = 3000;
                 select cron.schedule('supaqueue_tick', '1 second', 'select supaqueue.tick()')"
            }
            Self::Real => {
                "update supaqueue.setting set max_errors = 1000;
                 update supaqueue.queue set timeout_ms = 10000"
            }
        }
    }
}

/// A stack behind a faulty proxy, with queues for each of the proxy's targets.
#[derive(Debug)]
pub struct Scene {
    /// The stack. What must not pass the proxy goes to its gateway.
    pub stack: Stack,
    /// What stands before the gateway.
    pub proxy: Proxy,
    /// Every job that was inserted, known beside the database.
    pub ledger: Ledger,
    /// Where choices come from.
    pub random: Random,
    /// How soon something is taken for lost.
    pub pace: Pace,
    asked: AtomicUsize,
}

impl Scene {
    /// Starts everything, with the add-on `job_dependencies`.
    pub async fn start(seed: u64, pace: Pace) -> Result<Arc<Self>> {
        let proxy = Proxy::start(seed).await?;
        let stack = Stack::builder()
            .public_url(proxy.url())
            // A line for each call that fails is a flood here.
            .env("SUPAQUEUE_LOG_LEVEL", "error")
            .start()
            .await?;
        proxy.lead_to(stack.gateway_url());
        let client = stack.database().connect().await?;
        client
            .batch_execute(&job_dependencies()?.from_scratch())
            .await?;
        for (name, workers) in QUEUES {
            // A rate limit costs attempts.
            let attempts = if name == "limited" { 1000 } else { 20 };
            client
                .batch_execute(&format!(
                    "insert into supaqueue.queue
                       (name, edge_function_name, max_attempts, backoff_base_ms, backoff_max_ms)
                     values ('{name}', 'chaos-{name}', {attempts}, 100, 1000);
                     select supaqueue.set_workers('{name}', {workers})"
                ))
                .await?;
        }
        client.batch_execute(pace.settings()).await?;
        Ok(Arc::new(Self {
            stack,
            proxy,
            ledger: Ledger::default(),
            random: Random::new(seed),
            pace,
            asked: AtomicUsize::new(0),
        }))
    }

    /// A generator that nobody had before, for what has that name.
    pub fn random(&self, name: &str) -> Random {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        self.random.part(&format!("{name} {number}"))
    }

    /// A connection as role `postgres`, as soon as Postgres takes one.
    pub async fn connect(&self) -> Result<Client> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            match self.stack.database().connect().await {
                Ok(client) => return Ok(client),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Replaces all code of core and add-on under way, as an upgrade does.
    pub async fn upgrade(&self) -> Result<()> {
        let mut sql = "select supaqueue.take_tables();".to_owned();
        sql += &supaqueue_files::core().code();
        sql += &job_dependencies()?.code();
        let done = self.connect().await?.batch_execute(&sql).await;
        done.map_err(|error| format!("cannot upgrade: {}", describe(&error)).into())
    }

    /// Forgets everything that happened, in the database, too; the queues stay.
    pub async fn clear(&self) -> Result<()> {
        let client = self.connect().await?;
        client
            .batch_execute(
                "begin;
                 select supaqueue.take_tables();
                 truncate supaqueue.current_job;
                 truncate supaqueue.job cascade;
                 update supaqueue.worker set locked = false, last_report = null;
                 commit",
            )
            .await?;
        self.ledger.clear();
        Ok(())
    }

    /// The folder of Postgres' data.
    pub fn data_folder(&self) -> Option<&Path> {
        self.stack.postgres().map(|postgres| postgres.folder())
    }
}

/// `tokio_postgres::Error` displays as "db error" alone.
fn describe(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
