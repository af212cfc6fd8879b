//! What is known of jobs beside the database.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::Client;

use crate::load::Batch;

/// A job as its inserter knows it.
#[derive(Debug, Clone)]
pub struct Known {
    /// Which fault was injected when it was inserted, counted from 0.
    pub fault: usize,
    /// Whether Postgres said that it is there; else it may be or not.
    pub is_certain: bool,
    /// Whether it can only fail.
    pub is_doomed: bool,
    /// What it has to wait for.
    pub sources: Vec<String>,
}

/// Every job that was inserted, by its id.
#[derive(Debug, Default)]
pub struct Ledger {
    fault: Mutex<usize>,
    jobs: Mutex<HashMap<String, Known>>,
    refused: Mutex<Vec<String>>,
    without_room: Mutex<usize>,
}

impl Ledger {
    /// A copy of it.
    pub fn jobs(&self) -> HashMap<String, Known> {
        lock(&self.jobs).clone()
    }

    /// From now on jobs belong to that fault.
    pub fn begin_fault(&self, number: usize) {
        *lock(&self.fault) = number;
    }

    pub(crate) fn clear(&self) {
        lock(&self.jobs).clear();
        lock(&self.refused).clear();
    }

    /// Why inserts were refused since this was last asked.
    pub(crate) fn take_refused(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.refused))
    }

    /// How many inserts found no room since this was last asked.
    pub(crate) fn take_without_room(&self) -> usize {
        std::mem::take(&mut lock(&self.without_room))
    }

    /// Notes an error of Postgres: that there is no room (class 53), or anything but that it ends
    /// (class 57P).
    pub(crate) fn refuse(&self, error: &tokio_postgres::Error) {
        let Some(error) = error.as_db_error() else {
            return;
        };
        match error.code().code() {
            code if code.starts_with("53") => *lock(&self.without_room) += 1,
            code if code.starts_with("57P") => {}
            _ => lock(&self.refused).push(error.to_string()),
        }
    }

    /// Inserts jobs in one transaction, and notes them before and after.
    pub(crate) async fn insert(
        &self,
        client: &Client,
        batch: &Batch,
    ) -> Result<(), tokio_postgres::Error> {
        self.note(batch, false);
        client.batch_execute(&batch.sql()).await?;
        self.note(batch, true);
        Ok(())
    }

    /// Notes jobs, whether or not it is known yet that they are there.
    pub(crate) fn note(&self, batch: &Batch, is_certain: bool) {
        let fault = *lock(&self.fault);
        let mut jobs = lock(&self.jobs);
        for job in &batch.0 {
            let known = jobs.entry(job.id.clone()).or_insert_with(|| Known {
                fault,
                is_certain,
                is_doomed: job.is_doomed,
                sources: job.sources.clone(),
            });
            known.is_certain = is_certain;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
