//! The stack that is measured.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use procfs::process::Process;
use supaqueue_local::{ExtensionKind as Kind, Stack};
use tokio_postgres::Client;

use crate::Result;

/// A project with the target functions, and other jobs in the table.
pub(super) struct Project {
    pub(super) stack: Stack,
    pub(super) client: Client,
}

impl Project {
    /// Half of the other jobs are finished, half are pending in a queue that is paused.
    pub(super) async fn start(other_jobs: u32) -> Result<Self> {
        let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/functions");
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
        client.batch_execute(include_str!("usual_way.sql")).await?;
        let half = other_jobs / 2;
        client
            .batch_execute(&format!(
                "insert into supaqueue.queue (name, edge_function_name, is_paused) values ('others', 'wait', true);
                 insert into supaqueue.job (queue, payload)
                 select supaqueue.queue_id('others'), jsonb_build_object('number', number)
                 from generate_series(1, {half}) as number;
                 insert into supaqueue.job
                   (queue, payload, status, attempts, started_at, finished_at, http_status, result)
                 select supaqueue.queue_id('others'), jsonb_build_object('number', number), 'successful', 1,
                   now(), now(), 200, '{{\"ok\": true}}'
                 from generate_series(1, {half}) as number"
            ))
            .await?;
        let admin = stack.database().connect_as_admin().await?;
        admin.batch_execute("vacuum analyze").await?;
        admin.batch_execute("checkpoint").await?;
        Ok(Self { stack, client })
    }

    /// The programs that were measured. The functions must have run.
    pub(super) async fn versions(&self) -> Result<Vec<String>> {
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
    pub(super) async fn queue(&self, name: &str, workers: u32) -> Result<()> {
        self.client
            .batch_execute(&format!(
                "insert into supaqueue.queue (name, edge_function_name) values ('{name}', 'wait');
                 select supaqueue.set_workers('{name}', {workers})"
            ))
            .await?;
        Ok(())
    }

    /// Gives a queue so many jobs whose calls take so long.
    pub(super) async fn enqueue(&self, queue: &str, jobs: u32, call_ms: u32) -> Result<()> {
        self.client
            .batch_execute(&format!(
                "insert into supaqueue.job (queue, payload)
                 select supaqueue.queue_id('{queue}'), jsonb_build_object('ms', {call_ms})
                 from generate_series(1, {jobs})"
            ))
            .await?;
        Ok(())
    }

    /// Removes a queue once its calls have ended; its jobs that have not begun are dropped.
    pub(super) async fn drop_queue(&self, queue: &str) -> Result<()> {
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
        .await?;
        self.client
            .execute("delete from supaqueue.queue q where q.name = $1", &[&queue])
            .await?;
        Ok(())
    }

    /// Waits until a count is 0.
    pub(super) async fn settle(&self, count: &str, of: &str) -> Result<()> {
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
    pub(super) async fn renew_functions(&self) {
        for name in ["supaqueue", "wait", "usual-way"] {
            self.stack.stop_function(name).await;
        }
    }

    pub(super) async fn stop(self) {
        drop(self.client);
        self.stack.stop().await;
    }
}
