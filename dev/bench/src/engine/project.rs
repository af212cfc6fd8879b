//! The Postgres that is measured, and databases in it with many jobs.

use std::path::Path;

use supaqueue_local::{Database, Postgres};
use tokio_postgres::Client;

use crate::Result;

/// A Postgres as a small hosted project has it.
pub(crate) struct Project {
    postgres: Postgres,
}

impl Project {
    pub(crate) async fn start() -> Result<Self> {
        let builder = Postgres::builder()
            .fsync(true)
            .setting("shared_buffers", "512MB")
            .setting("max_wal_size", "4GB")
            .setting("synchronous_commit", "on")
            .migration(supaqueue_files::core().from_scratch());
        Ok(Self {
            postgres: builder.start().await?,
        })
    }

    /// Such as 17.9.
    pub(crate) fn version(&self) -> String {
        let version = self.postgres.version();
        format!("{}.{}", version / 10_000, version % 10_000)
    }

    /// The folder of its data.
    pub(crate) fn folder(&self) -> &Path {
        self.postgres.folder()
    }

    /// A new database that can dispatch.
    pub(crate) async fn database(&self) -> Result<Stage> {
        let database = self.postgres.create_database().await?;
        let client = database.connect().await?;
        client
            .batch_execute(
                "select vault.create_secret(
                   'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 'supaqueue_secret');
                 select vault.create_secret('http://127.0.0.1:9', 'supaqueue_url')",
            )
            .await?;
        Ok(Stage { database, client })
    }
}

/// A database, and one connection to it.
pub(crate) struct Stage {
    database: Database,
    client: Client,
}

impl Stage {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        Ok(self.database.connect().await?)
    }

    /// Makes queues of so many workers each.
    pub(crate) async fn queues(&self, queues: &[&str], workers: u32) -> Result<()> {
        for queue in queues {
            self.client
                .batch_execute(&format!(
                    "insert into supaqueue.queue (name, edge_function_name) values ('{queue}', 'hello');
                     select supaqueue.set_workers('{queue}', {workers})"
                ))
                .await?;
        }
        Ok(())
    }

    /// Gives each queue so many pending jobs; the first of them start.
    pub(crate) async fn enqueue(&self, queues: &[&str], jobs: u32) -> Result<()> {
        for queue in queues {
            self.client
                .batch_execute(&format!(
                    "insert into supaqueue.job (queue, payload)
                     select supaqueue.queue_id('{queue}'), jsonb_build_object('number', number)
                     from generate_series(1, {jobs}) as number"
                ))
                .await?;
        }
        Ok(())
    }

    /// Gives a queue so many jobs that ended, the last of them now.
    pub(crate) async fn finish(&self, queue: &str, jobs: u32) -> Result<()> {
        self.client
            .batch_execute(&format!(
                "insert into supaqueue.job
                   (queue, payload, status, attempts, started_at, finished_at, http_status, result)
                 select supaqueue.queue_id('{queue}'), jsonb_build_object('number', number), 'successful', 1,
                   ended, ended, 200, '{{\"ok\": true}}'
                 from generate_series(1, {jobs}) as number
                 cross join lateral (select now() - ({jobs} - number) * interval '10 milliseconds') as t (ended)"
            ))
            .await?;
        Ok(())
    }

    /// As autovacuum would have left it some time ago.
    pub(crate) async fn settle_down(&self) -> Result<()> {
        let admin = self.database.connect_as_admin().await?;
        admin.batch_execute("vacuum analyze").await?;
        admin.batch_execute("checkpoint").await?;
        Ok(())
    }
}
