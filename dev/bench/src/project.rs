//! The stack that is measured.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use procfs::process::Process;
use supaqueue_local::{ExtensionKind as Kind, Stack};
use tokio_postgres::Client;

use crate::Result;

/// A project with the target functions.
pub(crate) struct Project {
    pub(crate) stack: Stack,
    pub(crate) client: Client,
}

impl Project {
    /// A Postgres as a small hosted project has it, whose commits wait for the disk.
    pub(crate) async fn start() -> Result<Self> {
        let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions");
        let stack = Stack::builder()
            .functions(functions)
            .fsync(true)
            .setting("shared_buffers", "512MB")
            .setting("max_wal_size", "4GB")
            .connections(30)
            // The paid plan's, so that no process ends in the middle of a measurement.
            .wall_clock(Duration::from_secs(400))
            .env("SUPAQUEUE_TIME_BUDGET_MS", "390000")
            .env("SUPAQUEUE_LOG_LEVEL", "warn")
            .start()
            .await?;
        let client = stack.database().connect().await?;
        Ok(Self { stack, client })
    }

    /// As autovacuum would have left it some time ago.
    pub(crate) async fn settle_down(&self) -> Result<()> {
        let admin = self.stack.database().connect_as_admin().await?;
        admin.batch_execute("vacuum analyze").await?;
        admin.batch_execute("checkpoint").await?;
        Ok(())
    }

    /// The programs that were measured. The functions must have run.
    pub(crate) async fn versions(&self) -> Result<Vec<String>> {
        let net = match self.stack.extensions().real(Kind::Net) {
            Some(version) => format!("pg_net {version}"),
            None => "the stand-in of pg_net".into(),
        };
        let function = self.stack.function_pid("wait").await;
        let deno = Process::new(function.ok_or("the target does not run")?)?.exe()?;
        let deno = Command::new(deno).arg("--version").output()?.stdout;
        let deno = String::from_utf8_lossy(&deno);
        let deno: Vec<&str> = deno.split_whitespace().take(2).collect();
        Ok(vec![
            format!("Supaqueue {}", env!("CARGO_PKG_VERSION")),
            format!("Postgres {}, fsync on", self.stack.postgres_version()),
            net,
            deno.join(" "),
        ])
    }

    /// A new queue that calls `wait`, with so many workers.
    pub(crate) async fn queue(&self, name: &str, workers: u32) -> Result<()> {
        self.client
            .batch_execute(&format!(
                "insert into supaqueue.queue (name, edge_function_name) values ('{name}', 'wait');
                 select supaqueue.set_workers('{name}', {workers})"
            ))
            .await?;
        Ok(())
    }

    /// Gives a queue so many jobs whose calls take so long.
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

    /// Drops the jobs of a queue that have not begun, and waits for the calls that have.
    pub(crate) async fn drain(&self, queue: &str) -> Result<()> {
        self.client
            .execute(
                "delete from supaqueue.job j
                 where j.queue = supaqueue.queue_id($1) and j.status = 'pending'",
                &[&queue],
            )
            .await?;
        self.settle(
            "select count(*) from supaqueue.current_job c where c.queue = supaqueue.queue_id($1)",
            queue,
        )
        .await
    }

    /// Removes a queue once its calls have ended.
    pub(crate) async fn drop_queue(&self, queue: &str) -> Result<()> {
        self.drain(queue).await?;
        self.client
            .execute("delete from supaqueue.queue q where q.name = $1", &[&queue])
            .await?;
        Ok(())
    }

    /// How much a count grows in a second, from some time on.
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

    /// Waits until a count is 0.
    pub(crate) async fn settle(&self, count: &str, of: &str) -> Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let left: i64 = self.client.query_one(count, &[&of]).await?.get(0);
            if left == 0 {
                return Ok(());
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!("{left} calls of {of} have not ended in a minute").into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// New processes for the functions, so that none comes to its end while it is measured.
    pub(crate) async fn renew_functions(&self) {
        for name in ["supaqueue", "wait", "usual-way"] {
            self.stack.stop_function(name).await;
        }
    }

    pub(crate) async fn stop(self) {
        drop(self.client);
        self.stack.stop().await;
    }
}
