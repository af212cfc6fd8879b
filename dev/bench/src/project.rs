//! The local stack under test.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use procfs::process::Process;
use supaqueue_local::{Database, ExtensionKind as Kind, Stack};
use tokio_postgres::Client;

use crate::Result;

/// Settings of Postgres as a small hosted project has them.
pub(crate) const SETTINGS: [(&str, &str); 2] =
    [("shared_buffers", "512MB"), ("max_wal_size", "4GB")];

/// A local stack with the target functions.
pub(crate) struct Project {
    pub(crate) stack: Stack,
    pub(crate) client: Client,
    /// How much longer each request through the gateway takes.
    pub(crate) hop: Duration,
}

impl Project {
    /// Starts the stack. Commits wait for the disk. `environment` is added to that of the functions.
    pub(crate) async fn start(hop: Duration, environment: &[(&str, &str)]) -> Result<Self> {
        let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions");
        let mut builder = Stack::builder()
            .functions(functions)
            .fsync(true)
            .connections(30)
            .hop(hop)
            // That of paid plans, so that no process ends during a measurement.
            .wall_clock(Duration::from_secs(400))
            .env("SUPAQUEUE_TIME_BUDGET_MS", "390000")
            .env("SUPAQUEUE_LOG_LEVEL", "warn");
        for (name, value) in SETTINGS {
            builder = builder.setting(name, value);
        }
        for (name, value) in environment {
            builder = builder.env(*name, *value);
        }
        let stack = builder.start().await?;
        let client = stack.database().connect().await?;
        Ok(Self { stack, client, hop })
    }

    /// The versions of the programs under test. The functions must be running.
    pub(crate) async fn versions(&self) -> Result<Vec<String>> {
        let net = match self.stack.extensions().real(Kind::Net) {
            Some(version) => format!("pg_net {version}"),
            None => "pg_net emulated".into(),
        };
        let function = self.stack.function_pid("wait").await;
        let deno = Process::new(function.ok_or("the target is not running")?)?.exe()?;
        let deno = Command::new(deno).arg("--version").output()?.stdout;
        let deno = String::from_utf8_lossy(&deno);
        let deno: Vec<&str> = deno.split_whitespace().take(2).collect();
        let mut versions = vec![
            format!("Supaqueue {}", env!("CARGO_PKG_VERSION")),
            format!("Postgres {}, fsync on", self.stack.postgres_version()),
            net,
            deno.join(" "),
        ];
        if !self.hop.is_zero() {
            versions.push(format!(
                "{} ms for each request through the gateway",
                self.hop.as_millis()
            ));
        }
        Ok(versions)
    }

    /// The calls per second that are possible with a number of workers.
    pub(crate) fn limit(&self, workers: u32, call_ms: u32) -> f64 {
        let call = Duration::from_millis(call_ms.into()) + self.hop;
        f64::from(workers) / call.as_secs_f64()
    }

    pub(crate) async fn create_queue(&self, name: &str, workers: u32) -> Result<()> {
        create_queue(&self.client, name, workers).await
    }

    /// Inserts jobs whose calls take the given time.
    pub(crate) async fn enqueue(&self, queue: &str, jobs: u32, call_ms: u32) -> Result<()> {
        self.client
            .batch_execute(&format!(
                "insert into supaqueue.job (queue, payload)
                 select supaqueue.queue_id('{queue}'), jsonb_build_object('ms', {call_ms})
                 from generate_series(1, {jobs})"
            ))
            .await?;
        Ok(())
    }

    /// Deletes the pending jobs of a queue and waits for its calls in flight.
    pub(crate) async fn drain(&self, queue: &str) -> Result<()> {
        self.client
            .execute(
                "delete from supaqueue.job j
                 where j.queue = supaqueue.queue_id($1) and j.status = 'pending'",
                &[&queue],
            )
            .await?;
        self.wait_for_zero(&format!(
            "select count(*) from supaqueue.current_job c where c.queue = supaqueue.queue_id('{queue}')"
        ))
        .await
    }

    /// Drains and deletes a queue.
    pub(crate) async fn drop_queue(&self, queue: &str) -> Result<()> {
        self.drain(queue).await?;
        self.client
            .execute("delete from supaqueue.queue q where q.name = $1", &[&queue])
            .await?;
        Ok(())
    }

    /// Successful jobs per second of a queue, measured for `window` after `warm_up`.
    pub(crate) async fn throughput(
        &self,
        queue: &str,
        warm_up: Duration,
        window: Duration,
    ) -> Result<f64> {
        let count =
            format!("select s.successful from supaqueue.queue_status s where s.name = '{queue}'");
        self.rate(&count, warm_up, window).await
    }

    /// How much a count grows per second, measured for `window` after `warm_up`.
    pub(crate) async fn rate(
        &self,
        count: &str,
        warm_up: Duration,
        window: Duration,
    ) -> Result<f64> {
        tokio::time::sleep(warm_up).await;
        let read = async || -> Result<(f64, f64)> {
            let sql =
                format!("select ({count})::float8, extract(epoch from clock_timestamp())::float8");
            let row = self.client.query_one(&sql, &[]).await?;
            Ok((row.get(0), row.get(1)))
        };
        let (jobs_before, before) = read().await?;
        tokio::time::sleep(window).await;
        let (jobs_after, after) = read().await?;
        Ok((jobs_after - jobs_before) / (after - before))
    }

    /// Waits until a count of calls in flight is zero.
    pub(crate) async fn wait_for_zero(&self, count: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let left: i64 = self.client.query_one(count, &[]).await?.get(0);
            if left == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!("{left} calls are still in flight after a minute").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Restarts the functions, so that no process reaches its wall-clock limit during a measurement.
    pub(crate) async fn restart_functions(&self) {
        for name in ["supaqueue", "wait", "baseline", "pattern"] {
            self.stack.stop_function(name).await;
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.client);
        self.stack.stop().await;
    }
}

/// Creates a queue that calls the target `wait`.
pub(crate) async fn create_queue(client: &Client, name: &str, workers: u32) -> Result<()> {
    client
        .batch_execute(&format!(
            "insert into supaqueue.queue (name, edge_function_name) values ('{name}', 'wait');
             select supaqueue.set_workers('{name}', {workers})"
        ))
        .await?;
    Ok(())
}

/// Brings the database into the state in which autovacuum and checkpoints would leave it.
pub(crate) async fn vacuum(database: &Database) -> Result<()> {
    let admin = database.connect_as_admin().await?;
    admin.batch_execute("vacuum analyze").await?;
    admin.batch_execute("checkpoint").await?;
    Ok(())
}
