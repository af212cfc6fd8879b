//! The part of a lane that calls the target.

use super::{Action, Lane, Moment, State, Telling};
use crate::log::{Entry, Level};
use crate::outcome::{CallEnd, Outcome, clamp, outcome};
use crate::protocol::{Report, ReportedError};
use crate::time::Timestamp;

/// Kept free at the end of a lease for the report, in milliseconds.
const REPORT_MARGIN_MS: u64 = 5000;
/// A wait for the runtime's rate limit is at least this long, in milliseconds: it must move the clock.
const MIN_HOLD_MS: u64 = 50;

impl Lane {
    pub(super) fn call(&mut self, moment: Moment<'_>) -> Action {
        self.state = State::Calling { since: moment.now };
        Action::Call
    }

    pub(super) fn called(&mut self, since: Timestamp, end: CallEnd, moment: Moment<'_>) -> Action {
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
}
