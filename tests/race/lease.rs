//! Ticks against ticks, reports and acknowledgements: when a lease ends just as its lane calls, one of
//! them wins.

use supaqueue_tests::lane::{ANY, Answer, LANE, acknowledge, succeed};
use supaqueue_tests::{Db, Session, TICK, TICK_IN_TRANSACTION};

use crate::invariants::state_is_consistent;
use crate::transactions::{one_busy_worker, one_sent_call};

const JOB: &str = "select status, attempts, jsonb_array_length(errors) from supaqueue.job";

/// Ends the lease of the only current job; returns its id as an SQL literal.
async fn expire(db: &Db) -> String {
    let id = db
        .get("update supaqueue.current_job set lease_until = '-infinity' returning id")
        .await;
    format!("'{id}'")
}

#[tokio::test]
async fn a_report_during_the_recovery_of_its_call_is_refused() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    let call = expire(&db).await;
    let tick = Session::new(&db).await;
    tick.run("begin").await;
    tick.get(TICK_IN_TRANSACTION).await;
    let report = Session::new(&db).await.start(&succeed(&call, LANE, ANY));
    assert!(report.blocks(&db).await, "the tick has locked the call");
    tick.run("commit").await;
    assert_eq!(
        Answer::parse(&report.finish().await.unwrap()).state,
        "refused"
    );
    // The backoff is 0, so the same tick has restarted the job.
    assert_eq!(
        db.get(JOB).await,
        "in_progress|2|1",
        "exactly one attempt is lost"
    );
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn a_report_is_settled_when_the_recovery_of_its_call_is_rolled_back() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    let call = expire(&db).await;
    let tick = Session::new(&db).await;
    tick.run("begin").await;
    tick.get(TICK_IN_TRANSACTION).await;
    let report = Session::new(&db).await.start(&succeed(&call, LANE, ANY));
    assert!(report.blocks(&db).await, "the tick has locked the call");
    tick.run("rollback").await;
    assert_eq!(
        Answer::parse(&report.finish().await.unwrap()).state,
        "settled"
    );
    assert_eq!(db.get(JOB).await, "successful|1|0");
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn a_tick_does_not_recover_a_call_being_reported() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    let call = expire(&db).await;
    let report = Session::new(&db).await;
    report.run("begin").await;
    report.get(&succeed(&call, LANE, ANY)).await;
    let tick = Session::new(&db).await.start(TICK);
    tick.blocks(&db).await;
    report.run("commit").await;
    tick.finish().await.unwrap();
    assert_eq!(db.get(JOB).await, "successful|1|0");
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn an_acknowledgement_while_its_call_is_resent_is_refused() {
    let db = Db::new().await;
    db.run(&one_sent_call("q")).await;
    let call = expire(&db).await;
    let tick = Session::new(&db).await;
    tick.run("begin").await;
    tick.get(TICK_IN_TRANSACTION).await;
    let late = Session::new(&db).await.start(&acknowledge(&call, LANE));
    assert!(late.blocks(&db).await, "the tick has locked the call");
    tick.run("commit").await;
    assert_eq!(
        Answer::parse(&late.finish().await.unwrap()).state,
        "refused"
    );

    let resent = "(select id from supaqueue.current_job)";
    assert_eq!(
        Answer::parse(&db.get(&acknowledge(resent, LANE)).await).state,
        "started"
    );
    assert_eq!(
        db.get(JOB).await,
        "in_progress|1|0",
        "resending spends no attempt"
    );
}

#[tokio::test]
async fn a_tick_does_not_resend_a_call_being_acknowledged() {
    let db = Db::new().await;
    db.run(&one_sent_call("q")).await;
    let call = expire(&db).await;
    let lane = Session::new(&db).await;
    lane.run("begin").await;
    assert_eq!(
        Answer::parse(&lane.get(&acknowledge(&call, LANE)).await).state,
        "started"
    );
    let tick = Session::new(&db).await.start(TICK);
    assert!(!tick.blocks(&db).await, "the tick does not block on lanes");
    tick.finish().await.unwrap();
    lane.run("commit").await;
    db.tick().await;
    assert_eq!(
        db.get("select id, dispatches from supaqueue.current_job")
            .await,
        format!("{}|1", call.trim_matches('\''))
    );
}

#[tokio::test]
async fn two_concurrent_ticks_do_the_work_once() {
    let db = Db::new().await;
    db.queue("q", 5).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 5)")
        .await;
    db.run("update supaqueue.current_job set lease_until = '-infinity'")
        .await;
    let (one, other) = (Session::new(&db).await, Session::new(&db).await);
    one.run("begin").await;
    one.get(TICK_IN_TRANSACTION).await;
    let second = other.start(TICK);
    assert!(!second.blocks(&db).await, "the second tick does not block");
    second.finish().await.unwrap();
    one.run("commit").await;
    assert_eq!(
        db.get("select distinct dispatches from supaqueue.current_job")
            .await,
        "2",
        "each call is resent once"
    );
}

#[tokio::test]
async fn concurrent_ticks_and_reports_settle_every_job_once() {
    let db = Db::new().await;
    let mut sessions = Vec::new();
    for _ in 0..9 {
        sessions.push(Session::new(&db).await);
    }
    for round in 0..12 {
        let queue = format!("round {round}");
        db.queue(&queue, 6).await;
        db.run(&format!(
            "update supaqueue.queue set max_attempts = 1;
             select supaqueue.enqueue('{queue}') from generate_series(1, 6)"
        ))
        .await;
        let calls = db
            .get(
                "update supaqueue.current_job
                  set acknowledged_at = now(), lane = gen_random_uuid(), lease_until = '-infinity'
                  where queue = (select id from supaqueue.queue)
                  returning format('%L|%s|%s', id, job, lane)",
            )
            .await;
        let (ticks, lanes) = sessions.split_at(3);
        let ticks: Vec<_> = ticks.iter().map(|session| session.start(TICK)).collect();
        let reports: Vec<_> = calls
            .lines()
            .zip(lanes)
            .map(|(call, session)| {
                let parts: Vec<_> = call.split('|').collect();
                (
                    parts[1].to_owned(),
                    session.start(&succeed(parts[0], parts[2], ANY)),
                )
            })
            .collect();
        for (job, report) in reports {
            let state = Answer::parse(&report.finish().await.unwrap()).state;
            let status = db
                .get(&format!(
                    "select status, attempts from supaqueue.job where id = '{job}'"
                ))
                .await;
            let want = if state == "settled" {
                "successful|1"
            } else {
                "failed|1"
            };
            assert_eq!(status, want, "the report was {state}");
        }
        for tick in ticks {
            tick.finish().await.unwrap();
        }
        db.tick().await;
        assert_eq!(state_is_consistent(db.client()).await, Ok(()));
        db.run("delete from supaqueue.queue").await;
    }
}
