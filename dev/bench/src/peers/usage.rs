//! What Postgres uses for a job.

use serde::Serialize;
use tokio_postgres::Client;

use crate::Result;
use crate::machine::tree_ms;
use crate::project::Project;

/// What Postgres used, up to a moment or for a job.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Usage {
    pub(super) cpu_ms: f64,
    pub(super) wal_bytes: f64,
}

impl Usage {
    /// Up to now, since Postgres was started.
    pub(super) async fn now(project: &Project, admin: &Client) -> Result<Self> {
        let wal = "select (pg_current_wal_insert_lsn() - '0/0')::double precision";
        let postgres = project.stack.postgres().ok_or("Postgres is external")?;
        Ok(Self {
            cpu_ms: tree_ms(postgres.pid()),
            wal_bytes: admin.query_one(wal, &[]).await?.get(0),
        })
    }

    /// Since `before`, for each of so many jobs.
    pub(super) fn per_job(self, before: Self, jobs: u32) -> Self {
        let jobs = f64::from(jobs);
        Self {
            cpu_ms: (self.cpu_ms - before.cpu_ms) / jobs,
            wal_bytes: (self.wal_bytes - before.wal_bytes) / jobs,
        }
    }
}
