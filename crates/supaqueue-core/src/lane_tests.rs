//! The lane against a simulated database and target, in simulated time.

use std::collections::HashMap;
use std::rc::Rc;

use super::*;
use crate::config::tests::project;
use crate::json;
use proptest::prelude::*;
use serde_json::Value;

const START: Timestamp = Timestamp::from_ms(1_795_417_959_000);
const TIMEOUT_MS: u64 = 60_000;
const LEASE_MS: u64 = 90_000;
const DISPATCH_LEASE_MS: u64 = 15_000;

/// The `n`th current job as JSON, with a lease that starts now.
fn record(n: u32, now: Timestamp, lease_ms: u64) -> String {
    let until = now.plus(lease_ms);
    format!(
        r#"{{"current_job":{{"id":"{id}","created_at":"{now}","acknowledged_at":"{now}","lease_until":"{until}"}},
        "job":{{"id":"00000000-0000-4000-9000-{n:012}","payload":{n},"attempts":1}},
        "queue":{{"name":"q","edge_function_name":"f","timeout_ms":{TIMEOUT_MS},"auth":"none","final_statuses":[404]}}}}"#,
        id = key(n)
    )
}

fn key(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn next(n: u32) -> Option<String> {
    Some(record(n, START, LEASE_MS))
}

fn lane() -> Lane {
    lane_of(&record(1, START, DISPATCH_LEASE_MS))
}

fn lane_of(record: &str) -> Lane {
    let id = LaneId::from_random([1; 16]);
    Lane::new(id, json::from_str(record).unwrap())
}

fn run(jobs: u32) -> Run {
    let settings = project(&[
        ("SUPAQUEUE_JOBS_PER_RUN", &jobs.to_string()),
        ("SUPAQUEUE_LOG_LEVEL", "debug"),
    ]);
    let mut run = Run::new(settings, None, [0; 16], START, 1, Rc::default());
    run.take_log();
    run
}

fn response(status: u16, body: &str) -> Event {
    Event::Fetched(Ok(Response {
        status,
        body: body.into(),
        ..Response::default()
    }))
}

/// The result of `end_current_job`.
fn returned(accepted: bool, next: Option<String>) -> Event {
    let next = next.unwrap_or("null".into());
    response(200, &format!(r#"{{"accepted":{accepted},"next":{next}}}"#))
}

fn acknowledged() -> Event {
    returned(true, None)
}

fn unavailable() -> Event {
    response(503, "")
}

fn rejected() -> Event {
    response(400, r#"{"code":"22P05"}"#)
}

fn missing() -> Event {
    response(404, r#"{"code":"PGRST202"}"#)
}

fn answer(status: u16) -> Event {
    response(status, r#"{"a":1}"#)
}

fn rate_limited(retry_after_ms: u64) -> Event {
    Event::Fetched(Err(Failure::RateLimited { retry_after_ms }))
}

fn is_rpc(request: &Request) -> bool {
    request.url.ends_with("/rpc/end_current_job")
}

/// Sends `events`, one per second, and writes down the lane's actions and log.
fn trace(jobs: u32, events: impl IntoIterator<Item = Event>) -> Vec<String> {
    let (mut lane, mut run) = (lane(), run(jobs));
    let mut steps = Vec::new();
    for (i, event) in events.into_iter().enumerate() {
        let now = START.plus(i as u64 * 1000);
        steps.push(match lane.next(event, &mut run, now, u64::MAX) {
            Action::Fetch(request) if is_rpc(&request) => {
                let zeros = "00000000-0000-4000-8000-00000000000";
                format!("rpc {}", request.body.replace(zeros, ""))
            }
            Action::Fetch(_) => "call".into(),
            Action::Sleep { ms } => format!("sleep {ms}"),
            Action::End => "end".into(),
        });
        for entry in run.take_log() {
            let line = format!("  {} {}", entry.event, entry.message.unwrap_or_default());
            steps.push(line.trim_end().to_owned());
        }
    }
    steps
}

/// As [`trace`], for a lane whose first job is acknowledged.
fn trace_call<const N: usize>(jobs: u32, events: [Event; N]) -> Vec<String> {
    let start = [Event::Start, acknowledged()];
    trace(jobs, start.into_iter().chain(events))
}

const ACKNOWLEDGE: &str = r#"rpc {"cur_job_id":"1","_is_complete":false,"_is_successful":false,"_report":{"lane":"01010101-0101-4101-8101-010101010101"},"_next_within_ms":null}"#;

fn report(n: u32, is_successful: bool, rest: &str, next: &str) -> String {
    format!(
        r#"rpc {{"cur_job_id":"{n}","_is_complete":true,"_is_successful":{is_successful},"_report":{{"lane":"01010101-0101-4101-8101-010101010101",{rest}}},"_next_within_ms":{next}}}"#
    )
}

/// The first job's report of [`answer`], which took a second.
fn success(status: u16, next: &str) -> String {
    let rest = format!(r#""http_status":{status},"duration_ms":1000,"result":{{"a":1}}"#);
    report(1, true, &rest, next)
}

#[test]
fn a_lane_goes_from_job_to_job_until_none_is_left() {
    let (next, none) = (returned(true, next(2)), returned(true, None));
    let steps = trace_call(9, [answer(200), next, answer(500), none, Event::Woke]);
    let failure = r#""http_status":500,"duration_ms":1000,"error":{"message":"status 500","body":"{\"a\":1}"}"#;
    let want = [
        ACKNOWLEDGE,
        "call",
        &success(200, "133000"),
        "  call_succeeded",
        "call",
        &report(2, false, failure, "131000"),
        "  call_failed status 500",
        "end",
        "  lane_ended",
        "end",
    ];
    assert_eq!(steps, want);
}

#[test]
fn nothing_is_called_after_a_refused_acknowledgement() {
    assert_eq!(
        trace(9, [Event::Start, returned(false, None)]),
        [ACKNOWLEDGE, "end", "  acknowledgement_refused"]
    );
}

#[test]
fn the_isolate_remembers_a_refused_acknowledgement_until_one_is_accepted() {
    let mut run = run(1);
    let mut last_refusal = |event: Event| {
        let mut lane = lane();
        lane.next(Event::Start, &mut run, START, 0);
        lane.next(event, &mut run, START, 0);
        run.isolate.last_refusal()
    };
    let hook = format!(r#"{{"code":"P0001","message":"{}"}}"#, "é".repeat(150));
    let refusal = last_refusal(response(403, &hook)).unwrap();
    assert!(refusal.starts_with("status 403 P0001 éé"), "{refusal}");
    assert_eq!(refusal.len(), 199, "it is cut between characters");
    assert_eq!(last_refusal(unavailable()).as_deref(), Some("status 503"));
    let missing = last_refusal(missing()).unwrap();
    assert!(
        missing.contains("end_current_job does not exist"),
        "{missing}"
    );
    assert_eq!(
        last_refusal(returned(false, None)),
        None,
        "the database was reached"
    );
}

#[test]
fn a_request_without_an_answer_is_repeated_unchanged() {
    let again = "  database_not_reached status 503; trying again in 249 ms";
    let events = [
        Event::Start,
        unavailable(),
        Event::Woke,
        acknowledged(),
        answer(204),
        unavailable(),
        Event::Woke,
    ];
    let want = [
        ACKNOWLEDGE,
        "sleep 249",
        again,
        ACKNOWLEDGE,
        "call",
        &success(204, "131000"),
        "  call_succeeded",
        "sleep 249",
        again,
        &success(204, "129000"),
    ];
    let steps = trace(9, events);
    assert_eq!(steps, want, "only the time left for a next job changes");
}

#[test]
fn a_lane_without_a_budget_asks_for_no_next_job() {
    let steps = trace_call(0, [answer(200)]);
    assert_eq!(steps[2], success(200, "null"));
}

#[test]
fn a_next_job_that_was_not_asked_for_is_called() {
    // The answer to a report that was repeated after the budget ran out: the job is this lane's.
    let steps = trace_call(0, [answer(200), returned(true, next(2))]);
    assert_eq!(steps.last().map(String::as_str), Some("call"));
}

#[test]
fn an_impossible_call_is_reported_at_once() {
    let record = record(1, START, LEASE_MS).replace(r#""f""#, r#""../f""#);
    let (mut lane, mut run) = (lane_of(&record), run(9));
    lane.next(Event::Start, &mut run, START, 0);
    let action = lane.next(acknowledged(), &mut run, START, 0);
    let Action::Fetch(request) = action else {
        panic!("{action:?}");
    };
    let want = r#""duration_ms":0,"error":{"message":"cannot call \"../f\": not the name of an edge function"},"is_final":true}"#;
    assert!(request.body.contains(want), "{}", request.body);
}

#[test]
fn a_rejected_report_is_repeated_once_without_what_the_target_sent() {
    let steps = trace_call(9, [answer(200), rejected(), rejected()]);
    let bare = r#""http_status":200,"duration_ms":1000,"result":{"incomplete":"the database refused it: status 400 22P05"}"#;
    let want = [
        "  report_rejected status 400 22P05; trying without the target's answer",
        "end",
        "  report_rejected status 400 22P05",
    ];
    assert_eq!(steps[4], report(1, true, bare, "132000"));
    assert_eq!(steps[5..], want);

    let steps = trace_call(9, [answer(500), rejected()]);
    let bare = r#""http_status":500,"duration_ms":1000,"error":{"message":"status 500"}"#;
    assert_eq!(steps[4], report(1, false, bare, "132000"));
}

#[test]
fn a_missing_end_current_job_is_logged_once_per_run() {
    let mut run = run(9);
    for _ in 0..3 {
        let mut lane = lane();
        lane.next(Event::Start, &mut run, START, 0);
        assert_eq!(
            lane.next(missing(), &mut run, START, 0),
            Action::End,
            "an acknowledgement is not repeated: no call was made"
        );
    }
    let events: Vec<_> = run.take_log().iter().map(|entry| entry.event).collect();
    assert_eq!(events, ["end_current_job_missing"]);
}

#[test]
fn a_lane_sleeps_for_the_runtimes_rate_limit_or_gives_the_job_back() {
    let given_back = |ms: u64| {
        let error = r#""error":{"message":"the runtime's limit of calls from function to function was reached"}"#;
        let rest = format!(r#"{error},"retry_after_ms":{ms},"is_attempt":false"#);
        report(1, false, &rest, "null")
    };
    let steps = trace_call(9, [rate_limited(2000), Event::Woke, answer(200)]);
    assert_eq!(steps[2], "sleep 2000");
    assert_eq!(steps[4], "call");
    assert!(
        steps[5].contains(r#""duration_ms":1000"#),
        "the sleep is not part of the call: {}",
        steps[5]
    );
    // A grace of 30 s, less 5 s for the report, less the second that passed.
    for (retry_after_ms, want) in [
        (0, "sleep 50"),
        (24_000, "sleep 24000"),
        (24_001, &given_back(24_001)),
    ] {
        assert_eq!(trace_call(9, [rate_limited(retry_after_ms)])[2], want);
    }
}

#[test]
fn an_event_that_does_not_fit_ends_the_lane() {
    assert_eq!(trace(9, [acknowledged(), Event::Start]), ["end", "end"]);
}

#[test]
fn a_database_that_repeats_itself_does_not_keep_the_lane() {
    let steps = trace_call(9, [answer(200), returned(true, next(1))]);
    let reason = "  next_is_not_new the database handed out a current job twice";
    assert_eq!(steps[4..], ["end", reason]);
}

/// How long the lane repeats its request to a database that is unavailable, in milliseconds.
fn repeats_for(lane: &mut Lane, run: &mut Run, start: Timestamp) -> u64 {
    let (mut now, mut event) = (start, unavailable());
    loop {
        match lane.next(event, run, now, 0) {
            Action::Fetch(request) => {
                assert!(is_rpc(&request), "called {}", request.url);
                event = unavailable();
            }
            Action::Sleep { ms } => {
                now = now.plus(ms);
                event = Event::Woke;
            }
            Action::End => return now.since(start),
        }
    }
}

#[test]
fn a_request_is_repeated_until_the_lease_ends() {
    let lease_ends = |ms, lease_ms| {
        assert!(
            (lease_ms - 50..lease_ms).contains(&ms),
            "repeated for {ms} ms of a lease of {lease_ms} ms"
        );
    };
    let mut run = run(9);
    let mut start = |lease_ms| {
        let mut lane = lane_of(&record(1, START, lease_ms));
        lane.next(Event::Start, &mut run, START, 0);
        lane
    };
    let (mut acknowledging, mut reporting, mut at_the_next) = (start(4000), start(4000), start(1));
    lease_ends(repeats_for(&mut acknowledging, &mut run, START), 4000);

    let leased = response(200, r#"{"accepted":true,"lease_ms":71000}"#);
    reporting.next(leased, &mut run, START, 0);
    reporting.next(answer(200), &mut run, START, 0);
    lease_ends(repeats_for(&mut reporting, &mut run, START), 71_000);

    let later = START.plus(33_000);
    at_the_next.next(acknowledged(), &mut run, START, 0);
    at_the_next.next(answer(200), &mut run, START, 0);
    let next = returned(true, Some(record(2, START, 64_000)));
    at_the_next.next(next, &mut run, later, 0);
    at_the_next.next(answer(200), &mut run, later, 0);
    lease_ends(repeats_for(&mut at_the_next, &mut run, later), 64_000);
}

/// What the database stores about a current job.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Row {
    Dispatched,
    Started,
    Settled { report: String, next: Option<u32> },
}

/// A database, a target and a network that follow `script`, over and over.
struct World {
    script: Vec<u8>,
    at: usize,
    now: Timestamp,
    rows: HashMap<String, Row>,
    jobs: u32,
    calls: HashMap<String, u32>,
    /// Current jobs that no longer belong to the lane.
    lost: Vec<String>,
}

impl World {
    fn chance(&mut self) -> u8 {
        self.at += 1;
        self.script[self.at % self.script.len()]
    }

    /// What comes of a call of `end_current_job`. Its answer can be lost though it arrived.
    fn rpc(&mut self, arguments: &Value) -> Event {
        let id = arguments["cur_job_id"].as_str().unwrap().to_owned();
        let is_report = arguments["_is_complete"] == true;
        let chance = self.chance();
        self.now = self.now.plus(u64::from(chance % 50));
        match chance % 16 {
            10 | 11 => return unavailable(),
            12 => {
                return Event::Fetched(Ok(Response {
                    status: 429,
                    retry_after: Some("3".into()),
                    ..Response::default()
                }));
            }
            13 => {
                // Reclaimed by a tick, or deleted.
                self.rows.remove(&id);
            }
            14 => return missing(),
            15 => return rejected(),
            _ => {}
        }
        let is_lost = (6..10).contains(&(chance % 16));
        let next = |n| record(n, self.now, LEASE_MS);
        let answer = match self.rows.get(&id).cloned() {
            None => {
                self.lost.push(id);
                returned(false, None)
            }
            Some(Row::Settled { .. }) if !is_report => panic!("acknowledged after the report"),
            Some(_) if !is_report => {
                self.rows.insert(id, Row::Started);
                acknowledged()
            }
            Some(Row::Dispatched) => panic!("reported before the acknowledgement was accepted"),
            Some(Row::Started) => {
                let wants_next = arguments["_next_within_ms"].is_u64();
                let new = wants_next.then(|| {
                    self.jobs += 1;
                    self.rows.insert(key(self.jobs), Row::Started);
                    self.jobs
                });
                let report = arguments["_report"].to_string();
                self.rows.insert(id, Row::Settled { report, next: new });
                returned(true, new.map(next))
            }
            Some(Row::Settled { next: same, .. }) => returned(true, same.map(next)),
        };
        if is_lost { unavailable() } else { answer }
    }

    fn call(&mut self, id: String) -> Event {
        assert_eq!(
            self.rows.get(&id),
            Some(&Row::Started),
            "called {id}, which is not acknowledged"
        );
        let chance = self.chance();
        self.now = self.now.plus(u64::from(chance) * 100);
        if chance.is_multiple_of(8) {
            return rate_limited(u64::from(chance) * 300);
        }
        *self.calls.entry(id).or_default() += 1;
        match chance % 8 {
            1 => Event::Fetched(Err(Failure::TimedOut)),
            2 => Event::Fetched(Err(Failure::Network("reset".into()))),
            3 => answer(503),
            4 => answer(404),
            _ => answer(200),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_lane_keeps_its_promises(
        script in prop::collection::vec(any::<u8>(), 1..60),
        random in prop::collection::vec(any::<u64>(), 1..10),
        budget in 0u32..30,
        stops_after_ms in prop::option::of(0u64..200_000),
    ) {
        let mut world = World {
            script,
            at: 0,
            now: START,
            rows: HashMap::from([(key(1), Row::Dispatched)]),
            jobs: 1,
            calls: HashMap::new(),
            lost: Vec::new(),
        };
        let (mut lane, mut run, mut event) = (lane(), run(budget), Event::Start);
        let mut first_reports: HashMap<String, Value> = HashMap::new();
        let mut gave_up = false;
        let mut steps = 0;
        loop {
            steps += 1;
            prop_assert!(steps < 100_000, "the lane does not end");
            let is_stopped = stops_after_ms.is_some_and(|ms| world.now >= START.plus(ms));
            if is_stopped {
                run.stop();
            }
            let action = lane.next(event, &mut run, world.now, random[steps % random.len()]);
            let log = run.take_log();
            gave_up |= log.iter().any(|entry| entry.level == Level::Error && entry.event != "end_current_job_missing");
            event = match action {
                Action::Fetch(request) if is_rpc(&request) => {
                    let arguments: Value = serde_json::from_str(&request.body).unwrap();
                    if arguments["_is_complete"] == true {
                        let mut report = arguments["_report"].clone();
                        report["result"] = Value::Null;
                        report["error"] = Value::Null;
                        let first = first_reports.entry(arguments["cur_job_id"].to_string()).or_insert_with(|| report.clone());
                        prop_assert_eq!(first, &report, "a repeated report differs from the first one");
                        prop_assert!(!is_stopped || arguments["_next_within_ms"].is_null(), "asked for more though the isolate is ending");
                    }
                    world.rpc(&arguments)
                }
                Action::Fetch(_) => world.call(lane.assignment.current_job.id.0.to_string()),
                Action::Sleep { ms } => {
                    prop_assert!(ms > 0, "a sleep that does not move the clock");
                    world.now = world.now.plus(ms);
                    Event::Woke
                }
                Action::End => break,
            };
        }
        prop_assert!(world.jobs <= 1 + budget, "{} jobs with a budget of {budget} more", world.jobs);
        for (id, row) in &world.rows {
            let calls = world.calls.get(id).copied().unwrap_or_default();
            prop_assert!(calls <= 1, "{id} was called {calls} times");
            if let Row::Settled { report, .. } = row {
                let expected = u32::from(!report.contains(r#""is_attempt":false"#));
                prop_assert!(!world.lost.contains(id), "{id} was reported though it is gone");
                prop_assert_eq!(calls, expected, "the report of {} does not match its calls: {}", id, report);
            } else if calls == 1 {
                // Only the last job of a lane can be left unreported.
                let is_last = *id == lane.assignment.current_job.id.0.to_string();
                prop_assert!(is_last && gave_up, "{id} was called and never reported");
            }
        }
    }
}
