//! The run, with a database and targets whose answers the tests choose, in simulated time.

use super::*;
use crate::json;
use crate::outcome::{Outcome, outcome};
use crate::protocol::{QueueId, QueueWait, RpcResult};

const START: Timestamp = Timestamp::from_ms(1_795_417_959_000);
/// Never used up.
const PLENTY: u32 = u32::MAX;

pub(super) fn call_id(n: u32) -> CurrentJobId {
    json::from_str(&format!(r#""00000000-0000-4000-8000-{n:012}""#)).unwrap()
}

fn number(id: CurrentJobId) -> u128 {
    let text = id.0.to_string();
    text[24..].parse().unwrap()
}

fn queue_id() -> QueueId {
    json::from_str(r#""00000000-0000-4000-a000-000000000001""#).unwrap()
}

/// The `n`th call, with this timeout and payload.
pub(super) fn assignment(n: u32, timeout_ms: u32, payload: &str) -> Arc<Assignment> {
    json::from_str(&format!(
        r#"{{"current_job":{{"id":"00000000-0000-4000-8000-{n:012}"}},
        "job":{{"id":"00000000-0000-4000-9000-{n:012}","payload":{payload},"attempts":1}},
        "queue":{{"id":"00000000-0000-4000-a000-000000000001","name":"q","edge_function_name":"f",
        "timeout_ms":{timeout_ms},"auth":"none","final_statuses":[404]}}}}"#
    ))
    .unwrap()
}

fn call(n: u32) -> Arc<Assignment> {
    assignment(n, 60_000, "1")
}

/// A run, and what it has sent.
struct World {
    run: Run,
    now: Timestamp,
    sent: Vec<(RequestId, Message, u64)>,
    /// The orders since the last look, as text.
    told: Vec<String>,
    logged: Vec<Entry>,
}

impl World {
    fn new(jobs: u32) -> Self {
        let budget = Budget::new(START, 140_000, jobs);
        let trace = Trace::new(None, [1; 16]);
        Self {
            run: Run::new(RunId::from_random(7), budget, trace, START),
            now: START,
            sent: Vec::new(),
            told: Vec::new(),
            logged: Vec::new(),
        }
    }

    /// A run whose first pulse started these calls.
    fn calling(jobs: u32, calls: &[Arc<Assignment>]) -> Self {
        let mut world = Self::new(jobs);
        let ids = calls.iter().map(|call| call.current_job.id).collect();
        world.event(Event::Dispatched(ids, Trace::new(None, [1; 16])));
        world.pulsed(RpcResult {
            started: calls.to_vec(),
            ..accepted()
        });
        world.told.clear();
        world
    }

    fn event(&mut self, event: Event) {
        for order in self.run.next(event, self.now, u64::MAX) {
            self.told.push(show(&order));
            match order {
                Order::Send {
                    id,
                    message,
                    within_ms,
                } => self.sent.push((id, message, within_ms)),
                Order::Abort(id) => {
                    assert!(self.sent.iter().any(|sent| sent.0 == id), "{id:?}");
                }
                Order::Log(entry) => self.logged.push(entry),
            }
        }
        let mut ids: Vec<_> = self.sent.iter().map(|sent| sent.0).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), self.sent.len(), "ids are not reused too early");
    }

    fn after(&mut self, ms: u64) -> &mut Self {
        self.now = self.now.plus(ms);
        self
    }

    /// Waits until the run wakes by itself.
    fn wake(&mut self) {
        self.now = self.run.wakes_at().unwrap().max(self.now);
        self.event(Event::Woke);
    }

    fn answer(&mut self, is_its: impl Fn(&Message) -> bool, answer: Answer) {
        let index = self.sent.iter().position(|sent| is_its(&sent.1));
        let (id, _, _) = self.sent.remove(index.expect("it was sent"));
        self.event(Event::Answered(id, answer));
    }

    fn pulse_ends(&mut self, verdict: Verdict) {
        let is_its = |message: &Message| matches!(message, Message::Pulse(..));
        self.answer(is_its, Answer::Database(verdict));
    }

    fn pulsed(&mut self, result: RpcResult) {
        self.pulse_ends(Verdict::Returned(result));
    }

    fn report_ends(&mut self, call: u32, verdict: Verdict) {
        let is_its =
            |m: &Message| matches!(m, Message::Report(_, report) if report.call == call_id(call));
        self.answer(is_its, Answer::Database(verdict));
    }

    fn reported(&mut self, call: u32, result: RpcResult) {
        self.report_ends(call, Verdict::Returned(result));
    }

    fn call_ends(&mut self, call: u32, outcome: Outcome) {
        let is_its = |message: &Message| matches!(message, Message::Call(a, _) if a.current_job.id == call_id(call));
        self.answer(is_its, Answer::Call(outcome));
    }

    fn succeeds(&mut self, call: u32) {
        self.call_ends(call, status(200));
    }

    fn dispatched(&mut self, calls: &[u32]) {
        let ids = calls.iter().map(|call| call_id(*call)).collect();
        self.event(Event::Dispatched(ids, Trace::new(None, [1; 16])));
    }

    /// The report that was sent last.
    fn last_report(&self) -> &ReportRequest {
        match &self.sent.last().unwrap().1 {
            Message::Report(_, report) => report,
            other => panic!("{other:?}"),
        }
    }

    /// The orders since the last look.
    fn told(&mut self) -> Vec<String> {
        core::mem::take(&mut self.told)
    }
}

fn status(status: u16) -> Outcome {
    let response = crate::fetch::Response {
        status,
        body: b"{}".into(),
        ..Default::default()
    };
    outcome(Ok(response), &[], 1, START)
}

fn accepted() -> RpcResult {
    RpcResult {
        accepted: true,
        lease_ms: Some(60_000),
        ..RpcResult::default()
    }
}

fn settled() -> RpcResult {
    RpcResult {
        accepted: true,
        ..RpcResult::default()
    }
}

fn with_next(n: u32) -> RpcResult {
    RpcResult {
        next: Some(call(n)),
        ..settled()
    }
}

fn unreachable() -> Verdict {
    Verdict::Unreachable {
        reason: "cut".into(),
        after_ms: None,
    }
}

fn show(order: &Order) -> String {
    let list = |ids: &[CurrentJobId]| {
        let ids: Vec<_> = ids.iter().map(|id| number(*id).to_string()).collect();
        ids.join(",")
    };
    match order {
        Order::Send { message, .. } => match message {
            Message::Pulse(_, pulse) => {
                let mut text = format!("pulse {}", pulse.number);
                for (name, ids) in [
                    ("acknowledge", &pulse.acknowledge),
                    ("calls", &pulse.calls),
                    ("give back", &pulse.give_back),
                ] {
                    if !ids.is_empty() {
                        text += &format!(" {name} {}", list(ids));
                    }
                }
                for (_, idle_ms) in &pulse.queues {
                    text += &format!(" idle {idle_ms}");
                }
                text
            }
            Message::Report(_, report) => {
                let mut text = format!("report {}", number(report.call));
                text += if report.is_successful {
                    " ok"
                } else {
                    " failed"
                };
                if report.report.is_attempt == Some(false) {
                    text += " no attempt";
                }
                for (name, id) in [
                    ("started", report.started),
                    ("given back", report.given_back),
                ] {
                    if let Some(id) = id {
                        text += &format!(" {name} {}", number(id));
                    }
                }
                match report.next {
                    Some(next) if next.prefetch => text + " next, prefetch",
                    Some(_) => text + " next",
                    None => text,
                }
            }
            Message::Call(assignment, _) => format!("call {}", number(assignment.current_job.id)),
        },
        Order::Abort(id) => format!("abort {}", id.0),
        Order::Log(entry) => match entry.count {
            Some(count) => format!("log {} {count}", entry.event),
            None => format!("log {}", entry.event),
        },
    }
}

fn without_log(told: Vec<String>) -> Vec<String> {
    told.into_iter()
        .filter(|line| !line.starts_with("log"))
        .collect()
}

#[test]
fn a_dispatch_is_acknowledged_then_called_then_reported() {
    let mut world = World::new(PLENTY);
    let ids = vec![call_id(1), call_id(2)];
    world.event(Event::Dispatched(ids, Trace::new(None, [1; 16])));
    assert_eq!(world.told(), ["pulse 1 acknowledge 1,2"]);
    world.pulsed(RpcResult {
        started: vec![call(2)],
        ..accepted()
    });
    assert_eq!(world.told(), ["log not_acknowledged", "call 2"]);
    world.after(10).succeeds(2);
    assert_eq!(world.told(), ["log call_succeeded", "report 2 ok next"]);
    world.reported(2, with_next(3));
    assert_eq!(world.told(), ["call 3"]);
    world.succeeds(3);
    world.reported(3, settled());
    assert_eq!(
        world.told(),
        [
            "log call_succeeded",
            "report 3 ok next, prefetch",
            "log lanes_ended 1"
        ]
    );
    assert!(world.run.has_ended());
    assert_eq!(world.run.wakes_at(), None);
}

#[test]
fn a_lane_that_ends_leaves_the_others() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.succeeds(1);
    world.reported(1, settled());
    assert_eq!(
        world.told(),
        [
            "log call_succeeded",
            "report 1 ok next",
            "log lanes_ended 1"
        ]
    );
    assert!(!world.run.has_ended());
}

#[test]
fn the_requests_to_the_database_name_the_run() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.succeeds(1);
    world.wake();
    let run = |sent: &(RequestId, Message, u64)| match sent.1 {
        Message::Pulse(run, _) | Message::Report(run, _) => Some(run),
        Message::Call(..) => None,
    };
    let runs: Vec<_> = world.sent.iter().filter_map(run).collect();
    assert_eq!(runs, [RunId::from_random(7); 2], "a report and a pulse");
}

#[test]
fn a_pulse_renews_the_lease_every_ten_seconds() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    for number in 2..=4 {
        world.wake();
        assert_eq!(world.told(), [format!("pulse {number} calls 1")]);
        assert_eq!(world.now.since(START), (number - 1) * 10_000);
        let (_, _, within_ms) = world.sent.last().unwrap();
        assert_eq!(*within_ms, 8000);
        world.pulsed(accepted());
    }
}

#[test]
fn times_follow_the_lease() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.after(10_000).event(Event::Woke);
    world.pulsed(RpcResult {
        lease_ms: Some(15_000),
        ..accepted()
    });
    assert_eq!(world.run.deadline, world.now.plus(13_750));
    world.wake();
    assert_eq!(world.now.since(START), 12_500);
    assert_eq!(world.sent.last().unwrap().2, 2000);
}

#[test]
fn an_unanswered_pulse_is_repeated_as_it_is() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.wake();
    let (_, Message::Pulse(_, first), _) = world.sent.last().unwrap().clone() else {
        panic!();
    };
    let at = world.now;
    let mut waits = Vec::new();
    for _ in 0..6 {
        let ended = world.now;
        world.pulse_ends(unreachable());
        // What comes up meanwhile waits for the next pulse.
        world.dispatched(&[9]);
        world.wake();
        waits.push(world.now.since(ended));
        let (_, Message::Pulse(_, again), _) = world.sent.last().unwrap() else {
            panic!();
        };
        assert_eq!(*again, first);
    }
    assert_eq!(waits, [249, 499, 999, 1999, 2000, 2000]);
    assert_eq!(world.run.deadline, START.plus(55_000));
    world.told();
    world.pulsed(accepted());
    assert_eq!(
        world.run.deadline,
        world.now.plus(55_000),
        "the lease counts from when the answered try was sent"
    );
    assert!(world.now > at);
    assert_eq!(
        world.told(),
        ["pulse 3 acknowledge 9,9,9,9,9,9 calls 1"],
        "and the next one goes at once"
    );
}

/// As long as a restart of Postgres may take, at the worst moment: just before a pulse.
#[test]
fn forty_seconds_without_the_database_abort_nothing() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.wake();
    let lost_since = world.now;
    world.succeeds(2);
    while world.now.since(lost_since) < 40_000 {
        while !world.sent.iter().all(|s| matches!(s.1, Message::Call(..))) {
            world.answer(
                |message| !matches!(message, Message::Call(..)),
                Answer::Database(unreachable()),
            );
        }
        world.wake();
    }
    assert!(!world.told().iter().any(|told| told.starts_with("abort")));
    world.pulsed(accepted());
    let deadline = world.run.deadline;
    assert_eq!(deadline, world.now.plus(55_000), "the lease is renewed");
}

#[test]
fn at_the_deadline_all_calls_are_aborted_and_reports_given_up() {
    let mut world = World::calling(PLENTY, &[call(1), call(2), call(3)]);
    world.succeeds(2);
    world.told();
    loop {
        world.wake();
        if world.run.is_over() {
            break;
        }
        if world
            .sent
            .iter()
            .any(|sent| matches!(sent.1, Message::Pulse(..)))
        {
            world.pulse_ends(unreachable());
        }
    }
    assert_eq!(world.now, START.plus(55_000));
    let told = world.told();
    let count = |what: &str| told.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(count("log call_aborted"), 2);
    assert_eq!(count("log report_given_up"), 1);
    assert_eq!(count("log run_over"), 1);
    assert_eq!(count("abort"), 3, "{told:?}");
    assert!(!world.run.has_ended(), "requests are still open");
    let open: Vec<_> = world.sent.drain(..).map(|sent| sent.0).collect();
    for id in open {
        world.event(Event::Answered(id, Answer::Call(status(200))));
    }
    assert_eq!(world.told(), [""; 0]);
    assert!(world.run.has_ended());
}

#[test]
fn a_report_that_waits_for_another_is_given_up_with_it() {
    let mut world = holding();
    world.succeeds(3);
    world.succeeds(4);
    world.logged.clear();
    world.after(55_000).event(Event::Woke);
    let given_up = world.logged.iter();
    let given_up = given_up.filter(|entry| entry.event == "report_given_up");
    let calls: Vec<_> = given_up.map(|entry| entry.current_job).collect();
    assert_eq!(calls, [3, 4].map(|n| Some(call_id(n))));
}

#[test]
fn nothing_is_called_on_an_answer_that_comes_after_the_lease() {
    let mut world = World::new(PLENTY);
    world.dispatched(&[1]);
    world.told();
    world.after(55_000);
    world.pulsed(RpcResult {
        started: vec![call(1)],
        ..accepted()
    });
    assert_eq!(world.told(), ["log run_over"]);
    assert!(world.run.has_ended());

    let mut world = World::calling(PLENTY, &[call(1)]);
    world.succeeds(1);
    world.told();
    world.after(55_000);
    world.reported(1, with_next(2));
    assert_eq!(world.told(), ["log report_given_up", "log run_over"]);
}

#[test]
fn a_refusal_ends_the_run() {
    let refused = || RpcResult {
        reason: Some("over".into()),
        ..RpcResult::default()
    };
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.wake();
    world.told();
    world.pulsed(refused());
    assert_eq!(
        world.told(),
        ["log call_aborted", "abort 0", "log run_over"]
    );

    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.succeeds(1);
    world.told();
    world.reported(1, RpcResult::default());
    assert_eq!(
        world.told(),
        [
            "log report_given_up",
            "log call_aborted",
            "abort 1",
            "log run_over"
        ]
    );
}

#[test]
fn a_run_that_is_over_aborts_its_pulse_and_ends_with_its_answer() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.wake();
    let (pulse, Message::Pulse(..), _) = world.sent.last().unwrap().clone() else {
        panic!();
    };
    world.succeeds(1);
    world.told();
    world.reported(1, RpcResult::default());
    assert_eq!(
        world.told(),
        [
            "log report_given_up".to_owned(),
            format!("abort {}", pulse.0),
            "log run_over".to_owned()
        ]
    );
    assert!(!world.run.has_ended(), "the pulse is still open");
    world.pulsed(accepted());
    assert!(world.run.has_ended());
}

#[test]
fn a_cancelled_call_is_aborted_and_reported() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.wake();
    let told = |world: &mut World| {
        world.pulsed(RpcResult {
            cancelled: vec![call_id(1)],
            ..accepted()
        })
    };
    world.told();
    told(&mut world);
    assert_eq!(world.told(), ["abort 0"]);
    world.wake();
    world.told();
    told(&mut world);
    assert_eq!(world.told(), [""; 0], "it is aborted once");
    let aborted = outcome(Err(crate::fetch::Failure::Aborted), &[], 60_000, START);
    world.call_ends(1, aborted);
    assert_eq!(world.told(), ["log call_aborted", "report 1 failed next"]);
    let (_, Message::Report(_, report), _) = world.sent.last().unwrap() else {
        panic!();
    };
    let message = &report.report.error.as_ref().unwrap().message;
    assert_eq!(
        message,
        "aborted: its job was cancelled, deleted or settled by hand"
    );
}

#[test]
fn a_report_has_the_duration_of_its_call() {
    for is_cancelled in [false, true] {
        let mut world = World::calling(PLENTY, &[call(1)]);
        world.wake();
        if is_cancelled {
            world.pulsed(RpcResult {
                cancelled: vec![call_id(1)],
                ..accepted()
            });
        }
        world.after(70).succeeds(1);
        let report = world.last_report();
        assert_eq!(report.is_successful, !is_cancelled);
        assert_eq!(report.report.duration_ms, Some(10_070));
    }
}

#[test]
fn the_end_of_a_call_is_logged() {
    let not_made = "the runtime's limit of calls from function to function was reached";
    let retry_after_ms = 1;
    #[rustfmt::skip] // one case per line
    let cases = [
        (status(200), Level::Info, "call_succeeded", Some(200), Some(70), None),
        (status(500), Level::Warn, "call_failed", Some(500), Some(70), Some("status 500")),
        (Outcome::NotMade { retry_after_ms }, Level::Warn, "job_given_back", None, None, Some(not_made)),
    ];
    for (outcome, level, event, status, duration_ms, message) in cases {
        let mut world = World::calling(PLENTY, &[call(1)]);
        world.after(70).call_ends(1, outcome);
        let [entry] = &world.logged[..] else {
            panic!("{event}: {:?}", world.logged);
        };
        assert_eq!((entry.level, entry.event), (level, event));
        assert_eq!(entry.current_job, Some(call_id(1)), "{event}");
        assert_eq!((entry.status, entry.duration_ms), (status, duration_ms));
        assert_eq!(entry.message.as_deref(), message, "{event}");
    }
}

#[test]
fn a_cancelled_call_that_the_run_never_got_is_given_back() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.succeeds(2);
    world.wake();
    world.told();
    world.pulsed(RpcResult {
        cancelled: vec![call_id(2), call_id(3)],
        ..accepted()
    });
    assert_eq!(
        world.told(),
        ["pulse 3 calls 1 give back 3"],
        "the other one is being reported"
    );

    let mut world = holding();
    world.succeeds(3);
    world.succeeds(4);
    world.wake();
    world.told();
    world.pulsed(RpcResult {
        cancelled: vec![call_id(3), call_id(4), call_id(5)],
        ..accepted()
    });
    assert_eq!(
        world.told(),
        ["pulse 3 give back 5"],
        "also if its report waits for another one"
    );
}

#[test]
fn a_call_that_is_gone_is_aborted_and_forgotten() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.wake();
    world.told();
    // The second one is gone because its report has been processed, as the lane knows.
    world.succeeds(2);
    world.pulsed(RpcResult {
        gone: vec![call_id(1), call_id(2)],
        ..accepted()
    });
    assert_eq!(without_log(world.told()), ["report 2 ok next", "abort 0"]);
    world.reported(2, settled());
    assert!(!world.run.has_ended(), "the aborted request has not ended");
    world.succeeds(1);
    assert!(world.run.has_ended());
}

#[test]
fn a_call_that_is_gone_is_logged() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.wake();
    world.told();
    world.pulsed(RpcResult {
        gone: vec![call_id(1)],
        ..accepted()
    });
    assert_eq!(
        world.told(),
        ["log call_aborted", "abort 0", "log lanes_ended 1"]
    );
    let entry = &world.logged[0];
    assert_eq!(entry.level, Level::Error);
    assert_eq!(entry.current_job, Some(call_id(1)), "the other one goes on");
}

#[test]
fn a_report_is_repeated_until_it_is_answered() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.succeeds(1);
    world.told();
    let mut waits = Vec::new();
    for _ in 0..5 {
        let ended = world.now;
        world.report_ends(1, unreachable());
        world.wake();
        waits.push(world.now.since(ended));
    }
    assert_eq!(waits, [249, 499, 999, 1999, 3999]);
    assert_eq!(without_log(world.told()), ["report 1 ok next"; 5]);
    world.report_ends(
        1,
        Verdict::Unreachable {
            reason: "busy".into(),
            after_ms: Some(1234),
        },
    );
    world.after(1233).event(Event::Woke);
    assert_eq!(without_log(world.told()), [""; 0]);
}

#[test]
fn a_report_is_repeated_no_earlier_than_the_database_asks() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.succeeds(1);
    world.report_ends(
        1,
        Verdict::Unreachable {
            reason: "busy".into(),
            after_ms: Some(1234),
        },
    );
    world.told();
    world.wake();
    assert_eq!(world.now.since(START), 1234, "the first wait is 249 ms");
    assert_eq!(world.told(), ["report 1 ok next"]);
}

#[test]
fn what_postgres_refuses_is_reported_with_less_content() {
    let refuse = |world: &mut World, call: u32| {
        world.report_ends(call, Verdict::Refused("22P05".into()));
    };
    let content = |world: &World| match &world.sent.last().unwrap().1 {
        Message::Report(_, report) => report.report.object().end(),
        _ => String::new(),
    };
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    world.succeeds(1);
    refuse(&mut world, 1);
    assert!(content(&world).contains(r#""result":"{}""#), "as text");
    refuse(&mut world, 1);
    let note = r#""result":{"incomplete":"Postgres cannot store it: 22P05"}"#;
    assert!(content(&world).contains(note), "{}", content(&world));
    world.told();
    refuse(&mut world, 1);
    assert_eq!(world.told(), ["log database_not_reached"], "never given up");
    world.wake();
    assert_eq!(world.told(), ["report 1 ok next"]);

    world.call_ends(2, status(500));
    assert!(content(&world).contains(r#""body":"{}""#));
    refuse(&mut world, 2);
    assert!(content(&world).contains("status 500"));
    assert!(!content(&world).contains("body"));
}

#[test]
fn what_postgres_refuses_is_logged() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.succeeds(1);
    world.logged.clear();
    world.report_ends(1, Verdict::Refused("22P05".into()));
    let [entry] = &world.logged[..] else {
        panic!("{:?}", world.logged);
    };
    assert_eq!((entry.level, entry.event), (Level::Warn, "report_refused"));
    let message = "Postgres cannot store the target's answer: 22P05; reporting less of it";
    assert_eq!(entry.message.as_deref(), Some(message));
}

#[test]
fn a_note_that_postgres_refuses_stays_a_note() {
    let response = crate::fetch::Response {
        status: 200,
        body: b"text".into(),
        ..Default::default()
    };
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.call_ends(1, outcome(Ok(response), &[], 1, START));
    for reason in ["22P05", "54000"] {
        world.report_ends(1, Verdict::Refused(reason.into()));
    }
    let note = r#""result":{"incomplete":"Postgres cannot store it: 54000"}"#;
    let report = world.last_report().report.object().end();
    assert!(report.contains(note), "{report}");
}

#[test]
fn text_that_postgres_refuses_is_not_reported_as_text_again() {
    let response = crate::fetch::Response {
        status: 200,
        body: b"text".into(),
        ..Default::default()
    };
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.call_ends(1, outcome(Ok(response), &[], 1, START));
    world.report_ends(1, Verdict::Refused("54000".into()));
    let Message::Report(_, report) = &world.sent.last().unwrap().1 else {
        panic!();
    };
    let note = r#""result":{"incomplete":"Postgres cannot store it: 54000"}"#;
    assert!(report.report.object().end().contains(note));
}

#[test]
fn a_queue_without_work_is_asked_again_when_the_database_says() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.after(10).succeeds(1);
    world.reported(
        1,
        RpcResult {
            again_in_ms: Some(50),
            ..settled()
        },
    );
    world.told();
    world.wake();
    assert_eq!(world.now.since(START), 60);
    assert_eq!(world.told(), ["pulse 2 idle 50"]);
    let again = |ms| RpcResult {
        queues: vec![QueueWait {
            id: queue_id(),
            again_in_ms: ms,
        }],
        ..accepted()
    };
    world.pulsed(again(Some(200)));
    world.wake();
    assert_eq!(world.told(), ["pulse 3 idle 250"]);
    world.pulsed(RpcResult {
        started: vec![call(2)],
        ..again(Some(50))
    });
    assert_eq!(world.told(), ["call 2"]);
    world.wake();
    assert_eq!(world.told(), ["pulse 4 calls 2 idle 50"], "it is not idle");
    world.pulsed(again(None));
    world.succeeds(2);
    world.reported(2, settled());
    assert!(world.run.has_ended());
}

#[test]
fn one_wait_serves_all_lanes_of_a_queue() {
    let mut world = World::calling(PLENTY, &[call(1), call(2)]);
    for (n, ms) in [(1, 500), (2, 80)] {
        world.succeeds(n);
        world.reported(
            n,
            RpcResult {
                again_in_ms: Some(ms),
                ..settled()
            },
        );
    }
    world.told();
    world.wake();
    assert_eq!(world.now.since(START), 80, "the earliest counts");
    assert_eq!(world.told(), ["pulse 2 idle 80"]);
    world.pulsed(RpcResult {
        queues: vec![QueueWait {
            id: queue_id(),
            again_in_ms: Some(200),
        }],
        ..accepted()
    });
    world.wake();
    assert_eq!(world.told(), ["pulse 3 idle 280"], "and there is one");
}

/// A run that waits for work, with `others` calls in flight.
fn waiting(ms: u64, others: u32) -> World {
    let calls: Vec<_> = (1..=others + 1).map(call).collect();
    let mut world = World::calling(PLENTY, &calls);
    world.succeeds(1);
    world.reported(
        1,
        RpcResult {
            again_in_ms: Some(ms),
            ..settled()
        },
    );
    world.told();
    world
}

#[test]
fn a_run_whose_time_is_over_asks_for_no_work() {
    let over = |world: &mut World| world.run.budget = Budget::new(START, 5_100, PLENTY);
    let mut world = waiting(110, 0);
    over(&mut world);
    world.wake();
    assert_eq!(world.told(), [""; 0]);
    assert!(world.run.has_ended());

    let mut world = waiting(110, 0);
    over(&mut world);
    world.after(110).dispatched(&[9]);
    assert_eq!(world.told(), ["pulse 2 acknowledge 9"]);
}

#[test]
fn a_run_with_all_the_lanes_that_it_may_have_asks_for_no_work() {
    let mut world = waiting(110, 100);
    world.wake();
    assert_eq!(world.now.since(START), 110);
    assert_eq!(world.told(), [""; 0]);

    let mut world = waiting(10_000, 100);
    world.wake();
    let told = world.told();
    assert!(
        told.len() == 1 && told[0].starts_with("pulse 2 calls 2,3,") && !told[0].contains("idle"),
        "the lease is renewed at its time: {told:?}"
    );
}

#[test]
fn each_call_of_a_dispatch_that_the_run_does_not_get_is_logged() {
    let mut world = World::new(PLENTY);
    world.dispatched(&[1, 2, 3]);
    world.told();
    world.pulsed(RpcResult {
        started: vec![call(1)],
        ..accepted()
    });
    let told = world.told();
    assert_eq!(
        told,
        ["log not_acknowledged", "log not_acknowledged", "call 1"]
    );
}

#[test]
fn an_isolate_without_time_or_jobs_waits_for_nothing() {
    let waits = |world: &mut World| {
        world.reported(
            1,
            RpcResult {
                again_in_ms: Some(50),
                ..settled()
            },
        );
        world.run.wakes_at().is_some()
    };
    let mut world = World::calling(0, &[call(1)]);
    world.succeeds(1);
    assert_eq!(without_log(world.told()), ["report 1 ok"]);
    assert!(!waits(&mut world));

    let mut world = World::calling(PLENTY, &[call(1)]);
    world.succeeds(1);
    assert!(waits(&mut world));
    world.event(Event::Ending);
    world.told();
    world.wake();
    assert_eq!(world.told(), [""; 0]);
    assert!(world.run.has_ended());
}

#[test]
fn a_call_that_no_longer_fits_is_given_back() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.after(40_000).event(Event::Woke);
    world.pulsed(accepted());
    world.after(35_001).succeeds(1);
    world.told();
    world.reported(1, with_next(2));
    assert_eq!(
        world.told(),
        ["log job_given_back", "report 2 failed no attempt"]
    );
}

#[test]
fn a_call_that_just_fits_is_made() {
    for (ms, want) in [(75_000, "call 2"), (75_001, "log job_given_back")] {
        let mut world = World::calling(PLENTY, &[call(1)]);
        world.after(40_000).event(Event::Woke);
        world.pulsed(accepted());
        world.after(ms - 40_000).succeeds(1);
        world.told();
        world.reported(1, with_next(2));
        assert_eq!(world.told()[0], want, "after {ms} ms");
    }
}

#[test]
fn a_call_of_a_second_is_not_short() {
    for (ms, want) in [
        (999, "report 2 ok next, prefetch"),
        (1000, "report 2 ok next"),
    ] {
        let mut world = World::calling(PLENTY, &[call(1)]);
        world.succeeds(1);
        world.reported(1, with_next(2));
        world.after(ms).succeeds(2);
        assert_eq!(without_log(world.told()).last().unwrap(), want);
    }
}

#[test]
fn a_long_call_ends_a_row_of_short_ones() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    let mut prefetches = Vec::new();
    for (n, ms) in [(1, 0), (2, 1000), (3, 0), (4, 0), (5, 1000), (6, 0)] {
        world.after(ms).succeeds(n);
        prefetches.push(world.last_report().next.unwrap().prefetch);
        world.reported(n, with_next(n + 1));
    }
    assert_eq!(prefetches, [false, false, false, true, false, false]);
}

#[test]
fn a_lane_that_has_asked_for_its_last_job_does_not_count() {
    // One of four jobs is left, so that one of two lanes may go on.
    let mut world = World::calling(4, &[call(1), call(2)]);
    for _ in 0..3 {
        world.run.budget.take_for_pulse();
    }
    world.call_ends(1, Outcome::NotMade { retry_after_ms: 1 });
    world.succeeds(2);
    assert_eq!(
        without_log(world.told()),
        ["report 1 failed no attempt", "report 2 ok next"]
    );
}

#[test]
fn the_lanes_that_have_ended_count_for_the_peak() {
    // One of four jobs is left. From a peak of three lanes two may go on, from a peak of two only one.
    let mut world = World::calling(PLENTY, &[call(1), call(2), call(3)]);
    for n in [1, 2] {
        world.succeeds(n);
        world.reported(n, settled());
    }
    world.run.budget = Budget::new(START, 140_000, 4);
    for _ in 0..3 {
        world.run.budget.take_for_pulse();
    }
    world.wake();
    world.pulsed(RpcResult {
        started: vec![call(4)],
        ..accepted()
    });
    world.told();
    world.succeeds(3);
    assert_eq!(without_log(world.told()), ["report 3 ok next"]);
}

#[test]
fn a_call_that_was_not_made_takes_no_job_from_the_other_lanes() {
    let mut world = World::calling(1, &[call(1), call(2)]);
    world.call_ends(1, Outcome::NotMade { retry_after_ms: 1 });
    world.succeeds(2);
    assert_eq!(
        without_log(world.told()),
        ["report 1 failed no attempt", "report 2 ok next"]
    );
}

#[test]
fn a_lane_that_has_asked_for_its_last_job_asks_for_no_other() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.call_ends(1, Outcome::NotMade { retry_after_ms: 1 });
    world.reported(1, with_next(2));
    world.told();
    world.succeeds(2);
    assert_eq!(without_log(world.told()), ["report 2 ok"]);
}

#[test]
fn an_isolate_without_time_asks_for_no_job() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.run.budget = Budget::new(START, 5_000, PLENTY);
    world.succeeds(1);
    assert_eq!(without_log(world.told()), ["report 1 ok"]);
}

#[test]
fn lanes_that_ask_for_no_more_jobs_do_not_count() {
    // Of two lanes and four jobs, one lane ends when a single job is left, and the other takes it.
    let mut world = World::calling(4, &[call(1), call(2)]);
    let mut asked = Vec::new();
    let mut next = 3;
    for n in [1, 2, 3, 4, 5, 6] {
        if !world
            .sent
            .iter()
            .any(|sent| matches!(&sent.1, Message::Call(a, _) if a.current_job.id == call_id(n)))
        {
            continue;
        }
        world.told();
        world.succeeds(n);
        let asks = without_log(world.told())[0].contains("next");
        asked.push(asks);
        let answer = if asks { with_next(next) } else { settled() };
        next += u32::from(asks);
        world.reported(n, answer);
    }
    assert_eq!(asked, [true, true, true, false, true, false]);
}

#[test]
fn a_rate_limit_of_the_runtime_gives_the_job_back() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.call_ends(
        1,
        Outcome::NotMade {
            retry_after_ms: 700,
        },
    );
    assert_eq!(
        world.told(),
        ["log job_given_back", "report 1 failed no attempt"]
    );
    world.reported(
        1,
        RpcResult {
            again_in_ms: Some(50),
            ..settled()
        },
    );
    assert!(world.run.has_ended(), "and its lane does not ask for more");
}

#[test]
fn a_job_that_is_given_back_says_why_and_when_to_retry() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.call_ends(
        1,
        Outcome::NotMade {
            retry_after_ms: 700,
        },
    );
    let report = &world.last_report().report;
    assert_eq!(report.retry_after_ms, Some(700));
    let message = report.error.as_ref().map(|error| &error.message[..]);
    assert_eq!(
        message,
        Some("the runtime's limit of calls from function to function was reached")
    );

    let mut world = World::calling(PLENTY, &[call(1)]);
    world.event(Event::Ending);
    world.succeeds(1);
    world.reported(1, with_next(2));
    let report = &world.last_report().report;
    assert_eq!(report.retry_after_ms, Some(0));
    let message = report.error.as_ref().map(|error| &error.message[..]);
    assert_eq!(
        message,
        Some("its timeout of 60000 ms does not fit the 0 ms that are left of the isolate's time")
    );
}

/// A world whose lane has made two short calls, so that it holds call 4 while it makes call 3.
fn holding() -> World {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.succeeds(1);
    world.reported(1, with_next(2));
    world.succeeds(2);
    world.reported(
        2,
        RpcResult {
            held: Some(call(4)),
            ..with_next(3)
        },
    );
    world.told();
    world
}

#[test]
fn a_call_that_is_held_starts_beside_the_report() {
    let mut world = holding();
    world.succeeds(3);
    assert_eq!(
        without_log(world.told()),
        ["call 4", "report 3 ok started 4 next, prefetch"]
    );
    // The next call ends before that report is answered.
    world.succeeds(4);
    assert_eq!(without_log(world.told()), [""; 0], "one report at a time");
    world.reported(
        3,
        RpcResult {
            held: Some(call(5)),
            ..settled()
        },
    );
    assert_eq!(
        without_log(world.told()),
        ["call 5", "report 4 ok started 5 next, prefetch"]
    );
    world.reported(4, settled());
    world.succeeds(5);
    world.reported(5, settled());
    assert!(world.run.has_ended());
}

#[test]
fn a_held_call_waits_for_a_second() {
    let mut world = holding();
    world.after(999).event(Event::Woke);
    assert_eq!(world.told(), [""; 0]);
    world.wake();
    assert_eq!(world.now.since(START), 1000);
    assert_eq!(world.told(), ["pulse 2 calls 3 give back 4"]);
    world.succeeds(3);
    assert_eq!(
        without_log(world.told()),
        ["report 3 ok next"],
        "after a long call, nothing is prefetched"
    );
}

#[test]
fn after_a_request_for_a_pause_the_lane_reports_first() {
    for code in [429, 503] {
        let mut world = holding();
        world.call_ends(3, status(code));
        assert_eq!(
            without_log(world.told()),
            ["report 3 failed given back 4 next"],
            "{code}"
        );
    }
    let mut world = holding();
    world.call_ends(3, Outcome::NotMade { retry_after_ms: 1 });
    assert_eq!(
        without_log(world.told()),
        ["report 3 failed no attempt given back 4"]
    );
    let mut world = holding();
    world.event(Event::Ending);
    world.succeeds(3);
    assert_eq!(without_log(world.told()), ["report 3 ok given back 4"]);
}

#[test]
fn a_lane_that_ends_gives_its_held_call_back() {
    let mut world = holding();
    world.run.budget = Budget::new(START, 140_000, 0);
    world.succeeds(3);
    assert_eq!(without_log(world.told()), ["report 3 ok given back 4"]);
}

#[test]
fn a_held_call_that_just_fits_starts_and_a_longer_one_is_given_back() {
    for (ms, want) in [
        (0, &["call 4", "report 3 ok started 4 next, prefetch"][..]),
        (1, &["report 3 ok given back 4 next, prefetch"]),
    ] {
        let mut world = holding();
        world.run.budget = Budget::new(START, 65_000, PLENTY);
        world.after(ms).succeeds(3);
        assert_eq!(without_log(world.told()), want, "after {ms} ms");
    }
}

#[test]
fn a_report_asks_for_a_job_that_fits() {
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.after(10).succeeds(1);
    let next = world.last_report().next.unwrap();
    assert_eq!(next.within_ms, 134_990);
}

#[test]
fn after_a_cancelled_call_the_held_one_starts() {
    let mut world = holding();
    world.dispatched(&[9]);
    world.pulsed(RpcResult {
        cancelled: vec![call_id(3)],
        ..accepted()
    });
    world.told();
    world.succeeds(3);
    assert_eq!(
        without_log(world.told()),
        ["call 4", "report 3 failed started 4 next, prefetch"]
    );
}

#[test]
fn a_held_call_for_a_lane_without_a_call_starts_at_once() {
    let mut world = holding();
    world.succeeds(3);
    world.succeeds(4);
    world.reported(3, settled());
    world.told();
    world.reported(
        4,
        RpcResult {
            held: Some(call(5)),
            ..settled()
        },
    );
    assert_eq!(world.told(), ["call 5"]);
}

#[test]
fn only_the_held_calls_that_are_named_are_given_back() {
    let mut world = holding();
    world.dispatched(&[9]);
    world.told();
    world.pulsed(RpcResult {
        unwanted: vec![call_id(5)],
        cancelled: vec![call_id(6)],
        ..accepted()
    });
    world.succeeds(3);
    assert_eq!(
        without_log(world.told()),
        [
            "pulse 3 calls 3,4 give back 6",
            "call 4",
            "report 3 ok started 4 next, prefetch"
        ]
    );
}

#[test]
fn a_held_call_behind_one_that_is_gone_is_given_back() {
    let mut world = holding();
    world.dispatched(&[9]);
    world.pulsed(RpcResult {
        gone: vec![call_id(3)],
        ..accepted()
    });
    world.told();
    world.wake();
    assert_eq!(world.now.since(START), 1000);
    assert_eq!(world.told(), ["pulse 3 give back 4", "log lanes_ended 1"]);
    world.pulsed(accepted());
    world.call_ends(
        3,
        outcome(Err(crate::fetch::Failure::Aborted), &[], 1, START),
    );
    assert!(world.run.has_ended());
}

#[test]
fn a_held_call_that_is_unwanted_or_cancelled_is_given_back() {
    let unwanted = RpcResult {
        unwanted: vec![call_id(4), call_id(3)],
        ..accepted()
    };
    let cancelled = RpcResult {
        cancelled: vec![call_id(4)],
        ..accepted()
    };
    for result in [unwanted, cancelled] {
        let mut world = holding();
        world.dispatched(&[9]);
        world.told();
        world.pulsed(result);
        assert_eq!(
            without_log(world.told()),
            ["pulse 3 calls 3 give back 4"],
            "a call that has started goes on"
        );
    }
    let mut world = holding();
    world.dispatched(&[9]);
    world.pulsed(RpcResult {
        gone: vec![call_id(4)],
        ..accepted()
    });
    world.told();
    world.succeeds(3);
    assert_eq!(without_log(world.told()), ["report 3 ok next, prefetch"]);
}

#[test]
fn an_answer_with_more_than_the_lane_can_take_loses_nothing() {
    let mut world = holding();
    world.succeeds(3);
    world.told();
    world.reported(
        3,
        RpcResult {
            held: Some(call(6)),
            ..with_next(5)
        },
    );
    assert_eq!(world.told(), ["call 5"], "in a lane of its own");
    world.succeeds(4);
    assert_eq!(
        without_log(world.told()),
        ["call 6", "report 4 ok started 6 next, prefetch"]
    );
}

#[test]
fn each_call_of_an_answer_to_a_lane_with_a_waiting_report_is_reported() {
    let mut world = holding();
    world.succeeds(3);
    world.succeeds(4);
    world.told();
    world.reported(
        3,
        RpcResult {
            held: Some(call(6)),
            ..with_next(5)
        },
    );
    assert_eq!(
        without_log(world.told()),
        ["call 5", "call 6", "report 4 ok started 6 next, prefetch"]
    );
    world.succeeds(5);
    assert_eq!(
        without_log(world.told()),
        ["report 5 ok next"],
        "it has a lane of its own"
    );
}

#[test]
fn payloads_are_bounded_in_bytes() {
    let large = format!(r#""{}""#, "x".repeat(4_900_000));
    let mut world = World::calling(PLENTY, &[assignment(1, 60_000, &large), call(2)]);
    let limits = |world: &World| match &world.sent.last().unwrap().1 {
        Message::Pulse(_, pulse) => pulse.limits.bytes,
        Message::Report(_, report) => report.next.unwrap().bytes,
        Message::Call(..) => 0,
    };
    world.wake();
    assert_eq!(limits(&world), 8_000_000 - 4_900_003);
    world.pulsed(accepted());
    world.succeeds(1);
    assert_eq!(
        limits(&world),
        8_000_000 - 1,
        "twice the last, or what is left"
    );
    world.succeeds(2);
    assert_eq!(limits(&world), 64_000, "what was asked for counts");
    world.reported(1, settled());
    world.dispatched(&[3]);
    assert_eq!(limits(&world), 8_000_000 - 64_000);
}

#[test]
fn a_held_payload_counts_like_one_that_is_called() {
    let large = format!(r#""{}""#, "x".repeat(4_900_000));
    let mut world = World::calling(PLENTY, &[call(1)]);
    world.succeeds(1);
    world.reported(
        1,
        RpcResult {
            held: Some(assignment(3, 60_000, &large)),
            ..with_next(2)
        },
    );
    let dispatched = Event::Dispatched(vec![call_id(4)], Trace::new(None, [1; 16]));
    world.event(dispatched);
    let Some((_, Message::Pulse(_, pulse), _)) = world.sent.last() else {
        panic!("it asks for the dispatched call");
    };
    assert_eq!(pulse.limits.bytes, 8_000_000 - 4_900_003);
}

#[test]
fn a_run_has_a_bounded_number_of_lanes() {
    let calls: Vec<_> = (1..=100).map(call).collect();
    let mut world = World::calling(PLENTY, &calls);
    world.wake();
    let (_, Message::Pulse(_, pulse), _) = world.sent.last().unwrap() else {
        panic!();
    };
    assert_eq!(pulse.limits.calls, 0);
    assert_eq!(pulse.limits.whole_ms, 135_000);
    assert_eq!(pulse.limits.within_ms, 125_000);
}

#[path = "run_properties.rs"]
mod properties;
