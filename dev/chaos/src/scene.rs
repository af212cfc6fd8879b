//! The system under test: a local stack behind the proxy, with its queues.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;
use supaqueue_files::Part;
use supaqueue_local::Stack;
use tokio_postgres::Client;

use crate::Result;
use crate::ledger::Ledger;
use crate::proxy::Proxy;
use crate::random::Seed;

fn job_dependencies() -> Result<Part> {
    let add_on = supaqueue_files::add_on("job_dependencies");
    Ok(add_on.ok_or("this program lacks the add-on job_dependencies")?)
}

/// The name and number of workers of each queue. The target of a queue is called `chaos-` and its name.
pub const QUEUES: [(&str, u32); 6] = [
    ("quick", 4),
    ("slow", 3),
    ("failing", 3),
    ("limited", 2),
    ("step", 3),
    ("large", 20),
];

/// How long Supaqueue waits before it considers a dispatch or call lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Seconds, so that tests observe the recovery.
    Quick,
    /// The default settings, except that calls time out after ten seconds.
    Real,
}

impl Pace {
    fn settings(self) -> &'static str {
        match self {
            Self::Quick => {
                // Shorter than users may make it: after each fault the harness waits for lost runs.
                "alter table supaqueue.setting drop constraint run_lease_is_between_15_seconds_and_10_minutes;
                 update supaqueue.setting
                 set dispatch_lease_ms = 2000, run_lease_ms = 6000, max_dispatches = 2, max_errors = 1000;
                 update supaqueue.queue set timeout_ms = 3000;
                 select cron.schedule('supaqueue_tick', '1 second', supaqueue.tick_command())"
            }
            Self::Real => {
                "update supaqueue.setting set max_errors = 1000;
                 update supaqueue.queue set timeout_ms = 10000"
            }
        }
    }
}

/// A local stack behind a faulty proxy, with a queue for each of the proxy's targets.
#[derive(Debug)]
pub struct Scene {
    /// The stack. Requests to its gateway bypass the proxy.
    pub stack: Stack,
    /// The proxy in front of the gateway.
    pub proxy: Proxy,
    /// Every inserted job, recorded outside the database.
    pub ledger: Ledger,
    /// The seed of all random choices.
    pub seed: Seed,
    /// How soon a dispatch or call is considered lost.
    pub pace: Pace,
    generators: AtomicUsize,
}

impl Scene {
    /// Starts the stack and the proxy, and installs the add-on `job_dependencies`.
    ///
    /// # Errors
    ///
    /// If the stack cannot be started or prepared.
    pub async fn start(seed: Seed, pace: Pace) -> Result<Arc<Self>> {
        let proxy = Proxy::start(seed).await?;
        let stack = Stack::builder()
            .public_url(proxy.url())
            // One line for each failed call would flood the output.
            .env("SUPAQUEUE_LOG_LEVEL", "error")
            .start()
            .await?;
        proxy.set_gateway(stack.gateway_url());
        let client = stack.database().connect().await?;
        client
            .batch_execute(&job_dependencies()?.from_scratch())
            .await?;
        for (name, workers) in QUEUES {
            // Each answer 429 costs an attempt.
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
            seed,
            pace,
            generators: AtomicUsize::new(0),
        }))
    }

    /// A new generator of random choices. It differs from every earlier one, even of the same name.
    pub(crate) fn rng(&self, name: &str) -> Rng {
        let number = self.generators.fetch_add(1, Ordering::Relaxed);
        self.seed.rng(&format!("{name} {number}"))
    }

    /// Connects as role `postgres`, retrying while Postgres is down.
    ///
    /// # Errors
    ///
    /// If Postgres accepts no connection for a minute.
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

    /// Replaces all code of the core and the add-on, as an upgrade does.
    ///
    /// # Errors
    ///
    /// If the database rejects it.
    pub async fn upgrade(&self) -> Result<()> {
        let mut sql = "select supaqueue.take_tables();".to_owned();
        sql += &supaqueue_files::core().code();
        sql += &job_dependencies()?.code();
        let done = self.connect().await?.batch_execute(&sql).await;
        done.map_err(|error| format!("cannot upgrade: {}", describe(&error)).into())
    }

    /// Deletes all jobs, from the database and from the ledger. The queues stay.
    ///
    /// # Errors
    ///
    /// If the database rejects it.
    pub async fn clear(&self) -> Result<()> {
        let client = self.connect().await?;
        client
            .batch_execute(
                "begin;
                 select supaqueue.take_tables();
                 truncate supaqueue.current_job, supaqueue.ready_job, supaqueue.held_job, supaqueue.unfinished;
                 truncate supaqueue.job cascade;
                 update supaqueue.worker set locked = false;
                 commit",
            )
            .await?;
        self.ledger.clear();
        Ok(())
    }

    /// The folder with Postgres' data.
    pub(crate) fn data_folder(&self) -> Option<&Path> {
        self.stack.postgres().map(|postgres| postgres.folder())
    }
}

/// The message of the database; `tokio_postgres::Error` itself only displays "db error".
fn describe(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
