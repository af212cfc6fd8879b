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

use crate::answer::DatabaseAnswer;
use crate::backoff::wait_ms;
use crate::budget::Budget;
use crate::log::{Entry, Level};
use crate::outcome::{CallEnd, Outcome, clamp, outcome};
use crate::protocol::{
    Answer, Assignment, CurrentJob, EndCurrentJob, LaneId, Report, ReportedError,
};
use crate::time::Timestamp;

/// The dispatch lease where the record does not say, in milliseconds.
const DISPATCH_LEASE_MS: u64 = 15_000;
/// What a lease is longer than the call's timeout, where nobody says, in milliseconds.
const LEASE_GRACE_MS: u64 = 30_000;
/// Kept free at the end of a lease for the report, in milliseconds.
const REPORT_MARGIN_MS: u64 = 5000;
/// A wait for the runtime's rate limit is at least this long, in milliseconds: it must move the clock.
const MIN_HOLD_MS: u64 = 50;

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

/// Something that the database is to be told, until it answers.
#[derive(Debug)]
struct Telling {
    is_successful: bool,
    report: Report,
    /// Whether the lane may go on, and for the moment of the last try: with a job of at most which timeout.
    wants_next: bool,
    next_within_ms: Option<u32>,
    tries: u32,
    /// Without anything that the target wrote.
    is_bare: bool,
}

impl Telling {
    fn new(is_successful: bool, report: Report, wants_next: bool) -> Self {
        Self {
            is_successful,
            report,
            wants_next,
            next_within_ms: None,
            tries: 0,
            is_bare: false,
        }
    }
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
        let (telling, is_complete) = match &self.state {
            State::Acknowledging(telling) => (telling, false),
            State::Reporting(telling) => (telling, true),
            _ => return None,
        };
        Some(EndCurrentJob {
            cur_job_id: self.assignment.current_job.id,
            is_complete,
            is_successful: telling.is_successful,
            report: &telling.report,
            next_within_ms: telling.next_within_ms,
        })
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

    fn acknowledge(&mut self, moment: Moment<'_>) -> Action {
        let CurrentJob {
            created_at,
            lease_until,
            ..
        } = &self.assignment.current_job;
        self.lease_ends = moment
            .now
            .plus(lease_ms(created_at, lease_until).unwrap_or(DISPATCH_LEASE_MS));
        let report = Report {
            lane: Some(self.id),
            ..Report::default()
        };
        self.tell(
            State::Acknowledging,
            Telling::new(false, report, false),
            moment,
        )
    }

    fn acknowledged(
        &mut self,
        telling: Telling,
        answer: DatabaseAnswer,
        moment: Moment<'_>,
    ) -> Action {
        match answer {
            DatabaseAnswer::Said(Answer {
                accepted: true,
                lease_ms,
                ..
            }) => {
                let lease = lease_ms.unwrap_or(self.assignment.timeout_ms() + LEASE_GRACE_MS);
                self.lease_ends = moment.now.plus(lease);
                self.call(moment)
            }
            DatabaseAnswer::Said(answer) => self.end(
                Level::Info,
                "acknowledgement_refused",
                answer.reason.as_deref(),
            ),
            DatabaseAnswer::TryAgain { reason, after_ms } => {
                self.again(State::Acknowledging, telling, &reason, after_ms, moment)
            }
            DatabaseAnswer::Missing => {
                self.say_missing(moment.run);
                Action::End
            }
            DatabaseAnswer::Rejected(reason) => {
                self.end(Level::Error, "acknowledgement_rejected", Some(&reason))
            }
        }
    }

    fn call(&mut self, moment: Moment<'_>) -> Action {
        self.state = State::Calling { since: moment.now };
        Action::Call
    }

    fn called(&mut self, since: Timestamp, end: CallEnd, moment: Moment<'_>) -> Action {
        let timeout_ms = self.assignment.timeout_ms();
        match outcome(
            end,
            &self.assignment.queue.final_statuses,
            timeout_ms,
            moment.now,
        ) {
            Outcome::NotMade { retry_after_ms } => self.held_back(retry_after_ms, moment),
            Outcome::Settled {
                is_successful,
                mut report,
            } => {
                report.lane = Some(self.id);
                report.duration_ms = Some(clamp(moment.now.since(since)));
                self.log_call(is_successful, &report);
                let wants_next = moment.run.budget.take();
                self.tell(
                    State::Reporting,
                    Telling::new(is_successful, report, wants_next),
                    moment,
                )
            }
        }
    }

    /// The runtime let no call through: waits if the lease and the budget have room for
    /// that and the whole call, or else gives the job back, for a run with a rate of its own.
    fn held_back(&mut self, retry_after_ms: u32, moment: Moment<'_>) -> Action {
        let wait = u64::from(retry_after_ms).max(MIN_HOLD_MS);
        let timeout_ms = self.assignment.timeout_ms();
        let starts = moment.now.plus(wait);
        let is_leased = starts.plus(timeout_ms + REPORT_MARGIN_MS) <= self.lease_ends;
        let fits = moment
            .run
            .budget
            .fits_ms(starts)
            .is_some_and(|fits| timeout_ms <= fits.into());
        if is_leased && fits {
            self.log(
                Level::Warn,
                "call_held_back",
                Some(&format!("rate limit of the runtime, for {wait} ms")),
            );
            self.state = State::HeldBack;
            return Action::Wait { ms: wait };
        }
        let message = "the runtime's limit of calls from function to function was reached";
        self.log(Level::Warn, "job_given_back", Some(message));
        let report = Report {
            lane: Some(self.id),
            error: Some(ReportedError {
                message: message.into(),
                body: None,
            }),
            retry_after_ms: Some(retry_after_ms),
            is_attempt: Some(false),
            ..Report::default()
        };
        self.tell(State::Reporting, Telling::new(false, report, false), moment)
    }

    fn reported(
        &mut self,
        mut telling: Telling,
        answer: DatabaseAnswer,
        moment: Moment<'_>,
    ) -> Action {
        match answer {
            DatabaseAnswer::Said(Answer {
                accepted: true,
                next: Some(next),
                ..
            }) => self.take_next(next, moment),
            DatabaseAnswer::Said(Answer {
                accepted: true,
                next: None,
                ..
            }) => self.end(Level::Debug, "lane_ended", None),
            DatabaseAnswer::Said(answer) => {
                self.end(Level::Warn, "report_refused", answer.reason.as_deref())
            }
            DatabaseAnswer::TryAgain { reason, after_ms } => {
                self.again(State::Reporting, telling, &reason, after_ms, moment)
            }
            // It may be back before the lease ends: a migration under way, a schema cache to be loaded.
            DatabaseAnswer::Missing => {
                self.say_missing(moment.run);
                self.again(
                    State::Reporting,
                    telling,
                    "end_current_job is missing",
                    None,
                    moment,
                )
            }
            DatabaseAnswer::Rejected(reason) if telling.is_bare => {
                self.end(Level::Error, "report_rejected", Some(&reason))
            }
            // Postgres does not store everything that is JSON. What the target wrote is
            // worth less than that its job is settled.
            DatabaseAnswer::Rejected(reason) => {
                self.log(
                    Level::Warn,
                    "report_rejected",
                    Some(&format!("{reason}; trying without the target's answer")),
                );
                telling.is_bare = true;
                telling.report.result = None;
                if let Some(error) = &mut telling.report.error {
                    error.body = None;
                }
                self.tell(State::Reporting, telling, moment)
            }
        }
    }

    fn take_next(&mut self, next: Assignment, moment: Moment<'_>) -> Action {
        if next.current_job.id == self.assignment.current_job.id {
            return self.end(
                Level::Error,
                "next_is_not_new",
                Some("the database handed out a current job twice"),
            );
        }
        self.assignment = next;
        let CurrentJob {
            acknowledged_at,
            lease_until,
            ..
        } = &self.assignment.current_job;
        let lease = lease_ms(acknowledged_at, lease_until);
        self.lease_ends = moment
            .now
            .plus(lease.unwrap_or(self.assignment.timeout_ms() + LEASE_GRACE_MS));
        self.call(moment)
    }

    fn tell(
        &mut self,
        state: fn(Telling) -> State,
        mut telling: Telling,
        moment: Moment<'_>,
    ) -> Action {
        telling.tries = telling.tries.saturating_add(1);
        telling.next_within_ms = telling
            .wants_next
            .then(|| moment.run.budget.fits_ms(moment.now))
            .flatten();
        self.state = state(telling);
        Action::Tell
    }

    fn again(
        &mut self,
        state: fn(Telling) -> State,
        telling: Telling,
        reason: &str,
        after_ms: Option<u32>,
        moment: Moment<'_>,
    ) -> Action {
        let ms = wait_ms(telling.tries, moment.random, after_ms);
        if moment.now.plus(ms) >= self.lease_ends {
            return self.end(
                Level::Error,
                "database_not_reached",
                Some(&format!("{reason}; the lease ends")),
            );
        }
        self.log(
            Level::Warn,
            "database_not_reached",
            Some(&format!("{reason}; trying again in {ms} ms")),
        );
        self.state = state(telling);
        Action::Wait { ms }
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

    fn log_call(&mut self, is_successful: bool, report: &Report) {
        let (level, event) = if is_successful {
            (Level::Info, "call_succeeded")
        } else {
            (Level::Warn, "call_failed")
        };
        let entry = Entry::of(level, event, &self.assignment);
        self.log.push(Entry {
            status: report.http_status,
            duration_ms: report.duration_ms,
            message: report.error.as_ref().map(|error| error.message.clone()),
            ..entry
        });
    }

    fn say_missing(&mut self, run: &mut Run) {
        if !core::mem::replace(&mut run.is_missing_logged, true) {
            self.log.push(Entry::new(Level::Error, "end_current_job_missing").because(
                "public.end_current_job does not exist: install Supaqueue's migration, or delete this function; \
                 if it was installed just now, run: notify pgrst, 'reload schema'",
            ));
        }
    }
}

/// How long a lease is, by the database's clock alone: ours may differ.
fn lease_ms(from: &Option<String>, until: &Option<String>) -> Option<u64> {
    let from = Timestamp::from_timestamptz(from.as_deref()?)?;
    let until = Timestamp::from_timestamptz(until.as_deref()?)?;
    Some(until.since(from))
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
