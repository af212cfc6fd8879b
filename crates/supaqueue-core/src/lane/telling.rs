//! The part of a lane that tells the database: acknowledgements and reports.

use super::{Action, Lane, Moment, Run, State};
use crate::answer::DatabaseAnswer;
use crate::backoff::wait_ms;
use crate::log::{Entry, Level};
use crate::outcome::incomplete;
use crate::protocol::{Answer, Assignment, CurrentJob, CurrentJobId, EndCurrentJob, Report};
use crate::time::Timestamp;

/// The dispatch lease where the record does not say, in milliseconds.
pub(super) const DISPATCH_LEASE_MS: u64 = 15_000;
/// What a lease is longer than the call's timeout, where nobody says, in milliseconds.
pub(super) const LEASE_GRACE_MS: u64 = 30_000;

/// Something that the database is to be told, until it answers.
#[derive(Debug)]
pub(super) struct Telling {
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
    pub(super) fn new(is_successful: bool, report: Report, wants_next: bool) -> Self {
        Self {
            is_successful,
            report,
            wants_next,
            next_within_ms: None,
            tries: 0,
            is_bare: false,
        }
    }

    pub(super) fn arguments(&self, id: CurrentJobId, is_complete: bool) -> EndCurrentJob<'_> {
        EndCurrentJob {
            cur_job_id: id,
            is_complete,
            is_successful: self.is_successful,
            report: &self.report,
            next_within_ms: self.next_within_ms,
        }
    }
}

impl Lane {
    pub(super) fn acknowledge(&mut self, moment: Moment<'_>) -> Action {
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

    pub(super) fn acknowledged(
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

    pub(super) fn reported(
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
            }) => self.take_next(*next, moment),
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
                let fact = || incomplete(&format!("the database refused it: {reason}"), None);
                telling.report.result = telling.report.result.map(|_| fact());
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

    pub(super) fn tell(
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
