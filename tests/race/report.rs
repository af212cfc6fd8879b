//! Acknowledgements and reports that are repeated, or arrive at the same time.

use supaqueue_tests::protocol::{
    ANY, Answer, NONE, OTHER_RUN, Pulse, RUN, acknowledge, current_job, succeed,
};
use supaqueue_tests::{Db, Session, get};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::transactions::{one_busy_worker, one_sent_call};

/// Of two runs that acknowledge a call at the same time, one gets it; a late copy of its dispatch brings
/// nothing.
pub(crate) async fn one_run_gets_the_call(db: &Db) -> Check {
    db.run(&one_sent_call("q")).await;
    let call = current_job(db).await;
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let first = Pulse::parse(&one.get(&acknowledge(&call, RUN)).await);
    let second = other.start(&acknowledge(&call, OTHER_RUN));
    second.blocks(db).await;
    one.run("commit").await;
    let second = Pulse::parse(&second.finish().await?);
    ensure!(first.has_started(), "the first run does not get the call");
    ensure!(!second.has_started(), "the second run gets the call, too");
    let late = Pulse::parse(&db.get(&acknowledge(&call, OTHER_RUN)).await);
    ensure!(!late.has_started(), "a late copy starts the call again");
    ensure!(
        db.get("select run from supaqueue.current_job").await == RUN,
        "the second run took the call from the first"
    );
    Ok(())
}

/// A report sent twice at the same time gets the same answer and takes effect once.
pub(crate) async fn a_concurrently_repeated_report_gets_one_answer(db: &Db, jobs: u32) -> Check {
    db.run(&one_busy_worker("q")).await;
    db.run(&format!(
        "select supaqueue.enqueue('q') from generate_series(1, {jobs})"
    ))
    .await;
    let call = current_job(db).await;
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let first = one.get(&succeed(&call, RUN, ANY)).await;
    let second = other.start(&succeed(&call, RUN, ANY));
    second.blocks(db).await;
    one.run("commit").await;
    let second = second.finish().await?;
    ensure!(
        Answer::parse(&first).next.is_some() == (jobs > 0),
        "the first answer is {first}"
    );
    ensure!(
        Answer::parse(&first) == Answer::parse(&second),
        "the first answer is {first}, the second {second}"
    );
    state_is_consistent(db.client()).await?;
    no_worker_idles_beside_a_due_job(db.client()).await
}

/// Of two concurrent reports, one gets the last pending job.
pub(crate) async fn one_report_gets_the_last_job(db: &Db) -> Check {
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 3)")
        .await;
    let calls = db
        .get("select id from supaqueue.current_job order by id")
        .await;
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    let calls: Vec<_> = calls.lines().map(|id| format!("'{id}'")).collect();
    db.run(&acknowledge(&calls[0], RUN)).await;
    db.run(&acknowledge(&calls[1], OTHER_RUN)).await;
    one.run("begin").await;
    let first = Answer::parse(&one.get(&succeed(&calls[0], RUN, ANY)).await);
    let second = other.start(&succeed(&calls[1], OTHER_RUN, ANY));
    second.blocks(db).await;
    one.run("commit").await;
    let second = Answer::parse(&second.finish().await?);
    ensure!(
        first.next.is_some() && second.next.is_none(),
        "the first report got {first:?}, the second {second:?}"
    );
    state_is_consistent(db.client()).await?;
    no_worker_idles_beside_a_due_job(db.client()).await
}

/// When a report takes over a call still with pg_net while the call's dispatch acknowledges it, one of
/// them gets the call, whichever comes first.
pub(crate) async fn either_report_or_dispatch_gets_the_call(db: &Db, report_first: bool) -> Check {
    db.run(&one_busy_worker("q")).await;
    let own = current_job(db).await;
    db.run("select supaqueue.set_workers('q', 2); select supaqueue.enqueue('q')")
        .await;
    let sent = db
        .get("select id from supaqueue.current_job where state = 'sent'")
        .await;
    let (report, dispatch) = (
        succeed(&own, RUN, ANY),
        acknowledge(&format!("'{sent}'"), OTHER_RUN),
    );
    let (first, second) = match report_first {
        true => (&report, &dispatch),
        false => (&dispatch, &report),
    };
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let of_first = one.get(first).await;
    let second = other.start(second);
    ensure!(!second.blocks(db).await, "the second blocks on the first");
    let of_second = second.finish().await?;
    one.run("commit").await;
    let (of_report, of_dispatch) = match report_first {
        true => (of_first, of_second),
        false => (of_second, of_first),
    };
    ensure!(
        Answer::parse(&of_report).next.is_some() == report_first,
        "the report got {of_report}"
    );
    ensure!(
        Pulse::parse(&of_dispatch).has_started() != report_first,
        "the dispatch got {of_dispatch}"
    );
    state_is_consistent(db.client()).await?;
    no_worker_idles_beside_a_due_job(db.client()).await
}

#[tokio::test]
async fn of_a_report_and_a_dispatch_one_gets_the_call() {
    for report_first in [true, false] {
        let db = Db::new().await;
        let outcome = either_report_or_dispatch_gets_the_call(&db, report_first).await;
        assert_eq!(outcome, Ok(()), "report first: {report_first}");
    }
}

#[tokio::test]
async fn of_two_runs_that_acknowledge_at_the_same_time_one_gets_the_call() {
    assert_eq!(one_run_gets_the_call(&Db::new().await).await, Ok(()));
}

#[tokio::test]
async fn a_rolled_back_acknowledgement_leaves_the_call_to_the_other_run() {
    let db = Db::new().await;
    db.run(&one_sent_call("q")).await;
    let call = current_job(&db).await;
    let one = Session::new(&db).await;
    one.run(&format!("begin; {}", acknowledge(&call, RUN)))
        .await;
    one.run("rollback").await;
    let other = Pulse::parse(&db.get(&acknowledge(&call, OTHER_RUN)).await);
    assert!(other.has_started());
}

#[tokio::test]
async fn a_concurrently_repeated_report_returns_the_same_next_job() {
    assert_eq!(
        a_concurrently_repeated_report_gets_one_answer(&Db::new().await, 3).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_concurrently_repeated_report_without_a_next_job_returns_none_twice() {
    assert_eq!(
        a_concurrently_repeated_report_gets_one_answer(&Db::new().await, 0).await,
        Ok(())
    );
}

#[tokio::test]
async fn of_two_concurrent_reports_one_gets_the_last_job() {
    assert_eq!(one_report_gets_the_last_job(&Db::new().await).await, Ok(()));
}

#[tokio::test]
async fn the_last_job_is_handed_out_once_among_many_concurrent_reports() {
    let db = Db::new().await;
    let mut lanes = Vec::new();
    for _ in 0..6 {
        lanes.push(Session::new(&db).await);
    }
    for round in 0..15 {
        let queue = format!("round {round}");
        db.queue(&queue, 6).await;
        db.run(&format!(
            "select supaqueue.enqueue('{queue}') from generate_series(1, 7)"
        ))
        .await;
        let calls = db
            .get(&format!(
                "select id from supaqueue.current_job where queue = supaqueue.queue_id('{queue}')"
            ))
            .await;
        for id in calls.lines() {
            db.run(&acknowledge(&format!("'{id}'"), RUN)).await;
        }
        let next = if round % 3 == 0 { NONE } else { ANY };
        let reports: Vec<_> = calls
            .lines()
            .zip(&lanes)
            .map(|(id, lane)| lane.start(&succeed(&format!("'{id}'"), RUN, next)))
            .collect();
        assert_eq!(reports.len(), 6, "all workers are busy");
        let mut handed_out = 0;
        for report in reports {
            handed_out += usize::from(
                Answer::parse(&report.finish().await.unwrap())
                    .next
                    .is_some(),
            );
        }
        assert_eq!(handed_out, usize::from(next == ANY), "in round {round}");
        let jobs = "select count(*) from supaqueue.job where status = 'in_progress'";
        assert_eq!(get(db.client(), jobs).await, "1", "in round {round}");
        assert_eq!(state_is_consistent(db.client()).await, Ok(()));
        db.run("delete from supaqueue.queue").await;
    }
}
