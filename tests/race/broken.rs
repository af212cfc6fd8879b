//! Tests of the tests: on an engine broken on purpose, each claim is found broken.

use supaqueue_tests::Db;

use crate::adoption::a_worker_is_replaced_during_an_acknowledgement;
use crate::change::{FREE_WORKERS, NEW_JOBS};
use crate::deletion::calls_stay_below_the_number_of_workers;
use crate::report::{a_report_repeated_at_once_has_one_answer, one_lane_has_the_call};
use crate::upgrade::an_upgrade_lets_transactions_go_on;
use crate::wake_up::{a_younger_job_is_due, no_wake_up_is_lost};

/// A database whose function has been changed; panics where the text to change is gone.
pub(crate) async fn broken(function: &str, from: &str, to: &str) -> Db {
    let db = Db::new().await;
    break_function(&db, function, from, to).await;
    db
}

/// Changes the text of a function.
pub(crate) async fn break_function(db: &Db, function: &str, from: &str, to: &str) {
    let sql = db
        .get(&format!(
            "select pg_get_functiondef('supaqueue.{function}'::regproc)"
        ))
        .await;
    assert!(
        sql.contains(from),
        "{function} no longer contains {from:?}: break it in another way"
    );
    db.run(&sql.replace(from, to)).await;
}

/// Takes the queues' lock away.
pub(crate) async fn without_locks(db: &Db) {
    for lock in [
        "pg_advisory_xact_lock(key)",
        "pg_advisory_xact_lock_shared(key)",
    ] {
        break_function(db, "lock_queues", &format!("perform {lock}"), "perform 1").await;
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
async fn with_now_for_the_clock_a_younger_job_is_not_due() {
    let db = broken("due_jobs", "clock_timestamp()", "now()").await;
    a_younger_job_is_due(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_the_check_two_lanes_have_a_call() {
    let db = broken("acknowledge", "call.acknowledged_at is not null", "false").await;
    one_lane_has_the_call(&db).await.unwrap_err();
}

#[tokio::test]
async fn without_the_previous_call_a_repeated_report_has_another_answer() {
    let db = broken("repeated_answer", "c.previous = _current_job", "false").await;
    a_report_repeated_at_once_has_one_answer(&db, 3)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_adoption_new_workers_start_more_calls_than_there_are_workers() {
    let db = broken(
        "has_calls_to_adopt",
        "and not exists",
        "and false and not exists",
    )
    .await;
    calls_stay_below_the_number_of_workers(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_the_wait_for_adoption_a_new_worker_starts_a_job_beside_the_call() {
    let db = broken("start_jobs", "or supaqueue.has_calls_to_adopt(_queue)", "").await;
    a_worker_is_replaced_during_an_acknowledgement(&db)
        .await
        .unwrap_err();
}

#[tokio::test]
async fn an_upgrade_that_waits_for_long_ends_in_a_deadlock() {
    let db = broken("take_tables", "'200ms'", "'1min'").await;
    an_upgrade_lets_transactions_go_on(&db).await.unwrap_err();
}
