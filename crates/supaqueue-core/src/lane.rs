//! A lane: one worker's chain of jobs inside a run, as a state machine.
//!
//! ```text
//!  Start ─► acknowledge ─accepted─► call the target ─► report ─next─► call ─► …
//!             │  ▲                    │ ▲                │  ▲ │
//!             │  └ sleep ◄ retry      │ └ sleep          │  │ └ no next ─► end
//!             └ refused ─► end        └ rate limited     │  └ sleep ◄ retry
//!                                                        └ refused ─► end
//! ```
//!
//! The lane decides; `supaqueue-edge` carries out one [`Action`] at a time and
//! returns with the [`Event`] that it led to.

mod database;
mod lease;
mod target;

use self::database::Rpc;
use crate::fetch::{Failure, Request, Response};
use crate::log::{Entry, Level};
use crate::protocol::{Assignment, LaneId};
use crate::run::Run;
use crate::time::Timestamp;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// The lane starts.
    Start,
    /// The request of [`Action::Fetch`] ended.
    Fetched(Result<Response, Failure>),
    /// The time of [`Action::Sleep`] has passed.
    Woke,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this request.
    Fetch(Request),
    /// Let time pass.
    Sleep {
        /// How much, in milliseconds; never 0.
        ms: u64,
    },
    /// Nothing: the lane has ended.
    End,
}

/// One worker's chain of jobs.
#[derive(Debug)]
pub struct Lane {
    id: LaneId,
    state: State,
    assignment: Assignment,
    lease_ends: Timestamp,
}

/// What the lane waits for.
#[derive(Debug)]
enum State {
    New,
    /// The result of `end_current_job`, or the end of the sleep before repeating the call.
    Database(Rpc),
    /// The response of the target, which was called at `since`.
    Target {
        since: Timestamp,
    },
    /// The end of the sleep before calling the target, because of the runtime's rate limit.
    RateLimit,
    Ended,
}

/// The circumstances of an event.
struct Step<'a> {
    run: &'a mut Run,
    now: Timestamp,
    random: u64,
}

impl Lane {
    /// A lane for a current job of a dispatch.
    #[must_use]
    pub fn new(id: LaneId, assignment: Assignment) -> Self {
        Self {
            id,
            state: State::New,
            assignment,
            lease_ends: Timestamp::from_ms(0),
        }
    }

    /// What to do after `event`, which happened at `now`. An event that does not fit
    /// ends the lane. `random` is uniform over all of `u64`.
    pub fn next(&mut self, event: Event, run: &mut Run, now: Timestamp, random: u64) -> Action {
        let step = Step { run, now, random };
        match (core::mem::replace(&mut self.state, State::Ended), event) {
            (State::New, Event::Start) => self.acknowledge(step),
            (State::Database(rpc), Event::Woke) => self.send(rpc, step),
            (State::Database(rpc), Event::Fetched(end)) => self.after_rpc(rpc, end, step),
            (State::Target { since }, Event::Fetched(end)) => self.after_call(since, end, step),
            (State::RateLimit, Event::Woke) => self.call(step),
            _ => Action::End,
        }
    }

    fn end(
        &self,
        step: Step<'_>,
        level: Level,
        event: &'static str,
        reason: Option<&str>,
    ) -> Action {
        self.log(step.run, level, event, reason);
        Action::End
    }

    fn log(&self, run: &mut Run, level: Level, event: &'static str, reason: Option<&str>) {
        let entry = Entry::of(level, event, &self.assignment);
        run.log(match reason {
            Some(reason) => entry.because(reason),
            None => entry,
        });
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
