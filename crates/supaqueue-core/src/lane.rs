//! A lane: one worker's chain of jobs inside one run, as a state machine.
//!
//! ```text
//!  Begin ─► tell: acknowledge ─accepted─► call ─► tell: report ─next─► call ─► …
//!              │  ▲                       │ ▲        │  ▲   │
//!              │  └─ wait ◄─ no answer    │ └ wait   │  │   └─ no next ─► end
//!              └─ refused ─► end          └─ rate    │  └─ wait ◄─ no answer
//!                                            limited └─ refused ─► end
//! ```
//!
//! The lane decides; whoever drives it carries out one [`Action`] and comes back
//! with the [`Event`] that it led to.

mod calling;
mod telling;

use self::telling::Telling;
use crate::answer::DatabaseAnswer;
use crate::budget::Budget;
use crate::log::{Entry, Level};
use crate::outcome::CallEnd;
use crate::protocol::{Assignment, EndCurrentJob, LaneId};
use crate::time::Timestamp;

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// The first one.
    Begin,
    /// The database answered what was told it last.
    Answered(DatabaseAnswer),
    /// The call is over.
    CallEnded(CallEnd),
    /// The wait is over.
    Woke,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Call `end_current_job` with [`Lane::arguments`].
    Tell,
    /// Call the target of [`Lane::assignment`].
    Call,
    /// Let time pass.
    Wait {
        /// How much, in milliseconds; never 0.
        ms: u64,
    },
    /// Nothing: the lane is over.
    End,
}

/// What all lanes of a run share.
#[derive(Debug)]
pub struct Run {
    /// What may still be taken on.
    pub budget: Budget,
    /// That `end_current_job` is missing is said once, not by each lane.
    pub is_missing_logged: bool,
}

/// The moment of an event.
#[derive(Debug)]
pub struct Moment<'a> {
    /// When it happened.
    pub now: Timestamp,
    /// Spread evenly over all of `u64`.
    pub random: u64,
    /// The run that the lane belongs to.
    pub run: &'a mut Run,
}

/// One worker's chain of jobs.
#[derive(Debug)]
pub struct Lane {
    id: LaneId,
    state: State,
    assignment: Assignment,
    lease_ends: Timestamp,
    log: Vec<Entry>,
}

#[derive(Debug)]
enum State {
    New,
    Acknowledging(Telling),
    Calling { since: Timestamp },
    HeldBack,
    Reporting(Telling),
    Ended,
}

impl Lane {
    /// A lane for a current job that came with a dispatch.
    pub fn new(id: LaneId, assignment: Assignment) -> Self {
        let lease_ends = Timestamp::from_ms(0);
        Self {
            id,
            state: State::New,
            assignment,
            lease_ends,
            log: Vec::new(),
        }
    }

    /// The job that the lane is at.
    pub fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// What to tell the database, after [`Action::Tell`].
    pub fn arguments(&self) -> Option<EndCurrentJob<'_>> {
        let id = self.assignment.current_job.id;
        match &self.state {
            State::Acknowledging(telling) => Some(telling.arguments(id, false)),
            State::Reporting(telling) => Some(telling.arguments(id, true)),
            _ => None,
        }
    }

    /// The lines that were written since this was last asked.
    pub fn take_log(&mut self) -> Vec<Entry> {
        core::mem::take(&mut self.log)
    }

    /// What to do after `event`. An event that does not fit ends the lane.
    pub fn next(&mut self, event: Event, moment: Moment<'_>) -> Action {
        match (core::mem::replace(&mut self.state, State::Ended), event) {
            (State::New, Event::Begin) => self.acknowledge(moment),
            (State::Acknowledging(telling), Event::Woke) => {
                self.tell(State::Acknowledging, telling, moment)
            }
            (State::Acknowledging(telling), Event::Answered(answer)) => {
                self.acknowledged(telling, answer, moment)
            }
            (State::HeldBack, Event::Woke) => self.call(moment),
            (State::Calling { since }, Event::CallEnded(end)) => self.called(since, end, moment),
            (State::Reporting(telling), Event::Woke) => {
                self.tell(State::Reporting, telling, moment)
            }
            (State::Reporting(telling), Event::Answered(answer)) => {
                self.reported(telling, answer, moment)
            }
            _ => Action::End,
        }
    }

    fn end(&mut self, level: Level, event: &'static str, reason: Option<&str>) -> Action {
        self.log(level, event, reason);
        Action::End
    }

    fn log(&mut self, level: Level, event: &'static str, reason: Option<&str>) {
        let entry = Entry::of(level, event, &self.assignment);
        self.log.push(match reason {
            Some(reason) => entry.because(reason),
            None => entry,
        });
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
