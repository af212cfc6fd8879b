//! Tests of the tests: each rule detects an engine that is broken on purpose.

use std::time::Duration;

use supaqueue_chaos::{Fault, Plan, Rule};

use crate::scene::{break_function, carry_out, how_to_reproduce, test};

/// How many times a fault is injected until the violation shows.
const ROUNDS: usize = 4;

/// How many seconds to wait for the jobs under way, in an engine that violates a rule.
fn patience(rule: Rule) -> u64 {
    match rule {
        // It never settles; by then the violation has occurred.
        Rule::OncePerAttempt | Rule::WithinWorkers | Rule::InOrder => 2,
        // Longer than any lease, so that jobs still under way are stuck.
        Rule::NoneStuck => 25,
        // It otherwise works, so that all jobs finish.
        _ => 60,
    }
}

/// Checks that a changed function violates at least this rule.
fn check(change: [&str; 3], fault: Fault, rule: Rule) {
    test(async |scene| {
        break_function(scene, change).await;
        let plan = Plan {
            faults: vec![fault],
            time: Duration::from_millis(2500),
            patience: Duration::from_secs(patience(rule)),
        };
        let mut rules = Vec::new();
        for _ in 0..ROUNDS {
            let violations = carry_out(scene, &plan).await.violations;
            rules.extend(violations.iter().map(|violation| violation.rule));
            if rules.contains(&rule) {
                return;
            }
        }
        let again = how_to_reproduce(scene);
        panic!("{rule:?} is not among the violated rules: {rules:?}\n{again}");
    });
}

#[test]
fn a_repeated_dispatch_that_runs_is_detected() {
    let change = ["lock_sent_calls", "and c.state = 'sent'", ""];
    check(change, Fault::DispatchRepeated, Rule::OncePerAttempt);
}

#[test]
fn a_call_that_runs_twice_without_acknowledgement_is_detected() {
    let acknowledged = "set state = 'started', run = _run, claimed_in = _claimed_in, previous = _previous, lease_until = null";
    let change = ["begin_call", acknowledged, "set claimed_in = _claimed_in"];
    check(change, Fault::TargetHangs, Rule::OncePerAttempt);
}

#[test]
fn jobs_stuck_without_leases_are_detected() {
    let change = ["end_runs", "and o.lease_until < at for", "and false for"];
    check(change, Fault::FunctionKilled, Rule::NoneStuck);
}

#[test]
fn more_calls_than_workers_are_detected() {
    let change = [
        "start_jobs",
        "set_locked(free_workers, true)",
        "set_locked(free_workers, false)",
    ];
    check(change, Fault::None, Rule::WithinWorkers);
}

#[test]
fn a_failure_stored_as_success_is_detected() {
    let settled = "settle_job(call.job, _is_successful,";
    let change = ["report", settled, "settle_job(call.job, true,"];
    check(change, Fault::None, Rule::StatusIsTrue);
}

#[test]
fn an_unrecorded_failed_attempt_is_detected() {
    let change = ["add_error", "return entries", "return errors"];
    check(change, Fault::None, Rule::RetriesAreExplained);
}

#[test]
fn a_deleted_job_is_detected() {
    let is_old = "f.finished_at <= least(c.until, now() - kept.duration)";
    let change = ["jobs_to_delete", is_old, "true"];
    check(change, Fault::None, Rule::NoneLost);
}

#[test]
fn a_wrong_counter_is_detected() {
    let finished_at = "coalesce(new.finished_at, clock_timestamp())";
    let change = ["before_write_job_tg_fn", finished_at, "null"];
    check(change, Fault::None, Rule::CountsAreTrue);
}

#[test]
fn a_job_called_before_its_dependencies_is_detected() {
    let change = ["take_dependency_changes", "sum(c.sign * e.unfinished)", "0"];
    check(change, Fault::None, Rule::InOrder);
}
