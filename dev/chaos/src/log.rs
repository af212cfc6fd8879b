//! The targets' log: the calls they received, and what they answered.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use crate::lock;

/// A call of a target, from its first byte received to the last byte sent.
#[derive(Debug, Clone)]
pub struct Call {
    /// The job, from the header `supaqueue-job-id`.
    pub job: String,
    /// The queue, from the header `supaqueue-queue`.
    pub queue: String,
    /// The attempt, from the header `supaqueue-attempt`.
    pub attempt: u32,
    /// When it reached the target.
    pub begun: Instant,
    /// The status of the answer, once it was sent.
    pub status: Option<u16>,
    /// When it ended for the target.
    pub ended: Option<Instant>,
    /// Whether it was cut off before the answer was complete.
    pub is_cut: bool,
}

impl Call {
    /// Whether the target answered with success.
    pub fn is_success(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// All calls, in order of arrival.
#[derive(Debug, Default)]
pub struct TargetLog(Mutex<Vec<Call>>);

impl TargetLog {
    /// A copy of all calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.entries().clone()
    }

    /// The number of calls in flight.
    pub fn in_flight(&self) -> usize {
        let is_in_flight = |call: &&Call| call.ended.is_none();
        self.entries().iter().filter(is_in_flight).count()
    }

    /// Logs a call that has arrived.
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
            index: calls.len() - 1,
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Call>> {
        lock(&self.0)
    }
}

/// A call in flight. If it is dropped before [`Self::end`], it was cut off by either side.
#[derive(Debug)]
pub(crate) struct OpenCall {
    log: Arc<TargetLog>,
    index: usize,
}

impl OpenCall {
    /// Logs that the status is about to be sent.
    pub(crate) fn answer(&self, status: u16) {
        self.log.entries()[self.index].status = Some(status);
    }

    /// Logs that the rest of the answer is about to be sent.
    pub(crate) fn end(self) {
        self.log.entries()[self.index].is_cut = false;
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.log.entries()[self.index].ended = Some(Instant::now());
    }
}
