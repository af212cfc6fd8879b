use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Facts, JobRow, Rule};
use crate::ledger::InsertedJob;
use crate::log::Call;

/// The time `ms` milliseconds after `start`.
fn at(start: Instant, ms: u64) -> Instant {
    start + Duration::from_millis(ms)
}

fn call(attempt: u32, status: u16, begun: Instant, ended: Instant) -> Call {
    Call {
        job: "a".into(),
        queue: "q".into(),
        attempt,
        begun,
        status: Some(status),
        ended: Some(ended),
        is_cut: false,
    }
}

fn inserted() -> InsertedJob {
    InsertedJob {
        fault: 0,
        is_committed: true,
        is_doomed: false,
        sources: Vec::new(),
    }
}

fn failed(attempt: u32, status: u16) -> Value {
    json!({"attempt": attempt, "status": status, "message": "status"})
}

/// A job that failed once and then succeeded, in a queue with one worker.
fn valid(start: Instant) -> Facts {
    let row = JobRow {
        status: "successful".into(),
        attempts: 2,
        max_attempts: 3,
        http_status: Some(200),
        result: json!({"attempt": 2}),
        errors: vec![failed(1, 500)],
        finished_at: None,
    };
    let calls = vec![
        call(1, 500, at(start, 0), at(start, 10)),
        call(2, 200, at(start, 20), at(start, 30)),
    ];
    Facts {
        inserted: [("a".to_owned(), inserted())].into(),
        rows: [("a".to_owned(), row)].into(),
        calls: [("a".to_owned(), calls)].into(),
        workers: [("q".to_owned(), 1)].into(),
        ..Facts::default()
    }
}

/// The rules that are broken after a change of valid facts.
fn broken(change: impl FnOnce(&mut Facts, Instant)) -> Vec<Rule> {
    let start = Instant::now();
    let mut facts = valid(start);
    change(&mut facts, start);
    let mut rules: Vec<_> = facts.violations().iter().map(|found| found.rule).collect();
    rules.dedup();
    rules
}

fn row(facts: &mut Facts) -> &mut JobRow {
    facts.rows.get_mut("a").unwrap()
}

fn calls(facts: &mut Facts) -> &mut Vec<Call> {
    facts.calls.get_mut("a").unwrap()
}

#[test]
fn valid_facts_break_no_rule() {
    assert_eq!(broken(|_, _| {}), []);
    let unacknowledged = json!({"attempt": 1, "message": "not acknowledged by the supaqueue function, sent 2 times"});
    let lost = json!({"attempt": 1, "message": "lost: the call was not reported"});
    assert_eq!(
        broken(|facts, _| {
            row(facts).errors = vec![unacknowledged, lost];
            calls(facts)[0].status = Some(200);
        }),
        [],
        "the target may have answered a lost attempt with success"
    );
    assert_eq!(
        broken(|facts, _| {
            facts.inserted.get_mut("a").unwrap().is_committed = false;
            facts.rows.clear();
            facts.calls.clear();
        }),
        [],
        "a job whose commit was not confirmed may be missing"
    );
}

#[test]
fn each_inconsistency_breaks_its_rule() {
    let check = |what, change: fn(&mut Facts, Instant), rule| {
        assert_eq!(broken(change), [rule], "{what}");
    };
    check(
        "a row is missing",
        |f, _| {
            f.rows.clear();
            f.calls.clear();
        },
        Rule::NoneLost,
    );
    check(
        "a row was never inserted",
        |f, _| f.inserted.clear(),
        Rule::NoneLost,
    );
    check(
        "an insert failed",
        |f, _| f.refused.push("deadlock".into()),
        Rule::NoneRefused,
    );
    check(
        "a worker is locked",
        |f, _| f.left.push("locked".into()),
        Rule::NoneStuck,
    );
    check(
        "a job is unfinished",
        |f, _| row(f).status = "pending".into(),
        Rule::NoneStuck,
    );
    check(
        "a counter is wrong",
        |f, _| f.wrong_counts.push("2".into()),
        Rule::CountsAreTrue,
    );
    check(
        "the row has another status than the call",
        |f, _| row(f).http_status = Some(204),
        Rule::StatusIsTrue,
    );
    check(
        "an error records another status than the call",
        |f, _| row(f).errors = vec![failed(1, 429)],
        Rule::StatusIsTrue,
    );
    check(
        "a job is successful after a failed call",
        |f, _| calls(f)[1].status = Some(500),
        Rule::StatusIsTrue,
    );
    check(
        "a job is successful without a call",
        |f, _| drop(calls(f).pop()),
        Rule::StatusIsTrue,
    );
    check(
        "the result is of another attempt",
        |f, _| row(f).result = json!({"attempt": 1}),
        Rule::StatusIsTrue,
    );
    check(
        "a doomed job is successful",
        |f, _| f.inserted.get_mut("a").unwrap().is_doomed = true,
        Rule::StatusIsTrue,
    );
    check(
        "an attempt is not recorded",
        |f, _| row(f).errors.clear(),
        Rule::RetriesAreExplained,
    );
    check(
        "an attempt has two calls",
        |f, s| {
            let again = call(2, 200, at(s, 40), at(s, 50));
            calls(f).push(again);
        },
        Rule::OncePerAttempt,
    );
    check(
        "two calls overlap",
        |f, s| calls(f)[0].ended = Some(at(s, 25)),
        Rule::WithinWorkers,
    );
    check(
        "a job is called before its dependency has succeeded",
        |f, _| f.inserted.get_mut("a").unwrap().sources.push("b".into()),
        Rule::InOrder,
    );
}

#[test]
fn a_job_must_not_fail_before_using_all_its_attempts() {
    let end_as_failed = |facts: &mut Facts| {
        row(facts).status = "failed".into();
        row(facts).errors.push(failed(2, 500));
        calls(facts)[1].status = Some(500);
    };
    assert_eq!(
        broken(|facts, _| end_as_failed(facts)),
        [Rule::StatusIsTrue]
    );
    assert_eq!(
        broken(|facts, _| {
            end_as_failed(facts);
            row(facts).max_attempts = 2;
        }),
        []
    );
}

#[test]
fn a_target_may_notice_late_that_a_call_was_cut_off() {
    let cut = |facts: &mut Facts, start| {
        calls(facts)[0].ended = Some(at(start, 500));
        calls(facts)[0].is_cut = true;
        calls(facts)[0].status = None;
        row(facts).errors = vec![json!({"attempt": 1, "message": "network error"})];
    };
    assert_eq!(broken(cut), []);
    assert_eq!(
        broken(|facts, start| {
            cut(facts, start);
            calls(facts)[0].ended = Some(at(start, 1500));
        }),
        [Rule::WithinWorkers]
    );
}
