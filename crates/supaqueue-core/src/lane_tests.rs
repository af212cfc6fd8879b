//! The lane against a simulated database and target, in simulated time.

use std::collections::HashMap;

use super::telling::{DISPATCH_LEASE_MS, LEASE_GRACE_MS};
use super::*;
use crate::json;
use crate::outcome::TargetAnswer;
use crate::protocol::{Answer, Report};
use proptest::prelude::*;

const START: Timestamp = Timestamp::from_ms(1_795_417_959_000);
const TIMEOUT_MS: u64 = 60_000;
const LEASE_MS: u64 = TIMEOUT_MS + LEASE_GRACE_MS;

/// The `n`th current job, as the database hands it out at `now`.
fn assignment(n: u32, now: Timestamp) -> Assignment {
    let until = now.plus(LEASE_MS);
    json::from_str(&format!(
        r#"{{"current_job":{{"id":"00000000-0000-4000-8000-{n:012}","created_at":"{START}","acknowledged_at":"{now}","lease_until":"{until}"}},
        "job":{{"id":"00000000-0000-4000-9000-{n:012}","payload":{n},"attempts":1}},
        "queue":{{"name":"q","edge_function_name":"f","timeout_ms":{TIMEOUT_MS},"auth":"none","final_statuses":[404]}}}}"#
    ))
    .unwrap()
}

/// As it comes with a dispatch, whose lease is shorter.
fn dispatched() -> Assignment {
    let mut first = assignment(1, START);
    first.current_job.lease_until = Some(START.plus(DISPATCH_LEASE_MS).to_string());
    first
}

fn run(jobs: u32) -> Run {
    Run {
        budget: Budget::new(START, 140_000, jobs, 1),
        is_missing_logged: false,
    }
}

fn lane() -> Lane {
    Lane::new(LaneId::from_random([1; 16]), dispatched())
}

fn said(accepted: bool, next: Option<Assignment>) -> Event {
    Event::Answered(DatabaseAnswer::Said(Answer {
        accepted,
        reason: None,
        lease_ms: None,
        next: next.map(Box::new),
    }))
}

fn try_again() -> Event {
    Event::Answered(DatabaseAnswer::TryAgain {
        reason: "status 503".into(),
        after_ms: None,
    })
}

fn answered(status: u16) -> Event {
    let body = br#"{"a":1}"#.to_vec();
    Event::CallEnded(CallEnd::Answered(TargetAnswer {
        status,
        body,
        ..TargetAnswer::default()
    }))
}

/// Steps through `events`, one per second, and writes down what the lane does and says.
fn trace(jobs: u32, events: Vec<Event>) -> Vec<String> {
    let (mut lane, mut run) = (lane(), run(jobs));
    let mut steps = Vec::new();
    for (i, event) in events.into_iter().enumerate() {
        let now = START.plus(i as u64 * 1000);
        let action = lane.next(
            event,
            Moment {
                now,
                random: u64::MAX,
                run: &mut run,
            },
        );
        let said = lane
            .arguments()
            .filter(|_| action == Action::Tell)
            .map(|arguments| {
                arguments
                    .json()
                    .replace("00000000-0000-4000-8000-00000000000", "")
            });
        steps.push(
            format!("{action:?} {}", said.unwrap_or_default())
                .trim_end()
                .to_owned(),
        );
        for entry in lane.take_log() {
            steps.push(
                format!("  {} {}", entry.event, entry.message.unwrap_or_default())
                    .trim_end()
                    .to_owned(),
            );
        }
    }
    steps
}

const ACKNOWLEDGE: &str = r#"Tell {"cur_job_id":"1","_is_complete":false,"_is_successful":false,"_report":{"lane":"01010101-0101-4101-8101-010101010101"},"_next_within_ms":null}"#;

fn report(n: u32, is_successful: bool, rest: &str, next: &str) -> String {
    format!(
        r#"Tell {{"cur_job_id":"{n}","_is_complete":true,"_is_successful":{is_successful},"_report":{{"lane":"01010101-0101-4101-8101-010101010101",{rest}}},"_next_within_ms":{next}}}"#
    )
}

#[test]
fn a_lane_goes_from_job_to_job_until_none_is_left() {
    let steps = trace(
        9,
        vec![
            Event::Begin,
            said(true, None),
            answered(200),
            said(true, Some(assignment(2, START))),
            answered(500),
            said(true, None),
            Event::Woke,
        ],
    );
    let want = [
        ACKNOWLEDGE,
        "Call",
        &report(
            1,
            true,
            r#""http_status":200,"duration_ms":1000,"result":{"a":1}"#,
            "133000",
        ),
        "  call_succeeded",
        "Call",
        &report(
            2,
            false,
            r#""http_status":500,"duration_ms":1000,"error":{"message":"status 500","body":"{\"a\":1}"}"#,
            "131000",
        ),
        "  call_failed status 500",
        "End",
        "  lane_ended",
        "End",
    ];
    assert_eq!(steps, want);
}

#[test]
fn a_refused_acknowledgement_calls_nobody() {
    assert_eq!(
        trace(9, vec![Event::Begin, said(false, None)]),
        [ACKNOWLEDGE, "End", "  acknowledgement_refused"]
    );
}

#[test]
fn a_lost_answer_is_asked_for_again_in_the_same_words() {
    let again = "  database_not_reached status 503; trying again in 249 ms";
    let steps = trace(
        9,
        vec![
            Event::Begin,
            try_again(),
            Event::Woke,
            said(true, None),
            answered(204),
            try_again(),
            Event::Woke,
        ],
    );
    let said = |next| {
        report(
            1,
            true,
            r#""http_status":204,"duration_ms":1000,"result":{"a":1}"#,
            next,
        )
    };
    let wait = "Wait { ms: 249 }";
    let want = [
        ACKNOWLEDGE,
        wait,
        again,
        ACKNOWLEDGE,
        "Call",
        &said("131000"),
        "  call_succeeded",
        wait,
        again,
        &said("129000"),
    ];
    assert_eq!(
        steps, want,
        "only the time that is left for a next job is another one"
    );
}

#[test]
fn a_lane_without_a_budget_asks_for_no_next_job() {
    let steps = trace(0, vec![Event::Begin, said(true, None), answered(200)]);
    assert_eq!(
        steps[2],
        report(
            1,
            true,
            r#""http_status":200,"duration_ms":1000,"result":{"a":1}"#,
            "null"
        )
    );
}

#[test]
fn a_next_job_that_comes_unasked_is_done_all_the_same() {
    // The answer to a report that was repeated after the budget ran out: the job is this lane's.
    let steps = trace(
        0,
        vec![
            Event::Begin,
            said(true, None),
            answered(200),
            said(true, Some(assignment(2, START))),
        ],
    );
    assert_eq!(steps.last().map(String::as_str), Some("Call"));
}

#[test]
fn a_rejected_report_is_repeated_once_without_the_targets_answer() {
    let rejected = || Event::Answered(DatabaseAnswer::Rejected("status 400 22P05".into()));
    let steps = trace(
        9,
        vec![
            Event::Begin,
            said(true, None),
            answered(200),
            rejected(),
            rejected(),
        ],
    );
    let want = [
        "  report_rejected status 400 22P05; trying without the target's answer",
        "End",
        "  report_rejected status 400 22P05",
    ];
    assert_eq!(
        steps[4],
        report(
            1,
            true,
            r#""http_status":200,"duration_ms":1000,"result":{"incomplete":"the database refused it: status 400 22P05"}"#,
            "132000"
        )
    );
    assert_eq!(steps[5..], want);

    let steps = trace(
        9,
        vec![Event::Begin, said(true, None), answered(500), rejected()],
    );
    let bare = r#""http_status":500,"duration_ms":1000,"error":{"message":"status 500"}"#;
    assert_eq!(steps[4], report(1, false, bare, "132000"));
}

#[test]
fn a_missing_end_current_job_is_logged_once_for_all_lanes() {
    let mut run = run(9);
    let mut logged = Vec::new();
    for _ in 0..3 {
        let mut lane = lane();
        let mut next = |event| {
            let action = lane.next(
                event,
                Moment {
                    now: START,
                    random: 0,
                    run: &mut run,
                },
            );
            (action, lane.take_log())
        };
        next(Event::Begin);
        let (action, log) = next(Event::Answered(DatabaseAnswer::Missing));
        assert_eq!(
            action,
            Action::End,
            "an acknowledgement is not repeated: no call was made"
        );
        logged.extend(log);
    }
    assert_eq!(
        logged.iter().map(|entry| entry.event).collect::<Vec<_>>(),
        ["end_current_job_missing"]
    );
}

#[test]
fn the_runtimes_rate_limit_is_waited_for_or_handed_over() {
    let limited = |retry_after_ms| Event::CallEnded(CallEnd::RateLimited { retry_after_ms });
    let given_back = |ms: u64| {
        let error = r#""error":{"message":"the runtime's limit of calls from function to function was reached"}"#;
        report(
            1,
            false,
            &format!(r#"{error},"retry_after_ms":{ms},"is_attempt":false"#),
            "null",
        )
    };
    // 30 s of grace, less 5 s for the report.
    let steps = trace(
        9,
        vec![
            Event::Begin,
            said(true, None),
            limited(2000),
            Event::Woke,
            answered(200),
        ],
    );
    assert_eq!(steps[2], "Wait { ms: 2000 }");
    assert_eq!(steps[4], "Call");
    assert!(
        steps[5].contains(r#""duration_ms":1000"#),
        "a wait is no part of the call: {}",
        steps[5]
    );
    for (retry_after_ms, want) in [
        (0, "Wait { ms: 50 }"),
        (24_000, "Wait { ms: 24000 }"),
        (24_001, &given_back(24_001)),
    ] {
        assert_eq!(
            trace(
                9,
                vec![Event::Begin, said(true, None), limited(retry_after_ms)]
            )[2],
            want
        );
    }
}

#[test]
fn an_event_that_does_not_fit_ends_the_lane() {
    assert_eq!(
        trace(9, vec![said(true, None), Event::Begin]),
        ["End", "End"]
    );
}

#[test]
fn a_database_that_repeats_itself_does_not_keep_the_lane() {
    let steps = trace(
        9,
        vec![
            Event::Begin,
            said(true, None),
            answered(200),
            said(true, Some(assignment(1, START))),
        ],
    );
    assert_eq!(
        steps[4..],
        [
            "End",
            "  next_is_not_new the database handed out a current job twice"
        ]
    );
}

#[test]
fn telling_stops_when_the_lease_ends() {
    let mut lane = lane();
    let mut run = run(9);
    let (mut now, mut event) = (START, Event::Begin);
    loop {
        match lane.next(
            event,
            Moment {
                now,
                random: u64::MAX,
                run: &mut run,
            },
        ) {
            Action::Tell => {
                assert!(
                    now < START.plus(DISPATCH_LEASE_MS),
                    "told {} ms after the dispatch",
                    now.since(START)
                );
                event = try_again();
            }
            Action::Wait { ms } => {
                now = now.plus(ms);
                event = Event::Woke;
            }
            Action::End => break,
            Action::Call => panic!("called without an acknowledgement"),
        }
    }
    assert!(
        now > START.plus(5000),
        "gave up {} ms after the dispatch",
        now.since(START)
    );
}

/// What the database knows of a current job.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Row {
    Dispatched,
    Started,
    Settled { report: String, next: Option<u32> },
}

/// A database, a target and a network that do what `script` says, over and over.
struct World {
    script: Vec<u8>,
    at: usize,
    now: Timestamp,
    rows: HashMap<String, Row>,
    jobs: u32,
    calls: HashMap<String, u32>,
    may_not_report: Vec<String>,
}

impl World {
    fn chance(&mut self) -> u8 {
        self.at += 1;
        self.script[self.at % self.script.len()]
    }

    /// What the lane is answered. The database may have heard it and the answer be lost.
    fn hear(&mut self, lane: &Lane) -> Event {
        let arguments = lane.arguments().expect("the lane has something to tell");
        let id = arguments.cur_job_id.0.to_string();
        let chance = self.chance();
        self.now = self.now.plus(u64::from(chance % 50));
        match chance % 16 {
            10 | 11 => return try_again(),
            12 => {
                return Event::Answered(DatabaseAnswer::TryAgain {
                    reason: "429".into(),
                    after_ms: Some(3000),
                });
            }
            13 => {
                // The row is gone: taken back by a sweep, or deleted.
                self.rows.remove(&id);
            }
            14 => return Event::Answered(DatabaseAnswer::Missing),
            15 => return Event::Answered(DatabaseAnswer::Rejected("400".into())),
            _ => {}
        }
        let is_lost = (6..10).contains(&(chance % 16));
        let answer = match self.rows.get(&id).cloned() {
            None => {
                self.may_not_report.push(id);
                said(false, None)
            }
            Some(Row::Settled { .. }) if !arguments.is_complete => {
                panic!("acknowledged after the report")
            }
            Some(_) if !arguments.is_complete => {
                self.rows.insert(id, Row::Started);
                said(true, None)
            }
            Some(Row::Dispatched) => panic!("reported before the acknowledgement was accepted"),
            Some(Row::Started) => {
                let next = arguments.next_within_ms.map(|_| {
                    self.jobs += 1;
                    self.rows.insert(key(self.jobs), Row::Started);
                    self.jobs
                });
                let report = arguments.report.object().end();
                self.rows.insert(id, Row::Settled { report, next });
                said(true, next.map(|n| assignment(n, self.now)))
            }
            Some(Row::Settled { next, .. }) => said(true, next.map(|n| assignment(n, self.now))),
        };
        if is_lost { try_again() } else { answer }
    }

    fn call(&mut self, lane: &Lane) -> Event {
        let id = lane.assignment().current_job.id.0.to_string();
        assert_eq!(
            self.rows.get(&id),
            Some(&Row::Started),
            "called {id}, which is not acknowledged"
        );
        let chance = self.chance();
        self.now = self.now.plus(u64::from(chance) * 100);
        if chance.is_multiple_of(8) {
            return Event::CallEnded(CallEnd::RateLimited {
                retry_after_ms: u64::from(chance) * 300,
            });
        }
        *self.calls.entry(id).or_default() += 1;
        match chance % 8 {
            1 => Event::CallEnded(CallEnd::TimedOut),
            2 => Event::CallEnded(CallEnd::Network("reset".into())),
            3 => answered(503),
            4 => answered(404),
            _ => answered(200),
        }
    }
}

fn key(n: u32) -> String {
    assignment(n, START).current_job.id.0.to_string()
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
            may_not_report: Vec::new(),
        };
        let (mut lane, mut run, mut event) = (lane(), run(budget), Event::Begin);
        let mut first_words: HashMap<String, String> = HashMap::new();
        let mut gave_up = false;
        let mut steps = 0;
        loop {
            steps += 1;
            prop_assert!(steps < 100_000, "the lane does not end");
            if stops_after_ms.is_some_and(|ms| world.now >= START.plus(ms)) {
                run.budget.stop();
            }
            let moment = Moment { now: world.now, random: random[steps % random.len()], run: &mut run };
            let action = lane.next(event, moment);
            let log = lane.take_log();
            gave_up |= log.iter().any(|entry| entry.level == Level::Error && entry.event != "end_current_job_missing");
            event = match action {
                Action::Tell => {
                    let arguments = lane.arguments().unwrap();
                    if arguments.is_complete {
                        let id = arguments.cur_job_id.0.to_string();
                        let words = Report { result: None, error: None, ..arguments.report.clone() }.object().end();
                        let first = first_words.entry(id).or_insert_with(|| words.clone());
                        prop_assert_eq!(first, &words, "a report was repeated in other words");
                        let is_stopped = stops_after_ms.is_some_and(|ms| world.now >= START.plus(ms));
                        prop_assert!(!is_stopped || arguments.next_within_ms.is_none(), "asked for more after the end was announced");
                    }
                    world.hear(&lane)
                }
                Action::Call => world.call(&lane),
                Action::Wait { ms } => {
                    prop_assert!(ms > 0, "a wait that moves no clock");
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
                prop_assert!(!world.may_not_report.contains(id), "{id} was reported though it is gone");
                prop_assert_eq!(calls, expected, "what was reported of {} is not what was done: {}", id, report);
            } else if calls == 1 {
                // Only the last job of a lane can be left unreported.
                let is_last = *id == lane.assignment().current_job.id.0.to_string();
                prop_assert!(is_last && gave_up, "{id} was called and never reported");
            }
        }
    }
}
