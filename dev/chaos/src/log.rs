//! The targets' own log: what they were called for, and what they answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One call of a target, from the first byte that reached it to the last that left it.
#[derive(Debug, Clone)]
pub struct Call {
    /// The job, as `supaqueue-job-id` says.
    pub job: String,
    /// The queue, as `supaqueue-queue` says.
    pub queue: String,
    /// The attempt, as `supaqueue-attempt` says.
    pub attempt: u32,
    /// When it reached the target.
    pub begun: Instant,
    /// What it was answered with, once it was.
    pub status: Option<u16>,
    /// When it was over for the target.
    pub ended: Option<Instant>,
    /// Whether it broke off before its answer was written.
    pub is_cut: bool,
}

impl Call {
    /// Whether the target did its work, and said so.
    pub fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// All calls, in the order in which they came.
#[derive(Debug, Default)]
pub struct TargetLog(Mutex<Vec<Call>>);

impl TargetLog {
    /// The calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.entries().clone()
    }

    /// How many calls are under way.
    pub fn open(&self) -> usize {
        let is_open = |call: &&Call| call.ended.is_none();
        self.entries().iter().filter(is_open).count()
    }

    /// Notes that a call has come.
    pub(crate) fn begin(self: &Arc<Self>, queue: &str, job: &str, attempt: u32) -> OpenCall {
        let mut calls = self.entries();
        calls.push(Call {
            job: job.to_owned(),
            queue: queue.to_owned(),
            attempt,
            begun: Instant::now(),
            status: None,
            ended: None,
            is_cut: true,
        });
        OpenCall {
            log: self.clone(),
            place: calls.len() - 1,
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way. Dropped before [`Self::end`], it was cut off: the caller has gone, or we have.
#[derive(Debug)]
pub(crate) struct OpenCall {
    log: Arc<TargetLog>,
    place: usize,
}

impl OpenCall {
    /// The status is about to leave.
    pub(crate) fn answer(&self, status: u16) {
        self.log.entries()[self.place].status = Some(status);
    }

    /// All of the answer is about to leave.
    pub(crate) fn end(self) {
        self.log.entries()[self.place].is_cut = false;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.log.entries()[self.place].ended = Some(Instant::now());
    }
}
