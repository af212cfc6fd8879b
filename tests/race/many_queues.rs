//! Transactions that use several queues, in any order, do not deadlock.

use supaqueue_tests::lane::{ANY, Answer, LANE, current_job_of, succeed};
use supaqueue_tests::{Db, Session, get};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::random::Random;
use crate::transactions::one_busy_worker;

#[tokio::test]
async fn inserts_into_many_queues_in_any_order_do_not_deadlock() {
    let db = Db::new().await;
    let queues = ["a", "b", "c", "d", "e"];
    for queue in queues {
        db.queue(queue, 2).await;
    }
    let (mut inserters, mut lanes) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        inserters.push(Session::new(&db).await);
        lanes.push(Session::new(&db).await);
    }
    let mut random = Random::new(7);
    for round in 0..12 {
        let inserts: Vec<_> = inserters
            .iter()
            .map(|session| {
                let inserts: Vec<_> = (0..4)
                    .map(|_| format!("select supaqueue.enqueue('{}')", random.pick(&queues)))
                    .collect();
                session.start(&format!("begin; {}; commit", inserts.join("; ")))
            })
            .collect();
        let calls = get(db.client(), "select id from supaqueue.current_job").await;
        let reports: Vec<_> = calls
            .lines()
            .zip(&lanes)
            .map(|(id, lane)| lane.start(&succeed(&format!("'{id}'"), LANE, "null")))
            .collect();
        for statement in inserts.into_iter().chain(reports) {
            statement
                .finish()
                .await
                .unwrap_or_else(|error| panic!("in round {round}: {error}"));
        }
        assert_eq!(no_worker_idles_beside_a_due_job(db.client()).await, Ok(()));
        assert_eq!(state_is_consistent(db.client()).await, Ok(()));
    }
}

/// A commit or tick that drops the queue's front and a report that moves it do not deadlock.
pub(crate) async fn the_front_of_a_queue_causes_no_deadlock(db: &Db, dropper: &str) -> Check {
    db.run(&one_busy_worker("q")).await;
    // This transaction began before the job now at the front was inserted: its commit drops the front.
    let old = Session::new(db).await;
    old.run("begin; select supaqueue.enqueue('q')").await;
    let call = current_job_of("q");
    db.run("select supaqueue.enqueue('q')").await;
    db.run(&succeed(&call, LANE, ANY)).await;

    // The report has searched once, and blocks on the insert, which is about to commit.
    let insert = Session::new(db).await;
    insert
        .run("begin; select supaqueue.enqueue('q'); set constraints all immediate")
        .await;
    let report = Session::new(db).await;
    report.get(&seed_that_moves_the_front(db).await).await;
    let report = report.start(&succeed(&call, LANE, ANY));
    report.blocks(db).await;

    let dropper = if dropper == "commit" {
        old.start("commit")
    } else {
        Session::new(db).await.start(dropper)
    };
    dropper.blocks(db).await;
    insert.run("commit").await;
    dropper.finish().await?;
    let answer = Answer::parse(&report.finish().await?);
    ensure!(answer.state == "settled", "the report is {}", answer.state);
    no_worker_idles_beside_a_due_job(db.client()).await
}

/// A statement that seeds `random()` so that the next search moves the front, as one in a hundred
/// does.
async fn seed_that_moves_the_front(db: &Db) -> String {
    let finder = Session::new(db).await;
    for number in 1..2000 {
        let setseed = format!("select setseed({})", f64::from(number) / 2000.0);
        finder.get(&setseed).await;
        if finder.get("select random() < 0.01").await == "t" {
            return setseed;
        }
    }
    panic!("no seed gives a number below 0.01");
}

#[tokio::test]
async fn a_commit_that_drops_the_front_of_a_queue_does_not_deadlock_with_a_report() {
    assert_eq!(
        the_front_of_a_queue_causes_no_deadlock(&Db::new().await, "commit").await,
        Ok(())
    );
}

#[tokio::test]
async fn a_tick_that_drops_the_front_of_a_queue_does_not_deadlock_with_a_report() {
    assert_eq!(
        the_front_of_a_queue_causes_no_deadlock(&Db::new().await, "select supaqueue.tick()").await,
        Ok(())
    );
}
