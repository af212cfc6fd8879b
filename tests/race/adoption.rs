//! Calls whose worker is deleted while they run: a free worker adopts such a call, and until then the
//! call counts against the workers of its queue.

use supaqueue_tests::protocol::{ANY, Answer, Pulse, RUN, acknowledge, succeed};
use supaqueue_tests::{Db, Session};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};

const CALL_COUNT: &str = "select count(*) from supaqueue.current_job";
const FREE_WORKER_COUNT: &str = "select count(*) from supaqueue.worker where not locked";

/// Creates a queue with busy workers and two pending jobs; returns a call as an SQL literal.
async fn busy_queue(db: &Db, workers: u32) -> String {
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

/// Replacing the worker of a call during its acknowledgement starts nothing beside the call.
pub(crate) async fn a_replaced_worker_adopts_the_call_being_acknowledged(db: &Db) -> Check {
    let call = busy_queue(db, 1).await;
    let run = Session::new(db).await;
    // The lock that an acknowledgement holds.
    run.run(&format!(
        "begin; select from supaqueue.current_job where id = {call} for update"
    ))
    .await;
    db.run("delete from supaqueue.worker").await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    let number = db.get(CALL_COUNT).await;
    ensure!(number == "1", "one worker has {number} calls at once");

    let answer = Pulse::parse(&run.get(&acknowledge(&call, RUN)).await);
    run.run("commit").await;
    ensure!(answer.has_started(), "the call does not start");
    db.tick().await;
    let free = db.get(FREE_WORKER_COUNT).await;
    ensure!(free == "0", "the new worker did not adopt the call");
    state_is_consistent(db.client()).await?;

    let answer = Answer::parse(&db.get(&succeed(&call, RUN, ANY)).await);
    ensure!(answer.next.is_some(), "the new worker gets no next job");
    state_is_consistent(db.client()).await?;
    no_worker_idles_beside_a_due_job(db.client()).await
}

#[tokio::test]
async fn a_worker_replaced_during_an_acknowledgement_adopts_the_call() {
    let outcome = a_replaced_worker_adopts_the_call_being_acknowledged(&Db::new().await).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn an_acknowledgement_does_not_block_on_the_deletion_of_its_worker() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        let call = busy_queue(&db, 1).await;
        let user = Session::new(&db).await;
        user.run("begin; delete from supaqueue.worker").await;
        let answer = Pulse::parse(&db.get(&acknowledge(&call, RUN)).await);
        assert!(answer.has_started());
        user.run(end).await;
        db.run("select supaqueue.set_workers('q', 1)").await;
        assert_eq!(db.get(CALL_COUNT).await, "1");
        assert_eq!(state_is_consistent(db.client()).await, Ok(()));
        assert_eq!(no_worker_idles_beside_a_due_job(db.client()).await, Ok(()));
    }
}

#[tokio::test]
async fn a_free_worker_adopts_the_call_of_a_deleted_or_moved_worker() {
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
        assert_eq!(db.get(CALL_COUNT).await, "1", "{change}");
        db.run("select supaqueue.set_workers('q', 2)").await;
        assert_eq!(db.get(CALL_COUNT).await, "2", "{change}");
        assert_eq!(no_worker_idles_beside_a_due_job(db.client()).await, Ok(()));
    }
}
