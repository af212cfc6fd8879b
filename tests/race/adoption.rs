//! Calls whose workers were deleted under them: a free worker takes such a call over, and until one
//! has, it counts.

use supaqueue_tests::Db;

use crate::claim::{Claim, all_is_consistent, claim, nothing_is_lost};
use crate::lane::{ANY, Answer, LANE, acknowledge, succeed};
use crate::session::Session;

const CALLS: &str = "select count(*) from supaqueue.current_job";
const FREE_WORKERS: &str = "select count(*) from supaqueue.worker where not locked";

/// A queue with so many workers, and as many jobs and two more; gives the first call.
async fn calls(db: &Db, workers: u32) -> String {
    db.queue("q", workers).await;
    db.run(&format!(
        "select supaqueue.enqueue('q') from generate_series(1, {workers} + 2)"
    ))
    .await;
    let call = db
        .get("select min(id::text) from supaqueue.current_job")
        .await;
    format!("'{call}'")
}

/// The worker of a call is replaced while a lane acknowledges the call.
pub(crate) async fn a_worker_is_replaced_during_an_acknowledgement(db: &Db) -> Claim {
    let call = calls(db, 1).await;
    let lane = Session::new(db).await;
    // As far as an acknowledgement has come before it looks for its worker.
    lane.run(&format!(
        "begin; select from supaqueue.current_job where id = {call} for update"
    ))
    .await;
    db.run("delete from supaqueue.worker").await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    let number = db.get(CALLS).await;
    claim!(number == "1", "one worker makes {number} calls at once");

    let answer = Answer::of(&lane.get(&acknowledge(&call, LANE)).await);
    lane.run("commit").await;
    claim!(answer.state == "started", "the call is {}", answer.state);
    let free = db.get(FREE_WORKERS).await;
    claim!(free == "0", "the call was not taken over by the new worker");
    all_is_consistent(db.client()).await?;

    let answer = Answer::of(&db.get(&succeed(&call, LANE, ANY)).await);
    claim!(answer.next.is_some(), "the new worker does not go on");
    all_is_consistent(db.client()).await?;
    nothing_is_lost(db.client()).await
}

#[tokio::test]
async fn a_worker_replaced_during_an_acknowledgement_starts_nothing_beside_the_call() {
    let outcome = a_worker_is_replaced_during_an_acknowledgement(&Db::new().await).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn an_acknowledgement_during_the_deletion_of_its_worker_blocks_nobody() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        let call = calls(&db, 1).await;
        let user = Session::new(&db).await;
        user.run("begin; delete from supaqueue.worker").await;
        let answer = Answer::of(&db.get(&acknowledge(&call, LANE)).await);
        assert_eq!(answer.state, "started");
        user.run(end).await;
        db.run("select supaqueue.set_workers('q', 1)").await;
        assert_eq!(db.get(CALLS).await, "1");
        assert_eq!(all_is_consistent(db.client()).await, Ok(()));
        assert_eq!(nothing_is_lost(db.client()).await, Ok(()));
    }
}

#[tokio::test]
async fn a_free_worker_takes_over_the_call_of_one_that_is_deleted_or_moved() {
    for change in [
        "delete from supaqueue.worker where locked",
        "update supaqueue.worker set queue = supaqueue.queue_id('other') where locked",
    ] {
        let db = Db::new().await;
        db.queue("other", 0).await;
        db.queue("q", 2).await;
        db.run("select supaqueue.enqueue('q')").await;
        db.run(change).await;
        let workers = "select count(*) from supaqueue.worker w
                       where w.queue = supaqueue.queue_id('q') and w.locked";
        assert_eq!(db.get(workers).await, "1", "{change}");
        db.run("select supaqueue.enqueue('q')").await;
        assert_eq!(db.get(CALLS).await, "1", "{change}");
        db.run("select supaqueue.set_workers('q', 2)").await;
        assert_eq!(db.get(CALLS).await, "2", "{change}");
        assert_eq!(nothing_is_lost(db.client()).await, Ok(()));
    }
}
