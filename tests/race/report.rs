//! Acknowledgements and reports that come twice, or two at once.

use supaqueue_tests::{Db, get};

use crate::change::{one_busy_worker, one_sent_call};
use crate::claim::{Claim, all_is_consistent, claim, nothing_is_lost};
use crate::lane::{ANY, Answer, LANE, NONE, OTHER_LANE, acknowledge, succeed};
use crate::session::Session;

/// The id of the one current job, as an SQL expression that stays the same.
async fn the_call(db: &Db) -> String {
    format!("'{}'", db.get("select id from supaqueue.current_job").await)
}

/// Of two lanes that acknowledge at once, one is refused.
pub(crate) async fn one_lane_has_the_call(db: &Db) -> Claim {
    db.run(&one_sent_call("q")).await;
    let call = the_call(db).await;
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let first = Answer::of(&one.get(&acknowledge(&call, LANE)).await);
    let second = other.start(&acknowledge(&call, OTHER_LANE));
    second.waits(db).await;
    one.run("commit").await;
    let second = Answer::of(&second.end().await?);
    claim!(
        first.state == "started",
        "the first lane is {}",
        first.state
    );
    claim!(
        second.state == "refused",
        "the second lane is {}",
        second.state
    );
    claim!(
        db.get("select lane from supaqueue.current_job").await == LANE,
        "the second lane has taken the call over"
    );
    Ok(())
}

/// The same report twice at once has the same answer, and one effect.
pub(crate) async fn a_report_repeated_at_once_has_one_answer(db: &Db, jobs: u32) -> Claim {
    db.run(&one_busy_worker("q")).await;
    db.run(&format!(
        "select supaqueue.enqueue('q') from generate_series(1, {jobs})"
    ))
    .await;
    let call = the_call(db).await;
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let first = one.get(&succeed(&call, LANE, ANY)).await;
    let second = other.start(&succeed(&call, LANE, ANY));
    second.waits(db).await;
    one.run("commit").await;
    let second = second.end().await?;
    claim!(
        Answer::of(&first).next.is_some() == (jobs > 0),
        "the first answer is {first}"
    );
    // Not to the letter: the lease of the next job begins with each answer.
    claim!(
        Answer::of(&first) == Answer::of(&second),
        "the first answer is {first}, the second {second}"
    );
    all_is_consistent(db.client()).await?;
    nothing_is_lost(db.client()).await
}

/// Two reports with one job left: one gets it.
pub(crate) async fn one_report_gets_the_last_job(db: &Db) -> Claim {
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 3)")
        .await;
    let calls = db
        .get("select id from supaqueue.current_job order by id")
        .await;
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    let calls: Vec<_> = calls.lines().map(|id| format!("'{id}'")).collect();
    one.run("begin").await;
    let first = Answer::of(&one.get(&succeed(&calls[0], LANE, ANY)).await);
    let second = other.start(&succeed(&calls[1], OTHER_LANE, ANY));
    second.waits(db).await;
    one.run("commit").await;
    let second = Answer::of(&second.end().await?);
    claim!(
        first.next.is_some() && second.next.is_none(),
        "the first report got {first:?}, the second {second:?}"
    );
    all_is_consistent(db.client()).await?;
    nothing_is_lost(db.client()).await
}

/// A report takes what waits for pg_net, while its dispatch acknowledges it: one of them has it, whichever
/// comes first.
pub(crate) async fn one_of_report_and_dispatch_has_the_call(db: &Db, report_first: bool) -> Claim {
    db.run(&one_busy_worker("q")).await;
    let own = the_call(db).await;
    db.run("select supaqueue.set_workers('q', 2); select supaqueue.enqueue('q')")
        .await;
    let sent = db
        .get("select id from supaqueue.current_job where acknowledged_at is null")
        .await;
    let (report, dispatch) = (
        succeed(&own, LANE, ANY),
        acknowledge(&format!("'{sent}'"), OTHER_LANE),
    );
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let (of_report, of_dispatch) = if report_first {
        let of_report = one.get(&report).await;
        let second = other.start(&dispatch);
        claim!(
            second.waits_for(db, &one).await,
            "the dispatch does not wait for the report"
        );
        one.run("commit").await;
        (of_report, second.end().await?)
    } else {
        let of_dispatch = one.get(&dispatch).await;
        let second = other.start(&report);
        claim!(!second.waits(db).await, "the report waits for the dispatch");
        one.run("commit").await;
        (second.end().await?, of_dispatch)
    };
    claim!(
        Answer::of(&of_report).next.is_some() == report_first,
        "the report got {of_report}"
    );
    claim!(
        (Answer::of(&of_dispatch).state == "refused") == report_first,
        "the dispatch got {of_dispatch}"
    );
    all_is_consistent(db.client()).await?;
    nothing_is_lost(db.client()).await
}

#[tokio::test]
async fn of_a_report_and_a_dispatch_one_has_the_call() {
    for report_first in [true, false] {
        let db = Db::new().await;
        let claim = one_of_report_and_dispatch_has_the_call(&db, report_first).await;
        assert_eq!(claim, Ok(()), "{report_first}");
    }
}

#[tokio::test]
async fn of_two_lanes_that_acknowledge_at_once_one_is_refused() {
    assert_eq!(one_lane_has_the_call(&Db::new().await).await, Ok(()));
}

#[tokio::test]
async fn an_acknowledgement_rolled_back_leaves_the_call_to_the_other_lane() {
    let db = Db::new().await;
    db.run(&one_sent_call("q")).await;
    let call = the_call(&db).await;
    let one = Session::new(&db).await;
    one.run(&format!("begin; {}", acknowledge(&call, LANE)))
        .await;
    let other = Session::new(&db)
        .await
        .start(&acknowledge(&call, OTHER_LANE));
    assert!(other.waits_for(&db, &one).await);
    one.run("rollback").await;
    assert_eq!(Answer::of(&other.end().await.unwrap()).state, "started");
}

#[tokio::test]
async fn a_lane_that_acknowledges_twice_at_once_is_started_twice() {
    let db = Db::new().await;
    db.run(&one_sent_call("q")).await;
    let call = the_call(&db).await;
    let one = Session::new(&db).await;
    one.run(&format!("begin; {}", acknowledge(&call, LANE)))
        .await;
    let again = Session::new(&db).await.start(&acknowledge(&call, LANE));
    again.waits(&db).await;
    one.run("commit").await;
    assert_eq!(Answer::of(&again.end().await.unwrap()).state, "started");
}

#[tokio::test]
async fn a_report_repeated_at_once_has_the_same_next_job() {
    assert_eq!(
        a_report_repeated_at_once_has_one_answer(&Db::new().await, 3).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_report_repeated_at_once_has_no_next_job_twice() {
    assert_eq!(
        a_report_repeated_at_once_has_one_answer(&Db::new().await, 0).await,
        Ok(())
    );
}

#[tokio::test]
async fn of_two_reports_one_gets_the_last_job() {
    assert_eq!(one_report_gets_the_last_job(&Db::new().await).await, Ok(()));
}

#[tokio::test]
async fn the_last_job_of_many_reports_at_once_is_run_once() {
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
            db.run(&acknowledge(&format!("'{id}'"), LANE)).await;
        }
        let next = if round % 3 == 0 { NONE } else { ANY };
        let reports: Vec<_> = calls
            .lines()
            .zip(&lanes)
            .map(|(id, lane)| lane.start(&succeed(&format!("'{id}'"), LANE, next)))
            .collect();
        assert_eq!(reports.len(), 6, "all workers are busy");
        let mut handed_out = 0;
        for report in reports {
            handed_out += usize::from(Answer::of(&report.end().await.unwrap()).next.is_some());
        }
        assert_eq!(handed_out, usize::from(next == ANY), "in round {round}");
        let jobs = "select count(*) from supaqueue.job where status = 'in_progress'";
        assert_eq!(get(db.client(), jobs).await, "1", "in round {round}");
        assert_eq!(all_is_consistent(db.client()).await, Ok(()));
        db.run("delete from supaqueue.queue").await;
    }
}
