//! Waiting for work: one wait for each queue that had none.
//!
//! While a queue is in use, retries, scheduled jobs and new jobs start without pg_net and without
//! the tick. The database says when to ask again.

use super::Run;
use crate::protocol::{QueueId, QueueWait};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wait {
    pub(super) queue: QueueId,
    /// When a call of the queue ended last.
    pub(super) since: Timestamp,
    /// When to ask for work.
    pub(super) at: Timestamp,
}

impl Run {
    /// Waits for `ms` milliseconds before asking for work of a queue in which a call has just ended.
    pub(super) fn wait(&mut self, queue: QueueId, now: Timestamp, ms: u64) {
        let at = now.plus(ms);
        match self.waits.iter_mut().find(|wait| wait.queue == queue) {
            Some(wait) => {
                wait.since = now;
                wait.at = wait.at.min(at);
            }
            None => self.waits.push(Wait {
                queue,
                since: now,
                at,
            }),
        }
    }

    /// Waits as the database says, after it was asked for work.
    pub(super) fn wait_again(
        &mut self,
        asked: &[(QueueId, u64)],
        told: &[QueueWait],
        now: Timestamp,
    ) {
        let lanes = &self.lanes;
        self.waits.retain_mut(|wait| {
            if !asked.iter().any(|(queue, _)| *queue == wait.queue) {
                return true;
            }
            if lanes.iter().any(|lane| lane.queue() == wait.queue) {
                wait.since = now;
            }
            let told = told.iter().find(|told| told.id == wait.queue);
            let again_in_ms = told.and_then(|told| told.again_in_ms);
            wait.at = now.plus(again_in_ms.unwrap_or(0));
            again_in_ms.is_some()
        });
    }
}
