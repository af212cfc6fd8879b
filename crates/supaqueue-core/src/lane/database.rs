//! The part of a lane that calls `end_current_job`: acknowledgements and reports.
//!
//! Each is repeated until the database responds, or the lease ends.

use super::{Action, Lane, State, Step, lease};
use crate::backoff::wait_ms;
use crate::database::{Verdict, request, verdict};
use crate::fetch::{Failure, Response};
use crate::log::Level;
use crate::outcome::incomplete;
use crate::protocol::{Assignment, EndCurrentJob, EndCurrentJobResult, Report};

/// A call of `end_current_job`, and what is needed to repeat it.
#[derive(Debug)]
pub(super) struct Rpc {
    arguments: EndCurrentJob,
    /// Whether to ask for a next job, while one fits into the budget.
    wants_next: bool,
    tries: u32,
    /// Whether everything that the target sent was removed.
    is_bare: bool,
}

impl Lane {
    pub(super) fn acknowledge(&mut self, step: Step<'_>) -> Action {
        self.lease_ends = lease::end_of_dispatched(&self.assignment, step.now);
        let rpc = self.rpc(false, false, Report::default(), false);
        self.send(rpc, step)
    }

    pub(super) fn report(
        &mut self,
        is_successful: bool,
        report: Report,
        wants_next: bool,
        step: Step<'_>,
    ) -> Action {
        let rpc = self.rpc(true, is_successful, report, wants_next);
        self.send(rpc, step)
    }

    fn rpc(&self, is_complete: bool, is_successful: bool, report: Report, wants_next: bool) -> Rpc {
        let lane = Some(self.id);
        Rpc {
            arguments: EndCurrentJob {
                cur_job_id: self.assignment.current_job.id,
                is_complete,
                is_successful,
                report: Report { lane, ..report },
                next_within_ms: None,
            },
            wants_next,
            tries: 0,
            is_bare: false,
        }
    }

    pub(super) fn send(&mut self, mut rpc: Rpc, step: Step<'_>) -> Action {
        rpc.tries = rpc.tries.saturating_add(1);
        let fits_ms = step.run.budget.fits_ms(step.now);
        rpc.arguments.next_within_ms = fits_ms.filter(|_| rpc.wants_next);
        let request = request(&step.run.settings, &rpc.arguments);
        self.state = State::Database(rpc);
        Action::Fetch(request)
    }

    pub(super) fn after_rpc(
        &mut self,
        rpc: Rpc,
        end: Result<Response, Failure>,
        step: Step<'_>,
    ) -> Action {
        let is_report = rpc.arguments.is_complete;
        let verdict = verdict(end, step.now);
        if !is_report {
            step.run.isolate.acknowledged(verdict.refusal());
        }
        match verdict {
            Verdict::Returned(result) if is_report => self.reported(result, step),
            Verdict::Returned(result) => self.acknowledged(&result, step),
            Verdict::Retry { reason, after_ms } => self.retry(rpc, &reason, after_ms, step),
            // It may be back before the lease ends: a migration is running, a schema cache reloading.
            Verdict::Missing if is_report => {
                step.run.log_missing();
                self.retry(rpc, "end_current_job is missing", None, step)
            }
            // Nothing was called yet.
            Verdict::Missing => {
                step.run.log_missing();
                Action::End
            }
            Verdict::Rejected(reason) if !is_report => self.end(
                step,
                Level::Error,
                "acknowledgement_rejected",
                Some(&reason),
            ),
            Verdict::Rejected(reason) if rpc.is_bare => {
                self.end(step, Level::Error, "report_rejected", Some(&reason))
            }
            Verdict::Rejected(reason) => self.report_without_response(rpc, &reason, step),
        }
    }

    fn acknowledged(&mut self, result: &EndCurrentJobResult, step: Step<'_>) -> Action {
        if !result.accepted {
            let reason = result.reason.as_deref();
            return self.end(step, Level::Info, "acknowledgement_refused", reason);
        }
        self.lease_ends = lease::end_of_acknowledged(&self.assignment, result.lease_ms, step.now);
        self.call(step)
    }

    fn reported(&mut self, result: EndCurrentJobResult, step: Step<'_>) -> Action {
        match result.next {
            _ if !result.accepted => {
                let reason = result.reason.as_deref();
                self.end(step, Level::Warn, "report_refused", reason)
            }
            Some(next) => self.take_next(*next, step),
            None => self.end(step, Level::Debug, "lane_ended", None),
        }
    }

    fn take_next(&mut self, next: Assignment, step: Step<'_>) -> Action {
        if next.current_job.id == self.assignment.current_job.id {
            let reason = "the database handed out a current job twice";
            return self.end(step, Level::Error, "next_is_not_new", Some(reason));
        }
        self.lease_ends = lease::end_of_next(&next, step.now);
        self.assignment = next;
        self.call(step)
    }

    /// Postgres does not store everything that is JSON, and settling the job matters
    /// more than what its target sent.
    fn report_without_response(&mut self, mut rpc: Rpc, reason: &str, step: Step<'_>) -> Action {
        let message = format!("{reason}; trying without the target's answer");
        self.log(step.run, Level::Warn, "report_rejected", Some(&message));
        rpc.is_bare = true;
        let report = &mut rpc.arguments.report;
        if let Some(result) = &mut report.result {
            *result = incomplete(&format!("the database refused it: {reason}"), None);
        }
        if let Some(error) = &mut report.error {
            error.body = None;
        }
        self.send(rpc, step)
    }

    fn retry(&mut self, rpc: Rpc, reason: &str, after_ms: Option<u32>, step: Step<'_>) -> Action {
        let ms = wait_ms(rpc.tries, step.random, after_ms);
        if step.now.plus(ms) >= self.lease_ends {
            let reason = format!("{reason}; the lease ends");
            return self.end(step, Level::Error, "database_not_reached", Some(&reason));
        }
        let reason = format!("{reason}; trying again in {ms} ms");
        self.log(step.run, Level::Warn, "database_not_reached", Some(&reason));
        self.state = State::Database(rpc);
        Action::Sleep { ms }
    }
}
