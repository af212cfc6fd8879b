//! Workers, queues and jobs that are deleted, and jobs that are cancelled, under
//! a call: no user sees a deadlock, and nothing is left stuck.

use supaqueue_tests::Db;

use crate::change::one_busy_worker;
use crate::claim::{Claim, all_is_consistent, claim, nothing_is_lost};
use crate::lane::{ANY, Answer, LANE, NONE, OTHER_LANE, acknowledge, fail, succeed};
use crate::session::{Session, Started};

const DELETE_WORKER: &str = "delete from supaqueue.worker";
const DELETE_QUEUE: &str = "delete from supaqueue.queue";
const DELETE_JOB: &str = "delete from supaqueue.job where status = 'in_progress'";
const CANCEL_JOB: &str =
    "update supaqueue.job set status = 'cancelled' where status = 'in_progress'";

/// A queue with a call under way and two jobs more; gives the call as an SQL expression.
async fn call(db: &Db) -> String {
    db.run(&one_busy_worker("q")).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 2)")
        .await;
    format!("'{}'", db.get("select id from supaqueue.current_job").await)
}

/// Whoever meets a deletion may be asked to come again; then it is asked again.
async fn answer(db: &Db, report: Started, sql: &str) -> Answer {
    match report.end().await {
        Ok(text) => Answer::of(&text),
        Err(error) => {
            assert!(error.starts_with("55P03"), "a report failed: {error}");
            Answer::of(&db.get(sql).await)
        }
    }
}

/// The report comes while the change is not committed, which then ends as told.
async fn report_during(db: &Db, change: &str, end: &str, report: &str) -> Answer {
    let changer = Session::new(db).await;
    changer.run(&format!("begin; {change}")).await;
    let started = Session::new(db).await.start(report);
    let waits = started.waits(db).await;
    assert!(
        !(waits && change == DELETE_WORKER),
        "the report waits for the deletion of its worker"
    );
    changer.run(end).await;
    answer(db, started, report).await
}

/// The change comes while the report is not committed.
async fn change_during(db: &Db, report: &str, change: &str) -> Answer {
    let reporter = Session::new(db).await;
    reporter.run("begin").await;
    let answer = Answer::of(&reporter.get(report).await);
    let changer = Session::new(db).await.start(change);
    changer.waits(db).await;
    reporter.run("commit").await;
    changer.end().await.expect("the user's change succeeds");
    answer
}

/// The change waits for the current job already when the report goes on from it.
async fn change_inside(db: &Db, call: &str, change: &str, report: &str) -> Answer {
    let reporter = Session::new(db).await;
    let lock = format!("begin; select from supaqueue.current_job where id = {call} for update");
    reporter.run(&lock).await;
    let changer = Session::new(db).await.start(change);
    changer.waits(db).await;
    let first = reporter.ask(report).await;
    reporter
        .run(if first.is_ok() { "commit" } else { "rollback" })
        .await;
    changer.end().await.expect("the user's change succeeds");
    match first {
        Ok(text) => Answer::of(&text),
        Err(error) => {
            assert!(error.starts_with("55P03"), "a report failed: {error}");
            Answer::of(&db.get(report).await)
        }
    }
}

/// All is well, also after the tick.
async fn is_well(db: &Db) {
    assert_eq!(nothing_is_lost(db.client()).await, Ok(()));
    assert_eq!(all_is_consistent(db.client()).await, Ok(()));
    db.run("select supaqueue.tick()").await;
    assert_eq!(all_is_consistent(db.client()).await, Ok(()));
}

/// What a report may ask for.
const NEXTS: [&str; 2] = [ANY, NONE];

#[tokio::test]
async fn a_worker_deleted_before_the_report_lets_the_call_end_and_nothing_follow() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = call(&db).await;
        let report = succeed(&call, LANE, next);
        let answer = report_during(&db, DELETE_WORKER, "commit", &report).await;
        assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
        assert_eq!(
            db.get("select status from supaqueue.job order by position")
                .await,
            "successful\npending\npending"
        );
        is_well(&db).await;
        db.run("select supaqueue.set_workers('q', 1)").await;
        is_well(&db).await;
    }
}

#[tokio::test]
async fn a_deletion_of_a_worker_rolled_back_leaves_nothing_stuck() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = call(&db).await;
        let report = succeed(&call, LANE, next);
        let answer = report_during(&db, DELETE_WORKER, "rollback", &report).await;
        assert_eq!(answer.state, "settled");
        db.run("select supaqueue.tick()").await;
        assert_eq!(
            db.get("select status from supaqueue.job order by position")
                .await,
            "successful\nin_progress\npending"
        );
        is_well(&db).await;
    }
}

#[tokio::test]
async fn a_worker_can_be_deleted_while_a_report_is_under_way() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = call(&db).await;
        change_during(&db, &succeed(&call, LANE, next), DELETE_WORKER).await;
        assert_eq!(db.get("select count(*) from supaqueue.worker").await, "0");
        is_well(&db).await;

        let db = Db::new().await;
        let call = self::call(&db).await;
        let report = succeed(&call, LANE, next);
        let answer = change_inside(&db, &call, DELETE_WORKER, &report).await;
        assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
        is_well(&db).await;
    }
}

#[tokio::test]
async fn a_worker_deleted_between_report_and_next_report_ends_the_chain() {
    let db = Db::new().await;
    let call = call(&db).await;
    let next = change_during(&db, &succeed(&call, LANE, ANY), DELETE_WORKER)
        .await
        .next
        .unwrap();
    let report = succeed(&format!("'{}'", next.current_job), LANE, ANY);
    let answer = Answer::of(&db.get(&report).await);
    assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
    is_well(&db).await;
}

#[tokio::test]
async fn a_queue_deleted_before_the_report_leaves_nothing_behind() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = call(&db).await;
        let report = succeed(&call, LANE, next);
        let answer = report_during(&db, DELETE_QUEUE, "commit", &report).await;
        assert_eq!(answer.next, None);
        nothing_is_left(&db).await;
        assert_eq!(Answer::of(&db.get(&report).await).state, "refused");
    }
}

#[tokio::test]
async fn a_report_of_a_queue_that_is_not_deleted_after_all_is_settled() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = call(&db).await;
        let report = succeed(&call, LANE, next);
        let answer = report_during(&db, DELETE_QUEUE, "rollback", &report).await;
        assert_eq!(
            (answer.state.as_str(), answer.next.is_some()),
            ("settled", next == ANY)
        );
        is_well(&db).await;
    }
}

#[tokio::test]
async fn a_queue_can_be_deleted_while_a_report_is_under_way() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = call(&db).await;
        let answer = change_during(&db, &succeed(&call, LANE, next), DELETE_QUEUE).await;
        assert_eq!(answer.state, "settled");
        nothing_is_left(&db).await;

        let db = Db::new().await;
        let call = self::call(&db).await;
        change_inside(&db, &call, DELETE_QUEUE, &succeed(&call, LANE, next)).await;
        nothing_is_left(&db).await;
    }
}

#[tokio::test]
async fn a_queue_can_be_deleted_while_jobs_are_inserted() {
    let db = Db::new().await;
    call(&db).await;
    let insert = Session::new(&db).await;
    insert
        .run("begin; select supaqueue.enqueue('q'); set constraints all immediate")
        .await;
    let delete = Session::new(&db).await.start(DELETE_QUEUE);
    delete.waits(&db).await;
    insert.run("commit").await;
    delete.end().await.unwrap();
    nothing_is_left(&db).await;
}

/// Nothing of a deleted queue is left, at the latest when its calls' leases end.
async fn nothing_is_left(db: &Db) {
    leases_end(db).await;
    for table in ["queue", "worker", "job", "current_job", "queue_front"] {
        let rows = db
            .get(&format!("select count(*) from supaqueue.{table}"))
            .await;
        assert_eq!(rows, "0", "rows are left in {table}");
    }
}

#[tokio::test]
async fn a_job_deleted_before_the_report_lets_the_worker_go_on() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        let call = call(&db).await;
        let report = succeed(&call, LANE, ANY);
        let answer = report_during(&db, DELETE_JOB, end, &report).await;
        assert_eq!(
            (answer.state.as_str(), answer.next.is_some()),
            ("settled", true)
        );
        is_well(&db).await;
    }
}

#[tokio::test]
async fn a_job_can_be_deleted_while_its_report_is_under_way() {
    let delete =
        "delete from supaqueue.job where position = (select min(position) from supaqueue.job)";
    for report in [succeed, fail] {
        let db = Db::new().await;
        let call = call(&db).await;
        change_during(&db, &report(&call, LANE, ANY), delete).await;
        is_well(&db).await;

        let db = Db::new().await;
        let call = self::call(&db).await;
        let report = report(&call, LANE, ANY);
        let answer = change_inside(&db, &call, DELETE_JOB, &report).await;
        assert_eq!(
            (answer.state.as_str(), answer.next.is_some()),
            ("settled", true)
        );
        is_well(&db).await;
    }
}

/// Deletes under a call whose acknowledgement is not committed yet.
async fn delete_during_acknowledgement(db: &Db, delete: &str) -> String {
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let call = format!("'{}'", db.get("select id from supaqueue.current_job").await);
    db.run("select supaqueue.enqueue('q')").await;
    change_during(db, &acknowledge(&call, LANE), delete).await;
    call
}

/// The lanes never report.
async fn leases_end(db: &Db) {
    db.run("update supaqueue.current_job set lease_until = '-infinity'")
        .await;
    db.run("select supaqueue.tick()").await;
}

#[tokio::test]
async fn a_job_deleted_while_its_call_is_acknowledged_does_not_keep_the_worker_for_ever() {
    let db = Db::new().await;
    delete_during_acknowledgement(&db, DELETE_JOB).await;
    leases_end(&db).await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress"
    );
    is_well(&db).await;
}

#[tokio::test]
async fn a_queue_deleted_while_its_call_is_acknowledged_leaves_nothing_behind() {
    let db = Db::new().await;
    delete_during_acknowledgement(&db, DELETE_QUEUE).await;
    nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_worker_deleted_while_its_call_is_acknowledged_is_replaced_by_one_that_takes_the_call_over()
 {
    let db = Db::new().await;
    let call = delete_during_acknowledgement(&db, DELETE_WORKER).await;
    db.run("select supaqueue.tick()").await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "1",
        "one worker makes one call at once"
    );
    let answer = Answer::of(&db.get(&succeed(&call, LANE, ANY)).await);
    assert_eq!(
        (answer.state.as_str(), answer.next.is_some()),
        ("settled", true)
    );
    is_well(&db).await;
}

/// A job that is cancelled while it is reported is cancelled in the end.
pub(crate) async fn cancelled_is_cancelled(db: &Db, report: &str) -> Claim {
    let answer = report_during(db, CANCEL_JOB, "commit", report).await;
    claim!(answer.state == "settled", "the report is {}", answer.state);
    let job = db
        .get("select status, attempts from supaqueue.job order by position limit 1")
        .await;
    claim!(job == "cancelled|1", "the job is {job}");
    Ok(())
}

#[tokio::test]
async fn a_job_cancelled_before_the_report_stays_cancelled() {
    for report in [succeed, fail] {
        for next in NEXTS {
            let db = Db::new().await;
            let call = call(&db).await;
            assert_eq!(
                cancelled_is_cancelled(&db, &report(&call, LANE, next)).await,
                Ok(())
            );
            is_well(&db).await;
        }
    }
}

#[tokio::test]
async fn a_job_cancelled_while_its_failure_is_reported_is_not_tried_again() {
    let db = Db::new().await;
    let call = call(&db).await;
    // Its next job is another one: the failed one waits for its backoff.
    db.run("update supaqueue.queue set backoff_base_ms = 100000, backoff_max_ms = 100000")
        .await;
    let cancel = "update supaqueue.job set status = 'cancelled'
                  where position = (select min(position) from supaqueue.job)";
    change_during(&db, &fail(&call, LANE, ANY), cancel).await;
    assert_eq!(
        db.get("select status from supaqueue.job order by position")
            .await,
        "cancelled\nin_progress\npending"
    );
    is_well(&db).await;
}

#[tokio::test]
async fn a_job_cancelled_while_it_is_acknowledged_frees_its_worker_either_way() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run("select supaqueue.enqueue('q')").await;
        let call = format!("'{}'", db.get("select id from supaqueue.current_job").await);
        let acknowledgement = acknowledge(&call, OTHER_LANE);
        let answer = report_during(&db, CANCEL_JOB, end, &acknowledgement).await;
        if answer.state == "started" {
            db.run(&succeed(&call, OTHER_LANE, NONE)).await;
        }
        assert_eq!(
            db.get("select count(*) from supaqueue.worker where not locked")
                .await,
            "1"
        );
        let want = if end == "commit" {
            "cancelled"
        } else {
            "successful"
        };
        assert_eq!(db.get("select status from supaqueue.job").await, want);
        is_well(&db).await;
    }
}

/// Calls under way count, whatever happened to their workers.
pub(crate) async fn calls_stay_below_the_number_of_workers(db: &Db) -> Claim {
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 20)")
        .await;
    for number in [1, 3, 0, 2, 3] {
        db.run(&format!("select supaqueue.set_workers('q', {number})"))
            .await;
        let calls = db.get("select count(*) from supaqueue.current_job").await;
        claim!(
            calls == "3",
            "there are {calls} calls, not the three that began, with {number} workers"
        );
        all_is_consistent(db.client()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn workers_down_and_up_again_under_calls_start_nothing_above_their_number() {
    assert_eq!(
        calls_stay_below_the_number_of_workers(&Db::new().await).await,
        Ok(())
    );
}
