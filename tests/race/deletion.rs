//! Workers, queues and jobs that are deleted, and jobs that are cancelled, during a call: no user
//! sees a deadlock, and nothing is left stuck.

use supaqueue_tests::protocol::{
    ANY, Answer, END_LEASES, NONE, OTHER_RUN, Pulse, RUN, acknowledge, current_job, fail,
    server_is_old, succeed,
};
use supaqueue_tests::{Db, Session};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::transactions::one_busy_worker;

const DELETE_WORKER: &str = "delete from supaqueue.worker";
const DELETE_QUEUE: &str = "delete from supaqueue.queue";
const DELETE_JOB: &str = "delete from supaqueue.job where status = 'in_progress'";
const CANCEL_JOB: &str =
    "update supaqueue.job set status = 'cancelled' where status = 'in_progress'";

/// Creates a queue with a call in flight and two pending jobs; returns the call as an SQL literal.
async fn busy_queue(db: &Db) -> String {
    db.run(&one_busy_worker("q")).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 2)")
        .await;
    current_job(db).await
}

/// The answer to a request, repeated once if a concurrent deletion made it fail as retryable.
async fn answer(db: &Db, result: Result<String, String>, request: &str) -> String {
    match result {
        Ok(text) => text,
        Err(error) => {
            assert!(error.starts_with("55P03"), "a request failed: {error}");
            db.get(request).await
        }
    }
}

/// Reports while the change is uncommitted; `end` then commits it or rolls it back.
async fn report_during(db: &Db, change: &str, end: &str, report: &str) -> Answer {
    Answer::parse(&request_during(db, change, end, report).await)
}

/// The same for any request.
async fn request_during(db: &Db, change: &str, end: &str, report: &str) -> String {
    let changer = Session::new(db).await;
    changer.run(&format!("begin; {change}")).await;
    let started = Session::new(db).await.start(report);
    let blocks = started.blocks(db).await;
    assert!(
        !(blocks && change == DELETE_WORKER),
        "the report blocks on the deletion of its worker"
    );
    changer.run(end).await;
    answer(db, started.finish().await, report).await
}

/// Makes the change while the report is uncommitted.
async fn change_during(db: &Db, report: &str, change: &str) -> String {
    let reporter = Session::new(db).await;
    reporter.run("begin").await;
    let answer = reporter.get(report).await;
    let changer = Session::new(db).await.start(change);
    changer.blocks(db).await;
    reporter.run("commit").await;
    changer.finish().await.expect("the user's change succeeds");
    answer
}

/// Makes the change after the report has locked the current job, before it does anything else.
async fn change_inside_report(db: &Db, call: &str, change: &str, report: &str) -> Answer {
    let reporter = Session::new(db).await;
    let lock = format!("begin; select from supaqueue.current_job where id = {call} for update");
    reporter.run(&lock).await;
    let changer = Session::new(db).await.start(change);
    changer.blocks(db).await;
    let first = reporter.try_get(report).await;
    reporter
        .run(if first.is_ok() { "commit" } else { "rollback" })
        .await;
    changer.finish().await.expect("the user's change succeeds");
    Answer::parse(&answer(db, first, report).await)
}

/// Panics unless all invariants hold, before and after a tick.
async fn assert_invariants(db: &Db) {
    assert_eq!(no_worker_idles_beside_a_due_job(db.client()).await, Ok(()));
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
    db.tick().await;
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

/// What a report may ask for: a next job of any timeout, or none.
const NEXTS: [&str; 2] = [ANY, NONE];

#[tokio::test]
async fn a_worker_deleted_before_the_report_lets_the_call_end_without_a_next_job() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let report = succeed(&call, RUN, next);
        let mut answer = report_during(&db, DELETE_WORKER, "commit", &report).await;
        assert_eq!(answer.state, "settled");
        // The deletion was not committed yet: it holds for the call after this one.
        if let Some(call) = answer.next {
            let report = succeed(&format!("'{}'", call.current_job), RUN, next);
            answer = Answer::parse(&db.get(&report).await);
        }
        assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
        assert_invariants(&db).await;
        db.run("select supaqueue.set_workers('q', 1)").await;
        assert_invariants(&db).await;
    }
}

#[tokio::test]
async fn a_rolled_back_deletion_of_a_worker_leaves_nothing_stuck() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let report = succeed(&call, RUN, next);
        let answer = report_during(&db, DELETE_WORKER, "rollback", &report).await;
        assert_eq!(answer.state, "settled");
        db.tick().await;
        assert_eq!(
            db.get("select status from supaqueue.job order by position")
                .await,
            "successful\nin_progress\npending"
        );
        assert_invariants(&db).await;
    }
}

#[tokio::test]
async fn a_worker_can_be_deleted_during_a_report() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        change_during(&db, &succeed(&call, RUN, next), DELETE_WORKER).await;
        assert_eq!(db.get("select count(*) from supaqueue.worker").await, "0");
        assert_invariants(&db).await;

        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let report = succeed(&call, RUN, next);
        let answer = change_inside_report(&db, &call, DELETE_WORKER, &report).await;
        assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
        assert_invariants(&db).await;
    }
}

#[tokio::test]
async fn a_worker_deleted_between_two_reports_ends_the_lane() {
    let db = Db::new().await;
    let call = busy_queue(&db).await;
    let answer = change_during(&db, &succeed(&call, RUN, ANY), DELETE_WORKER).await;
    let next = Answer::parse(&answer).next.unwrap();
    let report = succeed(&format!("'{}'", next.current_job), RUN, ANY);
    let answer = Answer::parse(&db.get(&report).await);
    assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
    assert_invariants(&db).await;
}

#[tokio::test]
async fn a_queue_deleted_before_the_report_leaves_nothing_behind() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let report = succeed(&call, RUN, next);
        let answer = report_during(&db, DELETE_QUEUE, "commit", &report).await;
        assert_eq!(answer.next, None);
        assert_nothing_is_left(&db).await;
        assert_eq!(Answer::parse(&db.get(&report).await).state, "refused");
    }
}

#[tokio::test]
async fn a_report_is_settled_when_the_deletion_of_its_queue_is_rolled_back() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let report = succeed(&call, RUN, next);
        let answer = report_during(&db, DELETE_QUEUE, "rollback", &report).await;
        assert_eq!(
            (answer.state.as_str(), answer.next.is_some()),
            ("settled", next == ANY)
        );
        assert_invariants(&db).await;
    }
}

#[tokio::test]
async fn a_queue_can_be_deleted_during_a_report() {
    for next in NEXTS {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let answer = change_during(&db, &succeed(&call, RUN, next), DELETE_QUEUE).await;
        assert_eq!(Answer::parse(&answer).state, "settled");
        assert_nothing_is_left(&db).await;

        let db = Db::new().await;
        let call = busy_queue(&db).await;
        change_inside_report(&db, &call, DELETE_QUEUE, &succeed(&call, RUN, next)).await;
        assert_nothing_is_left(&db).await;
    }
}

#[tokio::test]
async fn a_queue_can_be_deleted_while_jobs_are_inserted() {
    let db = Db::new().await;
    busy_queue(&db).await;
    let insert = Session::new(&db).await;
    insert
        .run("begin; select supaqueue.enqueue('q'); set constraints all immediate")
        .await;
    let delete = Session::new(&db).await.start(DELETE_QUEUE);
    delete.blocks(&db).await;
    insert.run("commit").await;
    delete.finish().await.unwrap();
    assert_nothing_is_left(&db).await;
}

/// Panics if rows of a deleted queue are left once the leases of its calls have ended.
async fn assert_nothing_is_left(db: &Db) {
    end_leases(db).await;
    for table in [
        "queue",
        "worker",
        "job",
        "current_job",
        "ready_job",
        "held_job",
    ] {
        let rows = db
            .get(&format!("select count(*) from supaqueue.{table}"))
            .await;
        assert_eq!(rows, "0", "rows are left in {table}");
    }
}

#[tokio::test]
async fn a_job_deleted_before_the_report_lets_the_worker_continue() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let report = succeed(&call, RUN, ANY);
        let answer = report_during(&db, DELETE_JOB, end, &report).await;
        assert_eq!(
            (answer.state.as_str(), answer.next.is_some()),
            ("settled", true)
        );
        assert_invariants(&db).await;
    }
}

#[tokio::test]
async fn a_job_can_be_deleted_during_its_report() {
    let delete =
        "delete from supaqueue.job where position = (select min(position) from supaqueue.job)";
    for report in [succeed, fail] {
        let db = Db::new().await;
        let call = busy_queue(&db).await;
        change_during(&db, &report(&call, RUN, ANY), delete).await;
        assert_invariants(&db).await;

        let db = Db::new().await;
        let call = busy_queue(&db).await;
        let report = report(&call, RUN, ANY);
        let answer = change_inside_report(&db, &call, DELETE_JOB, &report).await;
        assert_eq!(
            (answer.state.as_str(), answer.next.is_some()),
            ("settled", true)
        );
        assert_invariants(&db).await;
    }
}

/// Deletes while the acknowledgement of a call is uncommitted; returns the call as an SQL literal.
async fn delete_during_acknowledgement(db: &Db, delete: &str) -> String {
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let call = current_job(db).await;
    db.run("select supaqueue.enqueue('q')").await;
    change_during(db, &acknowledge(&call, RUN), delete).await;
    call
}

/// Ends all leases, as if the supaqueue function had died.
async fn end_leases(db: &Db) {
    server_is_old(db).await;
    db.run(END_LEASES).await;
    db.tick().await;
}

#[tokio::test]
async fn a_job_deleted_during_the_acknowledgement_frees_its_worker_when_the_lease_ends() {
    let db = Db::new().await;
    delete_during_acknowledgement(&db, DELETE_JOB).await;
    end_leases(&db).await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress"
    );
    assert_invariants(&db).await;
}

#[tokio::test]
async fn a_queue_deleted_during_an_acknowledgement_leaves_nothing_behind() {
    let db = Db::new().await;
    delete_during_acknowledgement(&db, DELETE_QUEUE).await;
    assert_nothing_is_left(&db).await;
}

#[tokio::test]
async fn a_worker_deleted_during_an_acknowledgement_is_replaced_by_one_that_adopts_the_call() {
    let db = Db::new().await;
    let call = delete_during_acknowledgement(&db, DELETE_WORKER).await;
    db.tick().await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "1",
        "one worker has one call at once"
    );
    let answer = Answer::parse(&db.get(&succeed(&call, RUN, ANY)).await);
    assert_eq!(
        (answer.state.as_str(), answer.next.is_some()),
        ("settled", true)
    );
    assert_invariants(&db).await;
}

/// A job cancelled before its report is committed stays cancelled.
pub(crate) async fn a_cancelled_job_stays_cancelled(db: &Db, report: &str) -> Check {
    let answer = report_during(db, CANCEL_JOB, "commit", report).await;
    ensure!(answer.state == "settled", "the report is {}", answer.state);
    let job = db
        .get("select status, attempts from supaqueue.job order by position limit 1")
        .await;
    ensure!(job == "cancelled|1", "the job is {job}");
    Ok(())
}

#[tokio::test]
async fn a_job_cancelled_before_the_report_stays_cancelled() {
    for report in [succeed, fail] {
        for next in NEXTS {
            let db = Db::new().await;
            let call = busy_queue(&db).await;
            assert_eq!(
                a_cancelled_job_stays_cancelled(&db, &report(&call, RUN, next)).await,
                Ok(())
            );
            assert_invariants(&db).await;
        }
    }
}

#[tokio::test]
async fn a_job_cancelled_during_the_report_of_its_failure_is_not_retried() {
    let db = Db::new().await;
    let call = busy_queue(&db).await;
    // So that the worker's next job is another one.
    db.run("update supaqueue.queue set backoff_base_ms = 100000, backoff_max_ms = 100000")
        .await;
    let cancel = "update supaqueue.job set status = 'cancelled'
                  where position = (select min(position) from supaqueue.job)";
    change_during(&db, &fail(&call, RUN, ANY), cancel).await;
    assert_eq!(
        db.get("select status from supaqueue.job order by position")
            .await,
        "cancelled\nin_progress\npending"
    );
    assert_invariants(&db).await;
}

#[tokio::test]
async fn a_job_cancelled_during_its_acknowledgement_frees_its_worker() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run("select supaqueue.enqueue('q')").await;
        let call = current_job(&db).await;
        let acknowledgement = acknowledge(&call, OTHER_RUN);
        let answer = request_during(&db, CANCEL_JOB, end, &acknowledgement).await;
        if Pulse::parse(&answer).has_started() {
            db.run(&succeed(&call, OTHER_RUN, NONE)).await;
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
        assert_invariants(&db).await;
    }
}

/// Calls in flight count even when their workers are gone.
pub(crate) async fn calls_stay_below_the_number_of_workers(db: &Db) -> Check {
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 20)")
        .await;
    for number in [1, 3, 0, 2, 3] {
        db.run(&format!("select supaqueue.set_workers('q', {number})"))
            .await;
        let calls = db.get("select count(*) from supaqueue.current_job").await;
        ensure!(
            calls == "3",
            "with {number} workers there are {calls} calls, not the three that began"
        );
        state_is_consistent(db.client()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn removing_and_adding_workers_during_calls_starts_no_extra_calls() {
    assert_eq!(
        calls_stay_below_the_number_of_workers(&Db::new().await).await,
        Ok(())
    );
}
