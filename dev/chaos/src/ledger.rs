//! The jobs that were inserted, recorded outside the database.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio_postgres::Client;

use crate::load::Batch;
use crate::lock;

/// A job as its inserter knows it.
#[derive(Debug, Clone)]
pub struct InsertedJob {
    /// The number of the fault during which it was inserted, counted from 0.
    pub fault: usize,
    /// Whether Postgres confirmed the commit; if not, the job may or may not exist.
    pub is_committed: bool,
    /// Whether every attempt fails.
    pub is_doomed: bool,
    /// The jobs that it depends on.
    pub sources: Vec<String>,
}

/// Every inserted job, by id.
#[derive(Debug, Default)]
pub struct Ledger {
    fault: Mutex<usize>,
    jobs: Mutex<HashMap<String, InsertedJob>>,
    refused: Mutex<Vec<String>>,
    disk_full: Mutex<usize>,
}

impl Ledger {
    /// A copy of all jobs.
    pub fn jobs(&self) -> HashMap<String, InsertedJob> {
        lock(&self.jobs).clone()
    }

    /// Attributes the following jobs to the fault with this number.
    pub fn begin_fault(&self, number: usize) {
        *lock(&self.fault) = number;
    }

    pub(crate) fn clear(&self) {
        lock(&self.jobs).clear();
        lock(&self.refused).clear();
    }

    /// The errors of failed inserts since the last call.
    pub(crate) fn take_refused(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.refused))
    }

    /// The number of inserts that failed on a full disk since the last call.
    pub(crate) fn take_disk_full(&self) -> usize {
        std::mem::take(&mut lock(&self.disk_full))
    }

    /// Records an error of Postgres, unless it says that Postgres shuts down (class 57P).
    pub(crate) fn record_error(&self, error: &tokio_postgres::Error) {
        let Some(error) = error.as_db_error() else {
            return;
        };
        match error.code().code() {
            // Insufficient resources.
            code if code.starts_with("53") => *lock(&self.disk_full) += 1,
            code if code.starts_with("57P") => {}
            _ => lock(&self.refused).push(error.to_string()),
        }
    }

    /// Inserts jobs in one transaction, recording them before and after.
    pub(crate) async fn insert(
        &self,
        client: &Client,
        batch: &Batch,
    ) -> Result<(), tokio_postgres::Error> {
        self.record(batch, false);
        client.batch_execute(&batch.sql()).await?;
        self.record(batch, true);
        Ok(())
    }

    /// Records jobs whose commit is, or is not yet, confirmed.
    pub(crate) fn record(&self, batch: &Batch, is_committed: bool) {
        let fault = *lock(&self.fault);
        let mut jobs = lock(&self.jobs);
        for job in &batch.0 {
            let inserted = jobs.entry(job.id.clone()).or_insert_with(|| InsertedJob {
                fault,
                is_committed,
                is_doomed: job.is_doomed,
                sources: job.sources.clone(),
            });
            inserted.is_committed = is_committed;
        }
    }
}
