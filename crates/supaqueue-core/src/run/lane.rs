//! A lane: one worker's chain of jobs inside a run.
//!
//! While calls are short, a lane holds its next call ready: it starts that one when a call ends, and
//! the report of the one that ended travels beside it. It has one unanswered report at most.

use std::sync::Arc;

use super::{Message, Order, RequestId, Run, Step, rpc_timeout_ms};
use crate::backoff::wait_ms;
use crate::budget::{bytes_left, bytes_to_ask};
use crate::database::Verdict;
use crate::json::string;
use crate::log::{Entry, Level};
use crate::outcome::{Outcome, incomplete};
use crate::protocol::{
    Assignment, CurrentJobId, Next, QueueId, Report, ReportRequest, ReportedError, RpcResult,
};
use crate::time::{Timestamp, earliest, saturate_to_integer};
use crate::trace::Trace;

/// A call that takes less is short, in milliseconds. A held call waits as long, at most.
const SHORT_MS: u64 = 1000;
/// After how many short calls in a row a lane holds its next call ready.
const SHORT_CALLS: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane {
    queue: QueueId,
    trace: Trace,
    /// The call in flight.
    call: Option<Call>,
    /// The report that waits until the one before it is answered.
    ended: Option<Unsent>,
    /// The report that the database has not answered.
    report: Option<Unanswered>,
    /// The call that is held ready, and since when.
    held: Option<(Arc<Assignment>, Timestamp)>,
    /// The short calls in a row, up to [`SHORT_CALLS`].
    short_calls: u8,
    /// The size of the last payload.
    bytes: u64,
    /// Whether it asks for no more jobs.
    is_last: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Call {
    request: RequestId,
    assignment: Arc<Assignment>,
    since: Timestamp,
    /// Why it was aborted.
    aborted: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Unsent {
    assignment: Arc<Assignment>,
    is_successful: bool,
    report: Report,
    /// Whether the target, or the runtime, asked for a pause: nothing is started before it is reported.
    asks_for_pause: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Unanswered {
    assignment: Arc<Assignment>,
    content: Arc<ReportRequest>,
    /// How often Postgres refused its content.
    refused: u8,
    tries: u32,
    /// None while it waits for `retry_at`.
    request: Option<RequestId>,
    retry_at: Timestamp,
}

impl Lane {
    fn new(queue: QueueId, trace: Trace) -> Self {
        Self {
            queue,
            trace,
            call: None,
            ended: None,
            report: None,
            held: None,
            short_calls: 0,
            bytes: 0,
            is_last: false,
        }
    }

    pub(super) fn queue(&self) -> QueueId {
        self.queue
    }

    /// The calls that the database keeps for it: in flight or held.
    pub(super) fn calls(&self) -> [Option<CurrentJobId>; 2] {
        let call = self
            .call
            .as_ref()
            .map(|call| call.assignment.current_job.id);
        let held = self.held.as_ref().map(|(held, _)| held.current_job.id);
        [call, held]
    }

    pub(super) fn requests(&self) -> [Option<RequestId>; 2] {
        let call = self.call.as_ref().map(|call| call.request);
        let report = self.report.as_ref().and_then(|report| report.request);
        [call, report]
    }

    pub(super) fn wakes_at(&self) -> Option<Timestamp> {
        let report = self.report.as_ref().filter(|r| r.request.is_none());
        let report = report.map(|report| report.retry_at);
        let held = self.held.as_ref();
        let held = held.map(|(_, since)| since.plus(SHORT_MS));
        earliest(report, held)
    }

    /// The bytes of payloads that it has, and has asked for.
    fn used_bytes(&self) -> u64 {
        let call = self.call.as_ref().map_or(0, |_| self.bytes);
        let held = self.held.as_ref().map_or(0, |(held, _)| size(held));
        let next = self.report.as_ref().and_then(|report| report.content.next);
        call + held + next.map_or(0, |next| next.bytes)
    }

    /// Whether it makes this call, or reports it.
    fn knows(&self, id: CurrentJobId) -> bool {
        let ended = self.ended.as_ref().map(|ended| &ended.assignment);
        let report = self.report.as_ref().map(|report| &report.assignment);
        let is_its = |known: &Arc<Assignment>| known.current_job.id == id;
        self.calls().contains(&Some(id)) || ended.is_some_and(is_its) || report.is_some_and(is_its)
    }

    fn is_idle(&self) -> bool {
        self.call.is_none() && self.report.is_none() && self.held.is_none()
    }

    /// Logs what the end of the run leaves undone.
    pub(super) fn log_abandoned(&self, reason: &str, step: &mut Step) {
        if let Some(call) = &self.call {
            step.log_job(Level::Error, "call_aborted", &call.assignment, reason);
        }
        if let Some(report) = &self.report {
            step.log_job(Level::Error, "report_given_up", &report.assignment, reason);
        }
        if let Some(ended) = &self.ended {
            step.log_job(Level::Error, "report_given_up", &ended.assignment, reason);
        }
    }
}

fn size(assignment: &Assignment) -> u64 {
    assignment.job.payload.get().len() as u64
}

impl Run {
    pub(super) fn bytes_left(&self) -> u64 {
        bytes_left(self.lanes.iter().map(Lane::used_bytes).sum())
    }

    /// Starts a lane with this call.
    pub(super) fn start_lane(&mut self, assignment: Arc<Assignment>, step: &mut Step) {
        self.lanes.push(Lane::new(assignment.queue.id, self.trace));
        self.peak = self.peak.max(self.lanes.len());
        self.call(self.lanes.len() - 1, assignment, step);
    }

    pub(super) fn end_lanes(&mut self, step: &mut Step) {
        let before = self.lanes.len();
        self.lanes.retain(|lane| !lane.is_idle());
        if self.lanes.len() < before {
            let mut entry = Entry::new(Level::Debug, "lanes_ended");
            entry.count = Some(before - self.lanes.len());
            step.log(entry);
        }
    }

    /// Calls the target, if the call fits the isolate's time.
    fn call(&mut self, index: usize, assignment: Arc<Assignment>, step: &mut Step) {
        let timeout_ms = assignment.timeout_ms();
        let fits_ms = self.budget.fits_ms(step.now).unwrap_or(0);
        if timeout_ms > fits_ms.into() {
            let message = format!(
                "its timeout of {timeout_ms} ms does not fit the {fits_ms} ms that are left of the isolate's time"
            );
            step.log_job(Level::Info, "job_given_back", &assignment, &message);
            let unsent = Unsent {
                assignment,
                is_successful: false,
                report: given_back(message, 0),
                asks_for_pause: false,
            };
            self.report_or_wait(index, unsent, step);
            return;
        }
        let request = self.new_request();
        let lane = &mut self.lanes[index];
        lane.bytes = size(&assignment);
        let message = Message::Call(Arc::clone(&assignment), lane.trace);
        lane.call = Some(Call {
            request,
            assignment,
            since: step.now,
            aborted: None,
        });
        self.send(request, message, timeout_ms, step);
    }

    pub(super) fn after_call(&mut self, id: RequestId, outcome: Outcome, step: &mut Step) {
        let is_its = |lane: &Lane| lane.call.as_ref().is_some_and(|call| call.request == id);
        let Some(index) = self.lanes.iter().position(is_its) else {
            return;
        };
        let lane = &mut self.lanes[index];
        let Some(call) = lane.call.take() else {
            return;
        };
        let duration_ms = step.now.since(call.since);
        lane.short_calls = if duration_ms < SHORT_MS {
            (lane.short_calls + 1).min(SHORT_CALLS)
        } else {
            0
        };
        let unsent = settled(call, outcome, duration_ms, step);
        self.report_or_wait(index, unsent, step);
    }

    /// Reports how a call ended, if the report before it is answered.
    fn report_or_wait(&mut self, index: usize, unsent: Unsent, step: &mut Step) {
        if self.lanes[index].report.is_some() {
            self.lanes[index].ended = Some(unsent);
        } else {
            self.report(index, unsent, step);
        }
    }

    /// Starts the call that is held ready, or gives it back; then reports.
    fn report(&mut self, index: usize, unsent: Unsent, step: &mut Step) {
        let is_attempt = unsent.report.is_attempt != Some(false);
        let going = self.lanes.iter().filter(|lane| !lane.is_last).count();
        let fits_ms = self.budget.fits_ms(step.now);
        let lane = &mut self.lanes[index];
        lane.is_last = lane.is_last || !is_attempt || !self.budget.take(going, self.peak);
        let within_ms = fits_ms.filter(|_| !lane.is_last);

        let held = lane.held.take().map(|(held, _)| held);
        let goes_on = !unsent.asks_for_pause && within_ms.is_some();
        let fits = |held: &Assignment| fits_ms.is_some_and(|ms| held.timeout_ms() <= ms.into());
        let (started, given_back) = match held {
            Some(held) if goes_on && fits(&held) => (Some(held), None),
            Some(held) => (None, Some(held.current_job.id)),
            None => (None, None),
        };
        let started_id = started.as_ref().map(|call| call.current_job.id);
        if let Some(call) = started {
            self.call(index, call, step);
        }
        let left = self.bytes_left();
        let lane = &self.lanes[index];
        let content = ReportRequest {
            call: unsent.assignment.current_job.id,
            is_successful: unsent.is_successful,
            report: unsent.report,
            started: started_id,
            given_back,
            next: within_ms.map(|within_ms| Next {
                within_ms,
                bytes: bytes_to_ask(left, lane.bytes),
                prefetch: !unsent.asks_for_pause && lane.short_calls == SHORT_CALLS,
            }),
        };
        self.lanes[index].report = Some(Unanswered {
            assignment: unsent.assignment,
            content: Arc::new(content),
            refused: 0,
            tries: 0,
            request: None,
            retry_at: step.now,
        });
    }

    fn send_report(&mut self, index: usize, step: &mut Step) {
        let id = self.new_request();
        let Some(report) = &mut self.lanes[index].report else {
            return;
        };
        report.request = Some(id);
        report.tries = report.tries.saturating_add(1);
        let message = Message::Report(self.id, Arc::clone(&report.content));
        self.send(id, message, rpc_timeout_ms(self.lease_ms), step);
    }

    /// Sends the reports that are new, or to be repeated by now.
    pub(super) fn send_reports(&mut self, step: &mut Step) {
        for index in 0..self.lanes.len() {
            let report = &self.lanes[index].report;
            if report
                .as_ref()
                .is_some_and(|r| r.request.is_none() && r.retry_at <= step.now)
            {
                self.send_report(index, step);
            }
        }
    }

    pub(super) fn after_report(&mut self, id: RequestId, verdict: Verdict, step: &mut Step) {
        let is_its = |lane: &Lane| lane.report.as_ref().is_some_and(|r| r.request == Some(id));
        let Some(index) = self.lanes.iter().position(is_its) else {
            return;
        };
        let Some(mut report) = self.lanes[index].report.take() else {
            return;
        };
        report.request = None;
        let (reason, after_ms) = match verdict {
            Verdict::Returned(result) => return self.go_on(index, result, step),
            Verdict::Refused(reason) if report.refused < 2 => {
                let message = format!(
                    "Postgres cannot store the target's answer: {reason}; reporting less of it"
                );
                step.log_job(Level::Warn, "report_refused", &report.assignment, &message);
                report.refused += 1;
                report.content = Arc::new(reduced(&report.content, report.refused, &reason));
                self.lanes[index].report = Some(report);
                return;
            }
            Verdict::Refused(reason) => (reason, None),
            Verdict::Unreachable { reason, after_ms } => (reason, after_ms),
        };
        let ms = wait_ms(report.tries, step.random, after_ms);
        let message = format!("{reason}; trying again in {ms} ms");
        step.log_job(
            Level::Warn,
            "database_not_reached",
            &report.assignment,
            &message,
        );
        report.retry_at = step.now.plus(ms);
        self.lanes[index].report = Some(report);
    }

    /// After the answer to a report.
    fn go_on(&mut self, index: usize, result: RpcResult, step: &mut Step) {
        // None is held now: the report has started the held call, or given it back.
        self.lanes[index].held = result.held.map(|held| (held, step.now));
        if let Some(ms) = result.again_in_ms
            && !self.lanes[index].is_last
        {
            self.wait(self.lanes[index].queue, step.now, ms);
        }
        let lane = &mut self.lanes[index];
        let is_free = lane.call.is_none() && lane.ended.is_none();
        match result.next {
            Some(next) if is_free => self.call(index, next, step),
            // Its worker was free already, or so the database thought.
            Some(next) => self.start_lane(next, step),
            None => {}
        }
        if let Some(ended) = self.lanes[index].ended.take() {
            self.report(index, ended, step);
        } else if self.lanes[index].call.is_none()
            && let Some((held, _)) = self.lanes[index].held.take()
        {
            self.call(index, held, step);
        }
    }

    /// Aborts the calls whose jobs were cancelled. Those that it was not told about before they were
    /// cancelled are given back, which frees their workers.
    pub(super) fn cancel(&mut self, calls: &[CurrentJobId], step: &mut Step) {
        self.give_back(calls);
        for id in calls {
            if !self.lanes.iter().any(|lane| lane.knows(*id)) {
                self.pulse.give_back(*id);
            }
        }
        for lane in &mut self.lanes {
            if let Some(call) = &mut lane.call
                && calls.contains(&call.assignment.current_job.id)
                && call.aborted.is_none()
            {
                call.aborted = Some("its job was cancelled, deleted or settled by hand");
                step.orders.push(Order::Abort(call.request));
            }
        }
    }

    /// Aborts and forgets calls that the database no longer knows.
    pub(super) fn forget(&mut self, calls: &[CurrentJobId], step: &mut Step) {
        let mut requests = Vec::new();
        for lane in &mut self.lanes {
            let is_gone = |a: &Assignment| calls.contains(&a.current_job.id);
            if let Some(call) = lane.call.take_if(|call| is_gone(&call.assignment)) {
                let reason = "the database no longer has this current job";
                step.log_job(Level::Error, "call_aborted", &call.assignment, reason);
                requests.push(call.request);
            }
            lane.held.take_if(|(held, _)| is_gone(held));
        }
        requests.into_iter().for_each(|id| self.abandon(id, step));
    }

    /// Gives back those of the calls that are held ready.
    pub(super) fn give_back(&mut self, calls: &[CurrentJobId]) {
        for lane in &mut self.lanes {
            let is_its =
                |held: &mut (Arc<Assignment>, Timestamp)| calls.contains(&held.0.current_job.id);
            if let Some((held, _)) = lane.held.take_if(is_its) {
                self.pulse.give_back(held.current_job.id);
            }
        }
    }

    /// A call that takes long, or that the database no longer has, holds no other one up.
    pub(super) fn give_back_held_too_long(&mut self, step: &mut Step) {
        for lane in &mut self.lanes {
            let is_long =
                |held: &mut (Arc<Assignment>, Timestamp)| held.1.plus(SHORT_MS) <= step.now;
            if let Some((held, _)) = lane.held.take_if(is_long) {
                self.pulse.give_back(held.current_job.id);
            }
        }
    }
}

/// What to report of a call that has ended.
fn settled(call: Call, outcome: Outcome, duration_ms: u64, step: &mut Step) -> Unsent {
    let assignment = call.assignment;
    if let Some(reason) = call.aborted {
        let message = format!("aborted: {reason}");
        step.log_job(Level::Info, "call_aborted", &assignment, reason);
        return Unsent {
            assignment,
            is_successful: false,
            report: Report {
                duration_ms: Some(saturate_to_integer(duration_ms)),
                ..failed(message)
            },
            asks_for_pause: false,
        };
    }
    let (is_successful, mut report) = match outcome {
        Outcome::Settled {
            is_successful,
            report,
        } => (is_successful, report),
        Outcome::NotMade { retry_after_ms } => {
            let message = "the runtime's limit of calls from function to function was reached";
            step.log_job(Level::Warn, "job_given_back", &assignment, message);
            return Unsent {
                assignment,
                is_successful: false,
                report: given_back(message.into(), retry_after_ms),
                asks_for_pause: true,
            };
        }
    };
    report.duration_ms = Some(saturate_to_integer(duration_ms));
    let (level, event) = if is_successful {
        (Level::Info, "call_succeeded")
    } else {
        (Level::Warn, "call_failed")
    };
    let mut entry = Entry::of(level, event, &assignment);
    entry.status = report.http_status;
    entry.duration_ms = report.duration_ms;
    entry.message = report.error.as_ref().map(|error| error.message.clone());
    step.log(entry);
    Unsent {
        assignment,
        is_successful,
        asks_for_pause: matches!(report.http_status, Some(429 | 503)),
        report,
    }
}

fn failed(message: String) -> Report {
    let body = None;
    Report {
        error: Some(ReportedError { message, body }),
        ..Report::default()
    }
}

/// No call was made, which costs no attempt.
fn given_back(message: String, retry_after_ms: u32) -> Report {
    Report {
        retry_after_ms: Some(retry_after_ms),
        is_attempt: Some(false),
        ..failed(message)
    }
}

/// Postgres does not store everything that is JSON, and settling the job matters more than what its
/// target sent: the first time JSON is kept as text, then there is only a note of why it is missing.
fn reduced(content: &ReportRequest, refused: u8, reason: &str) -> ReportRequest {
    let mut content = content.clone();
    if let Some(result) = &mut content.report.result {
        let is_text = result.get().starts_with('"');
        *result = if refused == 1 && !is_text {
            string(result.get())
        } else {
            incomplete(&format!("Postgres cannot store it: {reason}"), None)
        };
    }
    if let Some(error) = &mut content.report.error {
        error.body = None;
    }
    content
}
