//! Workers that are added, moved and deleted, and queues that are paused and deleted.

use supaqueue_tests::Db;
use supaqueue_tests::protocol::{ANY, Answer, Pulse, RUN, acknowledge, acknowledge_all, succeed};

const CALL: &str = "(select id from supaqueue.current_job)";

async fn in_flight(db: &Db) -> String {
    db.get("select count(*) from supaqueue.current_job").await
}

#[tokio::test]
async fn no_more_jobs_run_than_there_are_workers() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    for _ in 0..5 {
        db.run("select supaqueue.enqueue('q')").await;
    }
    db.tick().await;
    assert_eq!(in_flight(&db).await, "3");
}

#[tokio::test]
async fn a_new_worker_starts_at_once() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[5]))")
        .await;
    assert_eq!(
        db.get("select problem from supaqueue.problem").await,
        "the queue has no workers"
    );
    db.run("insert into supaqueue.worker (queue) select id from supaqueue.queue")
        .await;
    assert_eq!(in_flight(&db).await, "1");
    db.run("select supaqueue.set_workers('q', 4)").await;
    assert_eq!(in_flight(&db).await, "4");
}

#[tokio::test]
async fn unpausing_starts_pending_jobs() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run("update supaqueue.queue set is_paused = true").await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[5]))")
        .await;
    db.tick().await;
    assert_eq!(in_flight(&db).await, "0");
    db.run("update supaqueue.queue set is_paused = false").await;
    assert_eq!(in_flight(&db).await, "2");
}

#[tokio::test]
async fn a_call_whose_worker_is_deleted_ends_normally_without_a_next_job() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[2]))")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run("delete from supaqueue.worker").await;
    assert_eq!(in_flight(&db).await, "1", "the call goes on");
    let answer = db.get(&succeed(CALL, RUN, ANY)).await;
    assert_eq!(
        Answer::parse(&answer),
        Answer {
            held: None,
            state: "settled".into(),
            next: None
        }
    );
    assert_eq!(
        db.get("select status from supaqueue.job order by status")
            .await,
        "pending\nsuccessful"
    );
}

#[tokio::test]
async fn replacing_workers_never_adds_calls() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[9]))")
        .await;
    db.run("select supaqueue.set_workers('q', 1); select supaqueue.set_workers('q', 3); delete from supaqueue.worker; select supaqueue.set_workers('q', 2)").await;
    assert_eq!(
        in_flight(&db).await,
        "3",
        "new workers first take over the calls in flight"
    );
    assert_eq!(
        db.get("select count(*) filter (where locked), count(*) from supaqueue.worker")
            .await,
        "2|2"
    );
    for _ in 0..3 {
        db.run("select public.end_current_job((select id from supaqueue.current_job order by id limit 1), true, true)").await;
    }
    assert_eq!(in_flight(&db).await, "2");
}

#[tokio::test]
async fn set_workers_deletes_free_workers_first() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue('q')").await;
    let busy = db.get("select worker from supaqueue.current_job").await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    assert_eq!(db.get("select id from supaqueue.worker").await, busy);
}

#[tokio::test]
async fn a_job_deleted_during_its_call_keeps_the_worker_busy_until_the_call_ends() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array['1', '2']::jsonb[])")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run("delete from supaqueue.job where payload = '1'")
        .await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "pending",
        "the call still counts"
    );
    assert_eq!(
        db.get(&format!(
            "{} #>> '{{next,job,payload}}'",
            succeed(CALL, RUN, ANY)
        ))
        .await,
        "2"
    );
}

#[tokio::test]
async fn a_worker_moved_during_its_call_serves_only_its_new_queue() {
    let db = Db::new().await;
    db.queue("a", 1).await;
    db.queue("b", 0).await;
    db.run("select supaqueue.enqueue_many('a', array['1', '2']::jsonb[])")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run("update supaqueue.worker set queue = (select id from supaqueue.queue where name = 'b')")
        .await;
    db.tick().await;
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "f",
        "the worker is free in its new queue"
    );
    assert_eq!(
        db.get(&format!("{} -> 'next'", succeed(CALL, RUN, ANY)))
            .await,
        "null",
        "the old queue has no worker left"
    );
    db.run("select supaqueue.enqueue('b')").await;
    assert_eq!(in_flight(&db).await, "1");
}

#[tokio::test]
async fn deleting_a_queue_deletes_everything_in_it() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[5]))")
        .await;
    let first = "(select id from supaqueue.current_job order by id limit 1)";
    db.run(&acknowledge(first, RUN)).await;
    let first = format!(
        "'{}'",
        db.get("select id from supaqueue.current_job where state = 'started'")
            .await
    );
    db.run("delete from supaqueue.queue").await;
    assert_eq!(
        db.get(
            "select (select count(*) from supaqueue.worker), (select count(*) from supaqueue.job)"
        )
        .await,
        "0|0"
    );

    let answer = Answer::parse(&db.get(&succeed(&first, RUN, ANY)).await);
    assert_eq!(
        answer,
        Answer {
            held: None,
            state: "settled".into(),
            next: None
        },
        "a call in flight ends normally"
    );
    let second = "(select id from supaqueue.current_job where state = 'sent' limit 1)";
    assert!(
        !Pulse::parse(&db.get(&acknowledge(second, RUN)).await).has_started(),
        "an acknowledgement starts no call"
    );
    assert_eq!(in_flight(&db).await, "1");
    db.run("update supaqueue.current_job set lease_until = now() - interval '1 second'")
        .await;
    db.tick().await;
    assert_eq!(
        in_flight(&db).await,
        "0",
        "a call that is never reported is dropped after its lease"
    );
}
