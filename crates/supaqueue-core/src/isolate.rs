//! What an isolate of the function does, as requests to send: turns a run's orders into HTTP, and
//! responses into what they mean for the run.

use std::sync::Arc;

use crate::budget::Budget;
use crate::config::Settings;
use crate::database::{self, Verdict, results, unreachable, verdict};
use crate::excerpt::excerpt;
use crate::fetch::{Failure, Request, Response};
use crate::log::{Entry, Level};
use crate::outcome::{impossible, outcome};
use crate::protocol::{Assignment, CurrentJobId, Dispatch, ReportRequest, RpcResult, RunId};
use crate::run::{Answer, Event, Message, Order, RequestId, Run};
use crate::target::{self, CannotCall};
use crate::time::Timestamp;
use crate::trace::Trace;

/// As much of a reason as the database shows, in bytes.
const REFUSAL_LIMIT: usize = 200;

/// While so many requests with reports are unanswered, ordinary reports wait, and then go together.
///
/// So a run with little to do waits for nothing, and a busy one needs fewer requests the busier it is. With
/// fewer than this, short calls would wait for reports where each hop takes long.
const REPORTS_AT_ONCE: usize = 4;
/// The most reports in a request.
const REPORTS_TOGETHER: usize = 25;
/// The largest result of a report that goes together with others, in bytes.
const RESULT_LIMIT: usize = 50_000;

/// What to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a request, and call [`Isolate::ended`] with the result.
    Send(RequestId, Request),
    /// Abort a request. [`Isolate::ended`] is called for it as well.
    Abort(RequestId),
    /// Log this.
    Log(Entry),
    /// Call [`Isolate::woke`] after so many milliseconds, instead of at the time set before.
    Wait(u64),
    /// Nothing is left to do: the isolate may go.
    End,
}

/// The circumstances of an event.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time, by a clock that is never set back.
    pub now: Timestamp,
    /// Uniform over all of `u128`.
    pub random: u128,
    /// Whether the isolate is about to end.
    pub is_ending: bool,
}

/// An isolate of the function. It has one run at a time, which a dispatch joins that comes meanwhile.
pub struct Isolate {
    settings: Settings,
    started: Timestamp,
    run: Option<Run>,
    /// Dispatches that wait until a run has ended whose lease is over.
    waiting: Vec<(Vec<CurrentJobId>, Trace)>,
    unanswered: Vec<(RequestId, Sent)>,
    /// Reports that go together once fewer are unanswered.
    reports: Vec<Report>,
    /// When [`Isolate::woke`] will be called.
    wakes_at: Option<Timestamp>,
    last_refusal: Option<String>,
}

/// What a request was, to read its answer.
enum Sent {
    Pulse,
    /// One, or several that went together.
    Reports(Vec<Report>),
    Call(Arc<Assignment>),
}

/// A report that a run has ordered.
struct Report {
    id: RequestId,
    run: RunId,
    content: Arc<ReportRequest>,
    within_ms: u64,
}

impl Isolate {
    /// An isolate with nothing to do, that started at `started`.
    #[must_use]
    pub fn new(settings: Settings, started: Timestamp) -> Self {
        Self {
            settings,
            started,
            run: None,
            waiting: Vec::new(),
            unanswered: Vec::new(),
            reports: Vec::new(),
            wakes_at: None,
            last_refusal: None,
        }
    }

    /// An idle isolate with other settings, which remembers what `earlier` does.
    #[must_use]
    pub fn with(settings: Settings, started: Timestamp, earlier: &Self) -> Self {
        let mut isolate = Self::new(settings, started);
        isolate.last_refusal.clone_from(&earlier.last_refusal);
        isolate
    }

    /// Whether it has nothing to do.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.run.is_none()
    }

    /// Why the database refused the latest pulse, if it did.
    pub(crate) fn last_refusal(&self) -> Option<&str> {
        self.last_refusal.as_deref()
    }

    /// A dispatch was accepted; `traceparent` is its header.
    pub fn dispatched(
        &mut self,
        dispatch: Dispatch,
        traceparent: Option<&str>,
        moment: Moment,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut entry = Entry::new(Level::Debug, "dispatch_accepted");
        entry.count = Some(dispatch.current_jobs.len());
        self.log(&mut actions, entry);
        for entry in dispatch.malformed {
            self.log(&mut actions, entry);
        }
        if dispatch.current_jobs.is_empty() {
            return actions;
        }
        let trace = Trace::new(traceparent, moment.random.to_be_bytes());
        if self.run.as_ref().is_some_and(Run::is_over) {
            self.waiting.push((dispatch.current_jobs, trace));
            return actions;
        }
        self.run
            .get_or_insert_with(|| new_run(&self.settings, self.started, trace, moment));
        let event = Event::Dispatched(dispatch.current_jobs, trace);
        self.step(vec![event], moment, &mut actions);
        actions
    }

    /// A request ended.
    pub fn ended(
        &mut self,
        id: RequestId,
        end: Result<Response, Failure>,
        moment: Moment,
    ) -> Vec<Action> {
        let Some(index) = self.unanswered.iter().position(|(known, _)| *known == id) else {
            return Vec::new();
        };
        let mut actions = Vec::new();
        let answer = match self.unanswered.swap_remove(index).1 {
            Sent::Reports(reports) if reports.len() > 1 => {
                let events = self.answered(reports, results(end), &mut actions);
                self.step(events, moment, &mut actions);
                return actions;
            }
            Sent::Pulse => {
                let verdict = verdict(end, moment.now);
                let problem = verdict.problem();
                self.last_refusal = problem.map(|text| excerpt(text.as_bytes(), REFUSAL_LIMIT));
                Answer::Database(verdict)
            }
            Sent::Reports(_) => Answer::Database(verdict(end, moment.now)),
            Sent::Call(assignment) => {
                let final_statuses = &assignment.queue.final_statuses;
                let timeout_ms = assignment.timeout_ms();
                Answer::Call(outcome(end, final_statuses, timeout_ms, moment.now))
            }
        };
        self.step(vec![Event::Answered(id, answer)], moment, &mut actions);
        actions
    }

    /// What happened to reports that went together. Those without a result are sent again, each by itself.
    fn answered(
        &mut self,
        reports: Vec<Report>,
        results: Vec<Option<RpcResult>>,
        actions: &mut Vec<Action>,
    ) -> Vec<Event> {
        let is_over = self.run.as_ref().is_none_or(Run::is_over);
        let mut events = Vec::new();
        let mut results = results.into_iter();
        for report in reports {
            let verdict = match results.next().flatten() {
                Some(result) => Verdict::Returned(result),
                // Its answer no longer matters.
                None if is_over => unreachable("the run is over".into()),
                None => {
                    self.send_reports(vec![report], actions);
                    continue;
                }
            };
            events.push(Event::Answered(report.id, Answer::Database(verdict)));
        }
        events
    }

    /// The time of [`Action::Wait`] has come.
    pub fn woke(&mut self, moment: Moment) -> Vec<Action> {
        self.wakes_at = None;
        let mut actions = Vec::new();
        self.step(vec![Event::Woke], moment, &mut actions);
        actions
    }

    fn step(&mut self, mut events: Vec<Event>, moment: Moment, actions: &mut Vec<Action>) {
        if moment.is_ending {
            events.push(Event::Ending);
        }
        while let Some(event) = events.pop() {
            let Some(run) = &mut self.run else {
                return;
            };
            for order in run.next(event, moment.now, moment.random as u64) {
                match order {
                    Order::Send {
                        id,
                        message,
                        within_ms,
                    } => {
                        if let Err(reason) = self.send(id, message, within_ms, moment, actions) {
                            let answer = Answer::Call(impossible(&reason));
                            events.push(Event::Answered(id, answer));
                        }
                    }
                    Order::Abort(id) => {
                        let is_its = |report: &Report| report.id == id;
                        if let Some(index) = self.reports.iter().position(is_its) {
                            self.reports.remove(index);
                            let verdict = unreachable("it was not sent".into());
                            events.push(Event::Answered(id, Answer::Database(verdict)));
                        } else {
                            actions.push(Action::Abort(id));
                        }
                    }
                    Order::Log(entry) => self.log(actions, entry),
                }
            }
        }
        self.send_waiting_reports(actions);
        self.wait_or_end(moment, actions);
    }

    fn send_waiting_reports(&mut self, actions: &mut Vec<Action>) {
        let is_report = |sent: &&(RequestId, Sent)| matches!(sent.1, Sent::Reports(_));
        let unanswered = self.unanswered.iter().filter(is_report).count();
        for _ in unanswered..REPORTS_AT_ONCE {
            let some = REPORTS_TOGETHER.min(self.reports.len());
            let reports = self.reports.drain(..some).collect();
            self.send_reports(reports, actions);
        }
    }

    /// Sends reports, if there are any, in one request, which has the id of the first of them.
    fn send_reports(&mut self, reports: Vec<Report>, actions: &mut Vec<Action>) {
        let [first, ..] = &reports[..] else {
            return;
        };
        let contents: Vec<_> = reports.iter().map(|report| &*report.content).collect();
        let mut request = database::report(&self.settings, first.run, &contents);
        request.within_ms = first.within_ms;
        actions.push(Action::Send(first.id, request));
        self.unanswered.push((first.id, Sent::Reports(reports)));
    }

    /// Either waits for the next thing to do, or ends the run, and starts another for the dispatches
    /// that came meanwhile.
    fn wait_or_end(&mut self, moment: Moment, actions: &mut Vec<Action>) {
        let Some(run) = &self.run else {
            return;
        };
        if !run.has_ended() {
            // Waking too early does no harm, and costs less than setting the timer anew at each event.
            if let Some(at) = run.wakes_at()
                && self.wakes_at.is_none_or(|set| at < set)
            {
                self.wakes_at = Some(at);
                actions.push(Action::Wait(at.since(moment.now).max(1)));
            }
            return;
        }
        self.run = None;
        self.wakes_at = None;
        let waiting = core::mem::take(&mut self.waiting);
        let Some((_, trace)) = waiting.last() else {
            actions.push(Action::End);
            return;
        };
        let trace = *trace;
        let current_jobs = waiting.into_iter().flat_map(|(ids, _)| ids).collect();
        self.run = Some(new_run(&self.settings, self.started, trace, moment));
        let event = Event::Dispatched(current_jobs, trace);
        self.step(vec![event], moment, actions);
    }

    /// Sends something, or says why it cannot be sent. An ordinary report waits for the end of the step.
    fn send(
        &mut self,
        id: RequestId,
        message: Message,
        within_ms: u64,
        moment: Moment,
        actions: &mut Vec<Action>,
    ) -> Result<(), CannotCall> {
        let (mut request, sent) = match message {
            Message::Pulse(run, pulse) => {
                (database::pulse(&self.settings, run, &pulse), Sent::Pulse)
            }
            Message::Report(run, content) => {
                let is_ordinary = content.is_ordinary(RESULT_LIMIT);
                let report = Report {
                    id,
                    run,
                    content,
                    within_ms,
                };
                if is_ordinary {
                    self.reports.push(report);
                } else {
                    self.send_reports(vec![report], actions);
                }
                return Ok(());
            }
            Message::Call(assignment, trace) => {
                // The requests of one moment have different ids.
                let span = (moment.random >> 64) as u64 ^ u64::from(id.0);
                let request =
                    target::request(&assignment, &self.settings, trace, span, moment.now)?;
                (request, Sent::Call(assignment))
            }
        };
        request.within_ms = within_ms;
        actions.push(Action::Send(id, request));
        self.unanswered.push((id, sent));
        Ok(())
    }

    fn log(&self, actions: &mut Vec<Action>, entry: Entry) {
        if self.settings.logs(&entry) {
            actions.push(Action::Log(entry));
        }
    }
}

fn new_run(settings: &Settings, started: Timestamp, trace: Trace, moment: Moment) -> Run {
    let budget = Budget::new(started, settings.time_budget_ms, settings.jobs_per_run);
    Run::new(RunId::from_random(moment.random), budget, trace, moment.now)
}

#[cfg(test)]
#[path = "isolate_tests.rs"]
mod tests;
