//! Tests of the tests: each check fails on an engine that was broken on purpose.

use supaqueue_tests::protocol::{NONE, RUN, current_job, succeed};
use supaqueue_tests::{Db, break_function};

use crate::adoption::a_replaced_worker_adopts_the_call_being_acknowledged;
use crate::by_hand::{
    BY_HAND, a_call_settled_by_hand_keeps_its_worker_until_the_report,
    a_report_does_not_undo_what_was_settled_by_hand,
};
use crate::deletion::{a_cancelled_job_stays_cancelled, calls_stay_below_the_number_of_workers};
use crate::keys::{
    RETRIED, a_changed_holder_is_started, a_holder_that_starts_meanwhile_is_kept,
    a_holder_that_was_kept_is_not_locked, a_retry_beside_a_new_holder_does_not_fail,
};
use crate::lease::{
    a_late_dispatch_starts_nothing, a_late_report_is_refused,
    a_pulse_during_the_end_of_its_run_is_refused, a_renewed_run_goes_on,
    an_acknowledged_call_is_not_taken_back,
};
use crate::prefetch::{
    a_held_call_given_back_leaves_the_worker_to_the_begun_one,
    a_lost_run_costs_its_held_call_no_attempt, a_worker_is_freed_by_whoever_has_both_calls,
    the_last_of_two_calls_frees_the_worker,
};
use crate::pulse::{
    a_claim_and_a_new_job_use_each_worker_once, a_repeated_pulse_gets_the_same_calls,
    a_replaced_worker_adopts_the_claimed_call, a_report_and_a_pulse_tell_each_call_once,
    an_overtaken_pulse_changes_nothing,
};
use crate::report::{a_concurrently_repeated_report_gets_one_answer, one_run_gets_the_call};
use crate::transactions::{FREE_WORKERS, NEW_JOBS, one_busy_worker};
use crate::upgrade::an_upgrade_lets_open_transactions_finish;
use crate::wake_up::{a_report_finds_a_younger_job, no_wake_up_is_lost};

/// A database with a broken function.
async fn db_with_broken(function: &str, from: &str, to: &str) -> Db {
    let db = Db::new().await;
    break_function(db.client(), function, from, to).await;
    db
}

/// Disables the lock of the queues.
pub(crate) async fn without_locks(db: &Db) {
    for lock in [
        "pg_advisory_xact_lock(key)",
        "pg_advisory_xact_lock_shared(key)",
    ] {
        break_function(
            db.client(),
            "lock_queues",
            &format!("perform {lock}"),
            "perform 1",
        )
        .await;
    }
}

#[tokio::test]
async fn without_the_queues_lock_wake_ups_are_lost_in_both_orders() {
    let db = Db::new().await;
    without_locks(&db).await;
    for worker in &FREE_WORKERS[..2] {
        let found = no_wake_up_is_lost(&db, &NEW_JOBS[..1], &[*worker])
            .await
            .unwrap_err();
        assert_eq!(found.lines().count(), 2, "one for each order:\n{found}");
    }
}

#[tokio::test]
async fn with_now_instead_of_clock_timestamp_a_report_misses_a_younger_job() {
    let db = db_with_broken("next_jobs", "clock_timestamp()", "now()").await;
    a_report_finds_a_younger_job(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_the_check_of_its_state_two_runs_get_a_call() {
    let db = db_with_broken("lock_sent_calls", "and c.state = 'sent'", "").await;
    one_run_gets_the_call(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_the_previous_call_a_repeated_report_gets_another_answer() {
    let db = db_with_broken("handed_out", "c.previous = _previous", "false").await;
    a_concurrently_repeated_report_gets_one_answer(&db, 3)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_adoption_new_workers_start_too_many_calls() {
    let waits = "continue when exists";
    let db = db_with_broken("start_jobs", waits, "continue when false and exists").await;
    calls_stay_below_the_number_of_workers(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_wait_for_adoption_a_new_worker_starts_a_job_beside_the_call() {
    let db = db_with_broken("adopt_calls", "return exists", "return false and exists").await;
    a_replaced_worker_adopts_the_call_being_acknowledged(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_its_number_a_repeated_pulse_claims_again() {
    for (number, from, to) in [
        (
            1,
            "on conflict do nothing",
            "on conflict (id) do update set number = 1",
        ),
        (2, "r.number < _number", "r.number <= _number"),
    ] {
        let db = db_with_broken("renew_run", from, to).await;
        a_repeated_pulse_gets_the_same_calls(&db, number)
            .await
            .unwrap_err();
    }
}

#[tokio::test]
async fn without_its_number_an_overtaken_pulse_claims() {
    let db = db_with_broken("renew_run", "r.number < _number and", "").await;
    an_overtaken_pulse_changes_nothing(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_their_lock_a_worker_is_claimed_twice() {
    let db = db_with_broken("lock_workers", "for no key update skip locked", "").await;
    a_claim_and_a_new_job_use_each_worker_once(&db, 1, NEW_JOBS[0])
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_number_of_its_claim_a_call_is_told_twice() {
    let db = db_with_broken("claimed", "and c.claimed_in = _number", "").await;
    a_report_and_a_pulse_tell_each_call_once(&db, true)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_adoption_a_replaced_worker_starts_a_job_beside_the_claimed_one() {
    let waits = "continue when exists";
    let db = db_with_broken("start_jobs", waits, "continue when false and exists").await;
    a_replaced_worker_adopts_the_claimed_call(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_end_of_its_run_a_late_report_is_settled() {
    for is_taken_back in [true, false] {
        let db = db_with_broken("is_alive", "and not r.is_over", "").await;
        a_late_report_is_refused(&db, is_taken_back)
            .await
            .unwrap_err();
    }
}

#[tokio::test]
async fn without_the_end_of_its_run_a_late_pulse_revives_it() {
    let db = db_with_broken("renew_run", "and not r.is_over", "").await;
    a_pulse_during_the_end_of_its_run_is_refused(&db, "commit")
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_its_lock_a_run_ends_while_it_is_renewed() {
    let db = db_with_broken("end_runs", "for no key update skip locked", "").await;
    a_renewed_run_goes_on(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_a_second_look_a_call_acknowledged_meanwhile_is_taken_back() {
    let looks = "or not coalesce(";
    let db = db_with_broken("recover", looks, "or false and not coalesce(").await;
    an_acknowledged_call_is_not_taken_back(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_a_new_id_a_late_dispatch_starts_the_call() {
    let db = db_with_broken("take_back", "id = supaqueue.new_id(), ", "").await;
    a_late_dispatch_starts_nothing(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_the_check_of_its_status_a_report_undoes_a_cancellation() {
    let db = db_with_broken("settle_job", "locked.status <> 'in_progress'", "false").await;
    db.run(&one_busy_worker("q")).await;
    let report = succeed(&current_job(&db).await, RUN, NONE);
    a_cancelled_job_stays_cancelled(&db, &report)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_run_a_call_settled_by_hand_frees_its_worker_at_once() {
    let db = db_with_broken("settle_by_hand", "call.run is not null", "false").await;
    a_call_settled_by_hand_keeps_its_worker_until_the_report(&db, BY_HAND[0])
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_mark_a_report_undoes_what_was_settled_by_hand() {
    let db = db_with_broken("report", "if call.is_complete then", "if false then").await;
    a_report_does_not_undo_what_was_settled_by_hand(&db, BY_HAND[0], false, NONE)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_a_look_at_its_other_call_a_worker_is_freed_too_early() {
    let looks = "where not supaqueue.is_call(call.held) and not supaqueue.is_call(call.behind)";
    let db = db_with_broken("drop_call", looks, "").await;
    a_held_call_given_back_leaves_the_worker_to_the_begun_one(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_lock_of_the_held_call_nobody_frees_the_worker() {
    let locks = "other := (supaqueue.lock_call(call.held)).id";
    let db = db_with_broken("report", locks, "other := call.held").await;
    the_last_of_two_calls_frees_the_worker(&db, false)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_lock_of_the_begun_call_nobody_frees_the_worker() {
    let others = "unnest(array[one.held, one.behind])";
    let db = db_with_broken("lock_with_others", others, "null::uuid").await;
    a_worker_is_freed_by_whoever_has_both_calls(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_its_state_a_held_call_costs_an_attempt() {
    let db = db_with_broken("take_back", "call.state = 'held'", "false").await;
    a_lost_run_costs_its_held_call_no_attempt(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn an_upgrade_with_a_long_lock_timeout_deadlocks() {
    let db = db_with_broken("take_tables", "'200ms'", "'1min'").await;
    an_upgrade_lets_open_transactions_finish(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_event_of_a_change_a_holder_is_passed_over() {
    let looks = "and (new.key is null or new.status <> 'pending')";
    let db = db_with_broken("place_job_tg_fn", looks, "").await;
    a_changed_holder_is_started(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_a_second_look_a_holder_is_changed_after_its_start() {
    let looks = "or not supaqueue.is_unstarted(_job)";
    let db = db_with_broken("change_holder", looks, "").await;
    a_holder_that_starts_meanwhile_is_kept(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_a_rollback_a_kept_holder_stays_locked() {
    let releases = "raise exception 'release the lock' using errcode = 'SQ001'";
    let db = db_with_broken("change_holder", releases, "return false").await;
    a_holder_that_was_kept_is_not_locked(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_its_handler_a_retry_beside_a_new_holder_fails() {
    let handles = "when unique_violation then";
    let db = db_with_broken("take_key_again", handles, "when division_by_zero then").await;
    a_retry_beside_a_new_holder_does_not_fail(&db, "commit", RETRIED[0].1)
        .await
        .unwrap_err();
}
