//! A lock that somebody holds for long: nobody's insert or report waits for it, and what they left
//! undone is done by the tick.

use std::time::{Duration, Instant};

use supaqueue_tests::protocol::{
    ANY, Answer, NONE, Pulse, RUN, acknowledge, current_job_of, end_lease, server_is_old, succeed,
};
use supaqueue_tests::{Db, Session, eventually, run, try_get};

use crate::invariants::{no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::transactions::one_busy_worker;

/// Transactions that hold what others need, for as long as they are open.
const HOLDERS: [&str; 4] = [
    "select supaqueue.set_workers('q', 3); set constraints all immediate",
    "select supaqueue.enqueue('q', '\"held\"'); set constraints all immediate",
    "update supaqueue.queue set is_paused = true where name = 'q'; update supaqueue.queue set is_paused = false where name = 'q'; set constraints all immediate",
    "select from supaqueue.worker where queue = supaqueue.queue_id('q') for update",
];
/// How long a statement may take beside them on a busy machine; without a bound it would wait for
/// as long as they are open.
const MOMENT: Duration = Duration::from_secs(8);

/// What a statement returns, which must come soon.
async fn soon(session: &Session, statement: &str, holder: &str) -> String {
    let start = Instant::now();
    let outcome = session.try_get(statement).await;
    assert!(
        start.elapsed() < MOMENT,
        "{statement} took {:?} beside {holder}",
        start.elapsed()
    );
    outcome.unwrap_or_else(|error| panic!("{statement} failed beside {holder}: {error}"))
}

/// The session settings that must not turn a wait into an error.
const TIMEOUTS: [&str; 3] = [
    "set lock_timeout = 0",
    "set lock_timeout = '20ms'",
    "set statement_timeout = '4s'",
];

#[tokio::test]
async fn an_insert_beside_a_held_lock_ends_soon_and_its_job_starts_later() {
    for holder in HOLDERS {
        for timeout in TIMEOUTS {
            let db = Db::new().await;
            db.queue("q", 2).await;
            let holding = Session::new(&db).await;
            holding.run(&format!("begin; {holder}")).await;
            let user = Session::new(&db).await;
            user.run(timeout).await;
            soon(&user, "select supaqueue.enqueue('q', '\"mine\"')", holder).await;
            assert_eq!(
                user.get("show lock_timeout").await,
                match timeout {
                    "set lock_timeout = '20ms'" => "20ms",
                    _ => "0",
                }
            );
            holding.run("commit").await;
            db.tick().await;
            assert_eq!(
                db.get("select status from supaqueue.job where payload = '\"mine\"'")
                    .await,
                "in_progress",
                "beside {holder}"
            );
            assert_eq!(no_worker_idles_beside_a_due_job(db.client()).await, Ok(()));
            assert_eq!(state_is_consistent(db.client()).await, Ok(()));
        }
    }
}

#[tokio::test]
async fn a_report_beside_a_held_lock_ends_soon_and_the_next_job_starts_later() {
    for holder in HOLDERS {
        for next in [ANY, NONE] {
            let db = Db::new().await;
            db.run(&one_busy_worker("q")).await;
            let call = current_job_of("q");
            let holding = Session::new(&db).await;
            holding.run(&format!("begin; {holder}")).await;
            let lane = Session::new(&db).await;
            lane.run("set lock_timeout = '8s'; set statement_timeout = '8s'")
                .await;
            let answer = Answer::parse(&soon(&lane, &succeed(&call, RUN, next), holder).await);
            assert_eq!(answer.state, "settled", "beside {holder}");
            holding.run("commit").await;
            db.tick().await;
            assert_eq!(
                db.get("select status from supaqueue.job order by position limit 1")
                    .await,
                "successful"
            );
            assert_eq!(
                no_worker_idles_beside_a_due_job(db.client()).await,
                Ok(()),
                "beside {holder}"
            );
            assert_eq!(
                state_is_consistent(db.client()).await,
                Ok(()),
                "beside {holder}"
            );
        }
    }
}

#[tokio::test]
async fn an_acknowledgement_beside_a_held_lock_ends_soon() {
    for holder in HOLDERS {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run("select supaqueue.enqueue('q')").await;
        let call = db.get("select id from supaqueue.current_job").await;
        let holding = Session::new(&db).await;
        holding.run(&format!("begin; {holder}")).await;
        let lane = Session::new(&db).await;
        let answer = soon(&lane, &acknowledge(&format!("'{call}'"), RUN), holder).await;
        assert!(Pulse::parse(&answer).has_started(), "beside {holder}");
        holding.run("commit").await;
    }
}

#[tokio::test]
async fn the_tick_passes_a_queue_whose_lock_is_held() {
    for holder in HOLDERS {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.queue("other", 1).await;
        db.run("insert into supaqueue.job (queue, run_at) select id, clock_timestamp() + interval '50 ms' from supaqueue.queue").await;
        eventually(
            db.client(),
            "select bool_and(run_at < clock_timestamp()) from supaqueue.job",
            "t",
        )
        .await;
        let holding = Session::new(&db).await;
        holding.run(&format!("begin; {holder}")).await;
        let ticking = Session::new(&db).await;
        let start = Instant::now();
        ticking.run(supaqueue_tests::TICK).await;
        assert!(
            start.elapsed() < MOMENT,
            "the tick took {:?} beside {holder}",
            start.elapsed()
        );
        assert_eq!(
            db.get("select status from supaqueue.job where queue = supaqueue.queue_id('other')")
                .await,
            "in_progress",
            "beside {holder}"
        );
        holding.run("commit").await;
        db.tick().await;
        assert_eq!(
            no_worker_idles_beside_a_due_job(db.client()).await,
            Ok(()),
            "beside {holder}"
        );
    }
}

/// Many users insert at once into a queue whose lock is held: each waits a moment, not each for all.
#[tokio::test]
async fn ten_inserts_beside_a_held_lock_end_soon() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let holding = Session::new(&db).await;
    holding.run(&format!("begin; {}", HOLDERS[0])).await;
    let mut inserts = Vec::new();
    for _ in 0..10 {
        inserts.push(Session::new(&db).await);
    }
    let start = Instant::now();
    let inserts: Vec<_> = inserts
        .iter()
        .map(|session| session.start("select supaqueue.enqueue('q')"))
        .collect();
    for insert in inserts {
        insert.finish().await.unwrap();
    }
    assert!(
        start.elapsed() < MOMENT,
        "ten inserts took {:?}",
        start.elapsed()
    );
    holding.run("rollback").await;
    db.tick().await;
    assert_eq!(no_worker_idles_beside_a_due_job(db.client()).await, Ok(()));
}

/// Nothing of a lost call is done in a user's commit.
#[tokio::test]
async fn an_insert_takes_back_no_lost_call() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    server_is_old(&db).await;
    db.run(&end_lease(RUN)).await;
    let client = db.connect().await;
    run(&client, "select supaqueue.enqueue('q')").await;
    let calls = format!("select count(*) from supaqueue.current_job where run = '{RUN}'");
    assert_eq!(try_get(&client, &calls).await, Ok("1".into()));
    db.tick().await;
    assert_eq!(try_get(&client, &calls).await, Ok("0".into()));
}

/// An insert that does not get the lock cannot move the front of the queue back: the tick does.
#[tokio::test]
async fn a_job_inserted_beside_a_held_lock_is_not_hidden_by_the_front() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
        .await;
    db.run("select supaqueue.try_move_front(supaqueue.queue_id('q'), (select job from supaqueue.current_job))")
        .await;
    let front = "select count(*) from supaqueue.queue_front";
    assert_eq!(db.get(front).await, "1");
    let holding = Session::new(&db).await;
    holding.run(&format!("begin; {}", HOLDERS[0])).await;
    db.run("select supaqueue.enqueue('q', '\"urgent\"', priority => -1)")
        .await;
    holding.run("rollback").await;
    db.tick().await;
    let answer = db.get(&succeed(&current_job_of("q"), RUN, ANY)).await;
    assert!(answer.contains("urgent"), "the next job is {answer}");
}
