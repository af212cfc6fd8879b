//! Tests of the test: on an engine broken on purpose, each rule is found broken.

use std::sync::Arc;
use std::time::Duration;

use supaqueue_chaos::{Fault, Plan, Rule, Scene, run};

use crate::scene::{break_function, seed, test};

/// The rules that a fault shows to be broken.
async fn found(scene: &Arc<Scene>, fault: Fault, patience: Duration) -> Vec<Rule> {
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

/// How often a fault may miss what is broken.
const ROUNDS: usize = 4;

/// Checks that a changed function is found out, by that rule at least.
fn check(change: [&str; 3], fault: Fault, patience_s: u64, rule: Rule) {
    test(async |scene| {
        break_function(scene, change).await;
        let mut rules = Vec::new();
        for _ in 0..ROUNDS {
            rules.extend(found(scene, fault, Duration::from_secs(patience_s)).await);
            if rules.contains(&rule) {
                return;
            }
        }
        panic!(
            "{rule:?} is not among what was found, with SUPAQUEUE_CHAOS_SEED={}: {rules:?}",
            seed()
        );
    });
}

/// Long enough for an engine that works otherwise.
const SETTLES: u64 = 60;
/// Longer than any lease: what is under way then is stuck.
const LEASES_END: u64 = 12;
/// What is looked for has happened by then, and it never settles.
const NEVER_SETTLES: u64 = 2;

#[test]
fn without_the_fence_a_repeated_dispatch_is_found_to_run() {
    check(
        ["acknowledge", "call.acknowledged_at is not null", "false"],
        Fault::DispatchRepeated,
        NEVER_SETTLES,
        Rule::OncePerAttempt,
    );
}

#[test]
fn without_the_acknowledgement_a_call_is_found_to_run_twice() {
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
fn without_the_lease_jobs_are_found_stuck() {
    check(
        ["reclaim", "c.lease_until < at and", "false and"],
        Fault::FunctionKilled,
        LEASES_END,
        Rule::NoneStuck,
    );
}

#[test]
fn without_the_workers_lock_calls_are_found_above_their_number() {
    check(
        ["start_jobs", "set locked = true", "set locked = w.locked"],
        Fault::None,
        NEVER_SETTLES,
        Rule::WithinWorkers,
    );
}

#[test]
fn a_failure_reported_as_success_is_found() {
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
fn a_failed_attempt_that_is_not_recorded_is_found() {
    check(
        ["settle_job", "j.errors || error", "j.errors"],
        Fault::None,
        SETTLES,
        Rule::RepetitionsAreExplained,
    );
}

#[test]
fn a_job_that_is_deleted_is_found_lost() {
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
fn a_wrong_count_is_found() {
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
fn a_pipeline_out_of_order_is_found() {
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
