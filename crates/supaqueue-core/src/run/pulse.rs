//! The pulse: the one request in which a run acknowledges, renews its lease, asks for work, and learns
//! what was cancelled.
//!
//! One pulse is unanswered at a time, and is repeated as it is until it is answered: what came up
//! meanwhile goes with the next one. So the database can tell a repetition from a new request, and
//! tells what a pulse claimed to no other.

use std::sync::Arc;

use super::{Message, RequestId, Run, Step, interval_ms, margin_ms, rpc_timeout_ms};
use crate::backoff::wait_ms;
use crate::budget::lanes_left;
use crate::database::Verdict;
use crate::log::{Entry, Level};
use crate::protocol::{CurrentJobId, Limits, PulseRequest, RpcResult};
use crate::time::{Timestamp, earliest};

/// The longest wait before a pulse is repeated, in milliseconds: several must fit into a lease.
const MAX_WAIT_MS: u64 = 2000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pulse {
    /// Of the last pulse.
    number: u32,
    /// When the last pulse was sent for the first time.
    sent_at: Timestamp,
    unanswered: Option<Unanswered>,
    /// For the next pulse.
    acknowledge: Vec<CurrentJobId>,
    /// For the next pulse.
    give_back: Vec<CurrentJobId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Unanswered {
    content: Arc<PulseRequest>,
    tries: u32,
    /// When the last try was sent.
    sent_at: Timestamp,
    /// None while it waits for `retry_at`.
    request: Option<RequestId>,
    retry_at: Timestamp,
}

impl Pulse {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            number: 0,
            sent_at: now,
            unanswered: None,
            acknowledge: Vec::new(),
            give_back: Vec::new(),
        }
    }

    pub(super) fn acknowledge(&mut self, current_jobs: Vec<CurrentJobId>) {
        self.acknowledge.extend(current_jobs);
    }

    pub(super) fn give_back(&mut self, call: CurrentJobId) {
        if !self.give_back.contains(&call) {
            self.give_back.push(call);
        }
    }

    pub(super) fn has_work(&self) -> bool {
        self.unanswered.is_some() || self.has_news()
    }

    fn has_news(&self) -> bool {
        !self.acknowledge.is_empty() || !self.give_back.is_empty()
    }

    pub(super) fn request(&self) -> Option<RequestId> {
        self.unanswered.as_ref().and_then(|pulse| pulse.request)
    }

    /// The request to abort when the run ends.
    pub(super) fn abandon(&mut self) -> Option<RequestId> {
        let request = self.request();
        *self = Self::new(self.sent_at);
        request
    }
}

impl Run {
    /// When a pulse is to be sent; None if nothing asks for one, or one is on its way.
    pub(super) fn pulse_due(&self) -> Option<Timestamp> {
        if let Some(pulse) = &self.pulse.unanswered {
            return pulse.request.is_none().then_some(pulse.retry_at);
        }
        let news = self.pulse.has_news().then_some(Timestamp::from_ms(0));
        let renewal = self.pulse.sent_at.plus(interval_ms(self.lease_ms));
        let renewal = (!self.lanes.is_empty()).then_some(renewal);
        let mut due = earliest(news, renewal);
        for wait in &self.waits {
            due = earliest(due, Some(wait.at));
        }
        due
    }

    pub(super) fn send_pulse(&mut self, step: &mut Step) {
        if self.pulse_due().is_none_or(|due| due > step.now) {
            return;
        }
        let mut pulse = match self.pulse.unanswered.take() {
            Some(pulse) => pulse,
            None => match self.new_pulse(step.now) {
                Some(pulse) => pulse,
                None => return,
            },
        };
        let id = self.new_request();
        pulse.request = Some(id);
        pulse.tries = pulse.tries.saturating_add(1);
        pulse.sent_at = step.now;
        let message = Message::Pulse(self.id, Arc::clone(&pulse.content));
        self.pulse.unanswered = Some(pulse);
        self.send(id, message, rpc_timeout_ms(self.lease_ms), step);
    }

    /// None if only waits asked for it, and nothing more can be taken.
    fn new_pulse(&mut self, now: Timestamp) -> Option<Unanswered> {
        let within_ms = self.budget.fits_ms(now).unwrap_or(0);
        let lanes = lanes_left(self.lanes.len());
        let is_due = self.waits.iter().any(|wait| wait.at <= now);
        if is_due && (within_ms == 0 || lanes == 0 || !self.budget.take_for_pulse()) {
            // Whoever reports next in such a queue waits for it again.
            self.waits.clear();
            if self.pulse_due().is_none_or(|due| due > now) {
                return None;
            }
        }
        let due = self.waits.iter().filter(|wait| wait.at <= now);
        let content = PulseRequest {
            number: self.pulse.number + 1,
            acknowledge: core::mem::take(&mut self.pulse.acknowledge),
            give_back: core::mem::take(&mut self.pulse.give_back),
            calls: self.calls().collect(),
            queues: due
                .map(|wait| (wait.queue, now.since(wait.since)))
                .collect(),
            limits: Limits {
                calls: lanes,
                bytes: self.bytes_left(),
                within_ms,
                whole_ms: self.budget.whole_ms(),
            },
        };
        self.pulse.number = content.number;
        self.pulse.sent_at = now;
        Some(Unanswered {
            content: Arc::new(content),
            tries: 0,
            sent_at: now,
            request: None,
            retry_at: now,
        })
    }

    pub(super) fn after_pulse(&mut self, verdict: Verdict, step: &mut Step) {
        let Some(mut pulse) = self.pulse.unanswered.take() else {
            return;
        };
        let (reason, after_ms) = match verdict {
            Verdict::Returned(result) => return self.take_pulse(&pulse, result, step),
            Verdict::Refused(reason) => (reason, None),
            Verdict::Unreachable { reason, after_ms } => (reason, after_ms),
        };
        let ms = wait_ms(pulse.tries, step.random, after_ms).min(MAX_WAIT_MS);
        let message = format!("{reason}; trying again in {ms} ms");
        step.log(Entry::new(Level::Warn, "database_not_reached").because(&message));
        pulse.request = None;
        pulse.retry_at = step.now.plus(ms);
        self.pulse.unanswered = Some(pulse);
    }

    fn take_pulse(&mut self, pulse: &Unanswered, result: RpcResult, step: &mut Step) {
        if let Some(lease_ms) = result.lease_ms {
            self.lease_ms = lease_ms;
            self.deadline = pulse.sent_at.plus(lease_ms - margin_ms(lease_ms));
        }
        if step.now >= self.deadline {
            return self.end("the database answered after the lease had ended", step);
        }
        self.cancel(&result.cancelled, step);
        self.forget(&result.gone, step);
        self.give_back(&result.unwanted);
        for id in &pulse.content.acknowledge {
            if !result.started.iter().any(|a| a.current_job.id == *id) {
                // Normal while the queue is warm: a run takes a call before pg_net brings it.
                let mut entry = Entry::new(Level::Debug, "not_acknowledged")
                    .because("it is gone, was taken already, or does not fit now");
                entry.current_job = Some(*id);
                step.log(entry);
            }
        }
        for assignment in result.started {
            self.start_lane(assignment, step);
        }
        self.wait_again(&pulse.content.queues, &result.queues, step.now);
    }
}
