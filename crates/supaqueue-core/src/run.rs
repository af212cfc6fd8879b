//! A run: what an isolate does with the dispatches that it gets, until it has nothing left to do.
//!
//! ```text
//!  dispatch ─► pulse ─started─► lane: call ─► report ─next─► call ─► … ─► no next
//!               ▲                                                           │
//!               └── every few seconds, and when a queue is asked for work ◄─┘
//! ```
//!
//! The run is a state machine. [`Run::next`] takes what happened and returns what to do; it knows
//! neither HTTP nor JSON, so that the protocol's model runs this code, not a description of it.
//! [`crate::isolate`] turns its orders into requests.
//!
//! # Leases
//!
//! The database keeps the run's calls for it until the run's lease ends, and only pulses renew the
//! lease. With a lease of L, counted from when the answered pulse was *sent*, the run aborts all of
//! its calls at L − M (the margin M covers clocks that drift and timers that are late), so no call
//! outlives its lease. A pulse every P, each tried for T at most, survives three that are lost:
//! P + 4 T ≤ L − M.

mod lane;
mod pulse;
mod wait;

use std::sync::Arc;

use self::lane::Lane;
use self::pulse::Pulse;
use self::wait::Wait;
use crate::budget::Budget;
use crate::database::Verdict;
use crate::log::{Entry, Level};
use crate::outcome::Outcome;
use crate::protocol::{Assignment, CurrentJobId, PulseRequest, ReportRequest, RunId};
use crate::time::{Timestamp, earliest};
use crate::trace::Trace;

/// The lease of a run before the database has told it, in milliseconds.
const DEFAULT_LEASE_MS: u64 = 60_000;

/// Identifies an order to send something among those that are unanswered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u32);

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A dispatch brought current jobs.
    Dispatched(Vec<CurrentJobId>, Trace),
    /// What an order sent has been answered, or never will be. It comes once for each order,
    /// aborted ones included.
    Answered(RequestId, Answer),
    /// The time of [`Run::wakes_at`] has come.
    Woke,
    /// The isolate is about to end.
    Ending,
}

/// The end of a request.
#[derive(Debug)]
pub enum Answer {
    /// Of a pulse or a report.
    Database(Verdict),
    /// Of a call of a target.
    Call(Outcome),
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Order {
    /// Send this, and tell the answer.
    Send {
        /// What the answer refers to.
        id: RequestId,
        /// What to send.
        message: Message,
        /// When to abort it, in milliseconds.
        within_ms: u64,
    },
    /// Abort a request. Its answer still comes.
    Abort(RequestId),
    /// Log this.
    Log(Entry),
}

/// What a run sends.
#[derive(Clone, Debug)]
pub enum Message {
    /// To `supaqueue_pulse`.
    Pulse(RunId, Arc<PulseRequest>),
    /// To `end_current_job`.
    Report(RunId, Arc<ReportRequest>),
    /// To a target.
    Call(Arc<Assignment>, Trace),
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    id: RunId,
    budget: Budget,
    lanes: Vec<Lane>,
    /// The most lanes that there were at once.
    peak: usize,
    waits: Vec<Wait>,
    pulse: Pulse,
    /// The trace of the latest dispatch.
    trace: Trace,
    lease_ms: u64,
    /// When the calls must have ended.
    deadline: Timestamp,
    is_over: bool,
    /// Unanswered requests whose answers no longer matter.
    abandoned: Vec<RequestId>,
}

/// The circumstances of an event, and the orders that it leads to.
struct Step {
    now: Timestamp,
    random: u64,
    /// The request that has just ended.
    ended: Option<RequestId>,
    orders: Vec<Order>,
}

impl Step {
    fn log(&mut self, entry: Entry) {
        self.orders.push(Order::Log(entry));
    }

    /// Logs what happened to a job, and why.
    fn log_job(
        &mut self,
        level: Level,
        event: &'static str,
        assignment: &Assignment,
        reason: &str,
    ) {
        self.log(Entry::of(level, event, assignment).because(reason));
    }
}

impl Run {
    /// A run that has nothing to do yet.
    #[must_use]
    pub fn new(id: RunId, budget: Budget, trace: Trace, now: Timestamp) -> Self {
        Self {
            id,
            budget,
            lanes: Vec::new(),
            peak: 0,
            waits: Vec::new(),
            pulse: Pulse::new(now),
            trace,
            lease_ms: DEFAULT_LEASE_MS,
            deadline: now.plus(DEFAULT_LEASE_MS - margin_ms(DEFAULT_LEASE_MS)),
            is_over: false,
            abandoned: Vec::new(),
        }
    }

    /// What to do after `event`, which happened at `now`. `random` is uniform over all of `u64`.
    pub fn next(&mut self, event: Event, now: Timestamp, random: u64) -> Vec<Order> {
        let mut step = Step {
            now,
            random,
            ended: match event {
                Event::Answered(id, _) => Some(id),
                _ => None,
            },
            orders: Vec::new(),
        };
        if now >= self.deadline {
            self.end("its lease could not be renewed in time", &mut step);
        }
        match event {
            Event::Dispatched(current_jobs, trace) => {
                self.trace = trace;
                self.budget.refill();
                self.pulse.acknowledge(current_jobs);
            }
            Event::Answered(id, answer) => self.answered(id, answer, &mut step),
            Event::Woke => {}
            Event::Ending => self.budget.stop(),
        }
        if !self.is_over {
            self.give_back_held_too_long(&mut step);
            self.send_reports(&mut step);
            self.send_pulse(&mut step);
            self.end_lanes(&mut step);
        }
        step.orders
    }

    /// When to send [`Event::Woke`] if nothing else happens before; None if there is nothing to wait for.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Timestamp> {
        if self.is_over || !self.has_work() {
            return None;
        }
        let mut at = earliest(Some(self.deadline), self.pulse_due());
        for lane in &self.lanes {
            at = earliest(at, lane.wakes_at());
        }
        at
    }

    /// Whether the run has ended: nothing is left to do, and no request is unanswered.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.abandoned.is_empty() && (self.is_over || !self.has_work())
    }

    /// Whether the run no longer takes dispatches: its lease is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// The calls that the database keeps for it: in flight, or held ready.
    pub fn calls(&self) -> impl Iterator<Item = CurrentJobId> {
        self.lanes.iter().flat_map(Lane::calls).flatten()
    }

    fn has_work(&self) -> bool {
        !self.lanes.is_empty() || !self.waits.is_empty() || self.pulse.has_work()
    }

    fn answered(&mut self, id: RequestId, answer: Answer, step: &mut Step) {
        if let Some(index) = self.abandoned.iter().position(|known| *known == id) {
            self.abandoned.remove(index);
            return;
        }
        match answer {
            Answer::Database(Verdict::Returned(result)) if !result.accepted => {
                let reason = result.reason.as_deref();
                self.end(reason.unwrap_or("the run is over"), step);
            }
            Answer::Database(verdict) if self.pulse.request() == Some(id) => {
                self.after_pulse(verdict, step);
            }
            Answer::Database(verdict) => self.after_report(id, verdict, step),
            Answer::Call(outcome) => self.after_call(id, outcome, step),
        }
    }

    /// Ends the run at once: its lease is over, or will be soon.
    fn end(&mut self, reason: &str, step: &mut Step) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        for lane in core::mem::take(&mut self.lanes) {
            lane.log_abandoned(reason, step);
            for id in lane.requests().into_iter().flatten() {
                self.abandon(id, step);
            }
        }
        if let Some(id) = self.pulse.abandon() {
            self.abandon(id, step);
        }
        self.waits.clear();
        step.log(Entry::new(Level::Error, "run_over").because(reason));
    }

    fn abandon(&mut self, id: RequestId, step: &mut Step) {
        if step.ended == Some(id) {
            return;
        }
        self.abandoned.push(id);
        step.orders.push(Order::Abort(id));
    }

    /// The least number that no unanswered request has.
    fn new_request(&self) -> RequestId {
        let mut id = RequestId(0);
        while self.is_unanswered(id) {
            id.0 += 1;
        }
        id
    }

    fn is_unanswered(&self, id: RequestId) -> bool {
        let is_its = |lane: &Lane| lane.requests().contains(&Some(id));
        self.pulse.request() == Some(id)
            || self.abandoned.contains(&id)
            || self.lanes.iter().any(is_its)
    }

    fn send(&mut self, id: RequestId, message: Message, within_ms: u64, step: &mut Step) {
        step.orders.push(Order::Send {
            id,
            message,
            within_ms,
        });
    }
}

/// By how much the calls end before the lease, in milliseconds (M).
const fn margin_ms(lease_ms: u64) -> u64 {
    lease_ms / 12
}

/// How often a pulse renews the lease, in milliseconds (P).
const fn interval_ms(lease_ms: u64) -> u64 {
    lease_ms / 6
}

/// How long a request to the database may take, in milliseconds (T).
const fn rpc_timeout_ms(lease_ms: u64) -> u64 {
    lease_ms * 2 / 15
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
