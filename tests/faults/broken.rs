//! Tests of the tests: each rule detects an engine that is broken on purpose.

use std::sync::Arc;
use std::time::Duration;

use supaqueue_chaos::{Fault, Plan, Rule, Scene, run};

use crate::scene::{break_function, seed, test};

/// The rules that are violated under a fault.
async fn violated(scene: &Arc<Scene>, fault: Fault, patience: Duration) -> Vec<Rule> {
    let plan = Plan {
        faults: vec![fault],
        time: Duration::from_millis(2500),
        patience,
    };
    let report = run(scene, &plan)
        .await
        .unwrap_or_else(|error| panic!("{error}, with SUPAQUEUE_CHAOS_SEED={}", seed()));
    println!("{report}");
    report
        .violations
        .iter()
        .map(|violation| violation.rule)
        .collect()
}

/// How many times a fault is injected until the violation shows.
const ROUNDS: usize = 4;

/// Checks that a changed function violates at least this rule.
fn check(change: [&str; 3], fault: Fault, patience_s: u64, rule: Rule) {
    test(async |scene| {
        break_function(scene, change).await;
        let mut rules = Vec::new();
        for _ in 0..ROUNDS {
            rules.extend(violated(scene, fault, Duration::from_secs(patience_s)).await);
            if rules.contains(&rule) {
                return;
            }
        }
        panic!(
            "{rule:?} is not among the violated rules, with SUPAQUEUE_CHAOS_SEED={}: {rules:?}",
            seed()
        );
    });
}

/// For an engine that otherwise works, so that all jobs finish.
const SETTLES: u64 = 60;
/// Longer than any lease, so that jobs still under way are stuck.
const LEASES_END: u64 = 12;
/// For an engine that never settles; by then the violation has occurred.
const NEVER_SETTLES: u64 = 2;

#[test]
fn a_repeated_dispatch_that_runs_is_detected() {
    check(
        ["acknowledge", "call.acknowledged_at is not null", "false"],
        Fault::DispatchRepeated,
        NEVER_SETTLES,
        Rule::OncePerAttempt,
    );
}

#[test]
fn a_call_that_runs_twice_without_acknowledgement_is_detected() {
    check(
        [
            "acknowledge",
            "set acknowledged_at = clock_timestamp(), lane = _lane,\n    lease_until = clock_timestamp() + supaqueue.ms(_lease_ms)",
            "set lane = _lane",
        ],
        Fault::TargetHangs,
        NEVER_SETTLES,
        Rule::OncePerAttempt,
    );
}

#[test]
fn jobs_stuck_without_leases_are_detected() {
    check(
        ["reclaim", "c.lease_until < at and", "false and"],
        Fault::FunctionKilled,
        LEASES_END,
        Rule::NoneStuck,
    );
}

#[test]
fn more_calls_than_workers_are_detected() {
    check(
        ["start_jobs", "set locked = true", "set locked = w.locked"],
        Fault::None,
        NEVER_SETTLES,
        Rule::WithinWorkers,
    );
}

#[test]
fn a_failure_stored_as_success_is_detected() {
    check(
        [
            "report",
            "settle_job(call.job, _is_successful,",
            "settle_job(call.job, true,",
        ],
        Fault::None,
        SETTLES,
        Rule::StatusIsTrue,
    );
}

#[test]
fn an_unrecorded_failed_attempt_is_detected() {
    check(
        ["settle_job", "j.errors || error", "j.errors"],
        Fault::None,
        SETTLES,
        Rule::RetriesAreExplained,
    );
}

#[test]
fn a_deleted_job_is_detected() {
    check(
        [
            "delete_finished_jobs",
            "f.finished_at < now() - kept.duration",
            "true",
        ],
        Fault::None,
        SETTLES,
        Rule::NoneLost,
    );
}

#[test]
fn a_wrong_counter_is_detected() {
    check(
        [
            "before_write_job_tg_fn",
            "coalesce(new.finished_at, clock_timestamp())",
            "null",
        ],
        Fault::None,
        SETTLES,
        Rule::CountsAreTrue,
    );
}

#[test]
fn a_job_called_before_its_dependencies_is_detected() {
    check(
        [
            "count_dependencies",
            "sum(c.sign * e.unfinished)::integer as unfinished",
            "0 as unfinished",
        ],
        Fault::None,
        NEVER_SETTLES,
        Rule::InOrder,
    );
}
