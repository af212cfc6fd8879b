//! The Postgres server under test, and its databases.

use std::path::Path;

use supaqueue_local::{Database, Postgres};
use tokio_postgres::Client;

use crate::Result;
use crate::project::{SETTINGS, create_queue, vacuum};

/// A Postgres server with the settings of a small hosted project.
pub(crate) struct Server {
    postgres: Postgres,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let mut builder = Postgres::builder()
            .fsync(true)
            .setting("synchronous_commit", "on")
            .migration(supaqueue_files::core().from_scratch());
        for (name, value) in SETTINGS {
            builder = builder.setting(name, value);
        }
        Ok(Self {
            postgres: builder.start().await?,
        })
    }

    /// The version, such as 17.9.
    pub(crate) fn version(&self) -> String {
        let version = self.postgres.version();
        format!("{}.{}", version / 10_000, version % 10_000)
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> &Path {
        self.postgres.folder()
    }

    /// Creates a database that can dispatch jobs.
    pub(crate) async fn database(&self) -> Result<TestDatabase> {
        let database = self.postgres.create_database().await?;
        let client = database.connect().await?;
        client
            .batch_execute(
                "select vault.create_secret(
                   'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=', 'supaqueue_secret');
                 select vault.create_secret('http://127.0.0.1:9', 'supaqueue_url')",
            )
            .await?;
        Ok(TestDatabase { database, client })
    }
}

/// A database and a connection to it.
pub(crate) struct TestDatabase {
    database: Database,
    client: Client,
}

impl TestDatabase {
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The address for the role `postgres`.
    pub(crate) fn url(&self) -> &str {
        self.database.url()
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        Ok(self.database.connect().await?)
    }

    /// Opens a connection as a superuser.
    pub(crate) async fn connect_as_admin(&self) -> Result<Client> {
        Ok(self.database.connect_as_admin().await?)
    }

    /// Creates queues with the given number of workers each.
    pub(crate) async fn create_queues(&self, queues: &[&str], workers: u32) -> Result<()> {
        for queue in queues {
            create_queue(&self.client, queue, workers).await?;
        }
        Ok(())
    }

    /// Inserts pending jobs into each queue, of which the first ones start.
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

    /// Inserts finished jobs into a queue. They finished one after the other, the last one now.
    pub(crate) async fn insert_finished(&self, queue: &str, jobs: u32) -> Result<()> {
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

    pub(crate) async fn vacuum(&self) -> Result<()> {
        vacuum(&self.database).await
    }
}
