//! The part of a lane that calls the target.

use super::{Action, Lane, State, Step};
use crate::fetch::{Failure, Response};
use crate::log::{Entry, Level};
use crate::outcome::{Outcome, impossible, outcome};
use crate::protocol::{Report, ReportedError};
use crate::run::Run;
use crate::target::request;
use crate::time::{Timestamp, saturate_to_integer};

/// Reserved at the end of a lease for the report, in milliseconds.
const REPORT_MARGIN_MS: u64 = 5000;
/// A sleep for the runtime's rate limit must move the clock, so it lasts at least this long.
const MIN_SLEEP_MS: u64 = 50;

impl Lane {
    pub(super) fn call(&mut self, step: Step<'_>) -> Action {
        let since = step.now;
        let run = &step.run;
        match request(
            &self.assignment,
            &run.settings,
            run.trace,
            step.random,
            since,
        ) {
            Ok(request) => {
                self.state = State::Target { since };
                Action::Fetch(request)
            }
            Err(problem) => self.settle(since, impossible(&problem), step),
        }
    }

    pub(super) fn after_call(
        &mut self,
        since: Timestamp,
        end: Result<Response, Failure>,
        step: Step<'_>,
    ) -> Action {
        let final_statuses = &self.assignment.queue.final_statuses;
        let timeout_ms = self.assignment.timeout_ms();
        let outcome = outcome(end, final_statuses, timeout_ms, step.now);
        self.settle(since, outcome, step)
    }

    fn settle(&mut self, since: Timestamp, outcome: Outcome, step: Step<'_>) -> Action {
        match outcome {
            Outcome::NotMade { retry_after_ms } => self.wait_or_give_back(retry_after_ms, step),
            Outcome::Settled {
                is_successful,
                mut report,
            } => {
                report.duration_ms = Some(saturate_to_integer(step.now.since(since)));
                self.log_call(step.run, is_successful, &report);
                let wants_next = step.run.budget.take();
                self.report(is_successful, report, wants_next, step)
            }
        }
    }

    /// The runtime let no call through. Sleeps if lease and budget leave room for that
    /// and the whole call; otherwise gives the job back, to a run with a rate of its own.
    fn wait_or_give_back(&mut self, retry_after_ms: u32, step: Step<'_>) -> Action {
        let ms = u64::from(retry_after_ms).max(MIN_SLEEP_MS);
        let timeout_ms = self.assignment.timeout_ms();
        let wakes = step.now.plus(ms);
        let is_leased = wakes.plus(timeout_ms + REPORT_MARGIN_MS) <= self.lease_ends;
        let budget_ms = step.run.budget.fits_ms(wakes);
        if is_leased && budget_ms.is_some_and(|budget_ms| timeout_ms <= budget_ms.into()) {
            let reason = format!("rate limit of the runtime, for {ms} ms");
            self.log(step.run, Level::Warn, "call_held_back", Some(&reason));
            self.state = State::RateLimit;
            return Action::Sleep { ms };
        }
        let message = "the runtime's limit of calls from function to function was reached";
        self.log(step.run, Level::Warn, "job_given_back", Some(message));
        let report = Report {
            error: Some(ReportedError {
                message: message.into(),
                body: None,
            }),
            retry_after_ms: Some(retry_after_ms),
            is_attempt: Some(false),
            ..Report::default()
        };
        self.report(false, report, false, step)
    }

    fn log_call(&self, run: &mut Run, is_successful: bool, report: &Report) {
        let (level, event) = if is_successful {
            (Level::Info, "call_succeeded")
        } else {
            (Level::Warn, "call_failed")
        };
        run.log(Entry {
            status: report.http_status,
            duration_ms: report.duration_ms,
            message: report.error.as_ref().map(|error| error.message.clone()),
            ..Entry::of(level, event, &self.assignment)
        });
    }
}
