//! Tests of the tests: each check fails on an engine that was broken on purpose.

use supaqueue_tests::{Db, break_function};

use crate::adoption::a_replaced_worker_adopts_the_call_being_acknowledged;
use crate::deletion::calls_stay_below_the_number_of_workers;
use crate::report::{a_concurrently_repeated_report_gets_one_answer, one_lane_gets_the_call};
use crate::transactions::{FREE_WORKERS, NEW_JOBS};
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
async fn without_the_check_two_lanes_get_a_call() {
    let db = db_with_broken("acknowledge", "call.acknowledged_at is not null", "false").await;
    one_lane_gets_the_call(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_the_previous_call_a_repeated_report_gets_another_answer() {
    let db = db_with_broken("repeated_answer", "c.previous = _current_job", "false").await;
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
async fn an_upgrade_with_a_long_lock_timeout_deadlocks() {
    let db = db_with_broken("take_tables", "'200ms'", "'1min'").await;
    an_upgrade_lets_open_transactions_finish(&db)
        .await
        .unwrap_err();
}
