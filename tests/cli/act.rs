//! `supaqueue retry` and `supaqueue cancel`.

use nix::sys::signal::Signal;
use supaqueue_tests::Db;

use crate::program::{Running, command, supaqueue};

/// A queue with five failed jobs, of which three have the status 500, a successful one, and one that is due later.
async fn past(db: &Db) {
    db.queue("emails", 0).await;
    db.run(
        "insert into supaqueue.job (queue, status, payload, http_status, errors)
         select supaqueue.queue_id('emails'), 'failed', jsonb_build_object('n', n), case when n <= 3 then 500 else 503 end,
           jsonb_build_array(jsonb_build_object('attempt', 3, 'at', now(), 'status', 500, 'message', 'status 500'))
         from generate_series(1, 5) n;
         insert into supaqueue.job (queue, status) values (supaqueue.queue_id('emails'), 'successful');
         select supaqueue.enqueue('emails', run_at => now() + interval '1 hour')",
    )
    .await;
}

const STATUSES: &str = "select string_agg(number || ' ' || status, ', ' order by status) from (
    select status, count(*) as number from supaqueue.job group by status) s";

#[tokio::test(flavor = "multi_thread")]
async fn single_jobs_are_retried_and_cancelled_at_once() {
    let db = Db::new().await;
    past(&db).await;
    let of = async |condition: &str| {
        db.get(&format!(
            "select id from supaqueue.job where {condition} order by position limit 1"
        ))
        .await
    };
    let (failed, later) = (
        of("status = 'failed'").await,
        of("status = 'pending'").await,
    );
    let run = supaqueue(&db, &["retry", &failed]).await;
    run.assert(0, &[&format!("{failed}: pending (was failed)")]);
    supaqueue(&db, &["retry", &failed])
        .await
        .assert(0, &["pending already"]);
    let nobody = "00000000-0000-4000-8000-000000000000";
    let run = supaqueue(&db, &["cancel", &later, nobody, &failed]).await;
    run.assert(
        1,
        &[
            &format!("{later}: cancelled (was pending)"),
            &format!("{nobody}: There is no such job"),
            &format!("{failed}: cancelled (was pending)"),
        ],
    );
    let successful = of("status = 'successful'").await;
    let run = supaqueue(&db, &["cancel", &successful]).await;
    run.assert(1, &["left successful. It has finished: successful since"]);

    // A call in flight, and a key that another job holds by now.
    db.run(
        "select supaqueue.set_workers('emails', 1); select supaqueue.enqueue('emails', key => 'k')",
    )
    .await;
    let running = of("status = 'in_progress'").await;
    let run = supaqueue(&db, &["retry", &running]).await;
    run.assert(
        1,
        &["left in_progress. It was sent to the supaqueue function"],
    );
    let before = db
        .get("insert into supaqueue.job (queue, status, key) values (supaqueue.queue_id('emails'), 'failed', 'k') returning id")
        .await;
    let run = supaqueue(&db, &["retry", &before]).await;
    run.assert(1, &["left failed.", "its key 'k' is held by job"]);
    supaqueue(&db, &["cancel"]).await.assert(2, &["required"]);
    supaqueue(&db, &["cancel", &running, "--queue", "emails"])
        .await
        .assert(2, &["cannot be used with"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_match_are_counted_agreed_on_and_followed_to_the_end() {
    let db = Db::new().await;
    past(&db).await;
    let before = db.get(STATUSES).await;
    let filter = ["retry", "--queue", "emails", "--http-status", "500"];
    let run = supaqueue(&db, &filter).await;
    run.assert(
        1,
        &[
            "the database 127.0.0.1",
            "Jobs:    3 jobs",
            "insert into supaqueue.operation",
            "cannot prompt",
        ],
    );

    let mut asked = Running::at_a_terminal(command(&db, &filter), 80);
    asked
        .says("Retry 3 jobs in the database 127.0.0.1", 0)
        .await;
    asked.says("[y/N]", 0).await;
    asked.types("n\n");
    assert_eq!(asked.ends().await.0, Some(1));
    assert_eq!(
        db.get("select count(*) from supaqueue.operation").await,
        "0"
    );
    assert_eq!(db.get(STATUSES).await, before);

    let mut asked = Running::at_a_terminal(command(&db, &filter), 80);
    asked.says("[y/N]", 0).await;
    asked.types("y\n");
    supaqueue_tests::eventually(db.client(), "select count(*) from supaqueue.operation", "1").await;
    while db.get("select status from supaqueue.operation").await == "running" {
        db.tick().await;
    }
    let (status, text) = asked.ends().await;
    assert_eq!(status, Some(0), "{text}");
    assert!(text.contains("done: 3, left as they are: 0"), "{text}");
    assert_eq!(db.get(STATUSES).await, "2 failed, 4 pending, 1 successful");

    supaqueue(
        &db,
        &[
            "retry",
            "--queue",
            "emails",
            "--payload",
            "{\"n\": 9}",
            "--yes",
        ],
    )
    .await
    .assert(0, &["No job matches", "Jobs:    0 jobs"]);
    supaqueue(&db, &["retry", "--queue", "nope", "--yes"])
        .await
        .assert(2, &["has no queue nope"]);
    supaqueue(&db, &["retry", "--payload", "{"])
        .await
        .assert(2, &["not JSON"]);
    supaqueue(&db, &["retry", "--queue", "emails", "--status", "pending"])
        .await
        .assert(1, &["cannot retry jobs that are pending"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_leaves_the_operation_running_and_a_refused_job_makes_the_exit_status_1() {
    let db = Db::new().await;
    past(&db).await;
    let cancel = [
        "cancel",
        "--queue",
        "emails",
        "--created-after",
        "1h",
        "--per-second",
        "1000",
        "--yes",
    ];
    let running = Running::at_a_terminal(command(&db, &cancel), 80);
    running.says("of 1", 0).await;
    running.is_sent(Signal::SIGINT);
    let (status, text) = running.ends().await;
    assert_eq!(status, Some(130), "{text}");
    let (_, stop) = text.split_once("To stop it, run: ").expect(&text);
    assert_eq!(
        db.get("select status, per_second from supaqueue.operation")
            .await,
        "running|1000"
    );
    db.run(stop.trim()).await;
    assert_eq!(
        db.get("select status from supaqueue.operation").await,
        "stopped"
    );
    assert_eq!(db.get(STATUSES).await, "5 failed, 1 pending, 1 successful");

    // Of two jobs with a key, only one can hold it.
    db.run("delete from supaqueue.operation; delete from supaqueue.job where status = 'failed'")
        .await;
    db.run("insert into supaqueue.job (queue, status, key) select supaqueue.queue_id('emails'), 'failed', 'k' from generate_series(1, 2)").await;
    let running = Running::start(command(&db, &["retry", "--key", "k", "--yes"]));
    supaqueue_tests::eventually(db.client(), "select count(*) from supaqueue.operation", "1").await;
    while db.get("select status from supaqueue.operation").await == "running" {
        db.tick().await;
    }
    let (status, text) = running.ends().await;
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("done: 1, left as they are: 1"), "{text}");
    assert!(text.contains("the last one: "), "{text}");
}
