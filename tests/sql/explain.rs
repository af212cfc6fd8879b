//! `supaqueue.explain`: why a job is not running.

use supaqueue_tests::protocol::{RUN, acknowledge_all};
use supaqueue_tests::{Db, eventually};

/// The explanation for the job whose payload is `{"name": …}`.
async fn explain(db: &Db, name: &str) -> String {
    db.get(&format!(
        "select supaqueue.explain(id) from supaqueue.job where payload ->> 'name' = '{name}'"
    ))
    .await
}

/// Panics unless the explanation is one line that contains all of `words`.
async fn assert_says(db: &Db, name: &str, words: &[&str]) {
    let explanation = explain(db, name).await;
    for word in words {
        assert!(
            explanation.contains(word),
            "{word:?} is missing in: {explanation}"
        );
    }
    assert!(
        !explanation.contains('\n'),
        "more than one line: {explanation}"
    );
}

/// Inserts a job with the payload `{"name": …}` and further arguments of `enqueue`.
async fn add(db: &Db, name: &str, arguments: &str) {
    db.run(&format!(
        "select supaqueue.enqueue('q', '{{\"name\": \"{name}\"}}'{arguments})"
    ))
    .await;
}

/// The statement that reports a named job.
fn report(name: &str, is_successful: bool) -> String {
    format!(
        "select public.end_current_job(c.id, true, {is_successful}, '{{\"status\": 500, \"error\": {{\"message\": \"out of stock\"}}}}')
         from supaqueue.current_job c join supaqueue.job j on j.id = c.job where j.payload ->> 'name' = '{name}'"
    )
}

#[tokio::test]
async fn a_job_that_does_not_exist() {
    let db = Db::new().await;
    let explanation = db.get("select supaqueue.explain(gen_random_uuid())").await;
    assert!(
        explanation.starts_with("There is no such job"),
        "{explanation}"
    );
}

#[tokio::test]
async fn a_finished_job() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    add(&db, "good", "").await;
    add(&db, "bad", ", max_attempts => 1").await;
    add(&db, "unwanted", "").await;
    db.run(&report("good", true)).await;
    db.run(&report("bad", false)).await;
    let cancel =
        "update supaqueue.job set status = 'cancelled' where payload ->> 'name' = 'unwanted'";
    db.run(cancel).await;
    let finished = |name: &str| {
        format!(
            "select date_trunc('second', finished_at)::text from supaqueue.job where payload ->> 'name' = '{name}'"
        )
    };
    let at = db.get(&finished("good")).await;
    assert_says(&db, "good", &["finished: successful since", &at]).await;
    let at = db.get(&finished("bad")).await;
    assert_says(
        &db,
        "bad",
        &[
            "finished: failed since",
            &at,
            "attempt 1 of 1: out of stock",
        ],
    )
    .await;
    let not_begun = ["finished: cancelled since", "its call will not begin"];
    assert_says(&db, "unwanted", &not_begun).await;
    db.run(&report("unwanted", true)).await;
    let explanation = explain(&db, "unwanted").await;
    assert!(!explanation.contains("call"), "{explanation}");
}

#[tokio::test]
async fn a_job_in_progress() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    add(&db, "a", "").await;
    let worker = db.get("select id from supaqueue.worker").await;
    let lease = "select date_trunc('second', lease_until)::text from supaqueue.current_job";
    let until = db.get(lease).await;
    assert_says(
        &db,
        "a",
        &[
            "sent to the supaqueue function",
            "not acknowledged yet",
            "attempt 1 of 3",
            &worker,
            &until,
        ],
    )
    .await;
    db.run(&acknowledge_all(RUN)).await;
    let running = ["It is running: attempt 1 of 3", &worker];
    assert_says(&db, "a", &running).await;
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    assert_says(
        &db,
        "a",
        &["cancelled since", "aborts it at its next pulse"],
    )
    .await;
    db.run(
        "update supaqueue.job set status = 'in_progress'; update supaqueue.run set is_over = true",
    )
    .await;
    let lost = ["The run that made its call is over", "attempt 1 of 3"];
    assert_says(&db, "a", &lost).await;
    db.run("delete from supaqueue.current_job").await;
    assert_says(&db, "a", &["in_progress without a call", "lost attempt"]).await;
    db.tick().await;
    assert_says(
        &db,
        "a",
        &["It is due at", "a retry after attempt 1 of 3 failed"],
    )
    .await;
}

#[tokio::test]
async fn a_held_job_is_released_by_the_suggested_statement() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("insert into supaqueue.job (queue, payload, status) select id, '{\"name\": \"a\"}', 'waiting' from supaqueue.queue").await;
    let explanation = explain(&db, "a").await;
    let (words, remedy) = explanation.split_once(": ").unwrap();
    assert_eq!(words, "It is held until somebody releases it");
    db.run(remedy).await;
    assert_says(&db, "a", &["sent to the supaqueue function"]).await;
}

#[tokio::test]
async fn a_job_due_later() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    add(&db, "a", ", run_at => '2999-01-02 03:04:05+00'").await;
    db.run("set timezone = 'UTC'").await;
    assert_eq!(
        explain(&db, "a").await,
        "It is due at 2999-01-02 03:04:05+00."
    );
}

#[tokio::test]
async fn a_job_in_a_paused_queue_and_in_one_without_workers() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("update supaqueue.queue set is_paused = true").await;
    add(&db, "a", "").await;
    let explanation = explain(&db, "a").await;
    let (words, remedy) = explanation.split_once(": ").unwrap();
    assert_eq!(words, "Its queue is paused");
    db.run(remedy).await;
    let explanation = explain(&db, "a").await;
    let (words, remedy) = explanation.split_once(": ").unwrap();
    assert_eq!(words, "Its queue has no workers");
    db.run(remedy).await;
    assert_says(&db, "a", &["sent to the supaqueue function"]).await;
}

#[tokio::test]
async fn a_job_in_line_while_all_workers_are_busy() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    for name in ["running", "running_too", "first", "second"] {
        add(&db, name, "").await;
    }
    add(&db, "later", ", run_at => now() + interval '1 day'").await;
    add(&db, "urgent", ", priority => -1").await;
    for (name, before) in [("urgent", 0), ("first", 1), ("second", 2)] {
        assert_eq!(
            explain(&db, name).await,
            format!(
                "All workers of its queue are busy (2 of 2), and {before} due jobs are before it."
            )
        );
    }
    db.run("insert into supaqueue.job (queue, priority) select id, -2 from supaqueue.queue, generate_series(1, 10001)").await;
    assert_says(&db, "second", &["more than 10000 due jobs are before it"]).await;
    db.run("update supaqueue.current_job set dispatches = 2")
        .await;
    assert_says(
        &db,
        "second",
        &[
            "2 of 2",
            "Its queue has a problem: sent to the supaqueue function 2 times",
        ],
    )
    .await;
    assert_says(
        &db,
        "running",
        &["not acknowledged yet", "has a problem", "2 times"],
    )
    .await;
}

#[tokio::test]
async fn a_job_in_a_project_that_cannot_dispatch() {
    let db = Db::without_secrets().await;
    db.schedule_tick().await;
    db.queue("q", 1).await;
    add(&db, "a", "").await;
    assert_eq!(
        explain(&db, "a").await,
        "It is due, and was not started. There is a problem: the Vault of this database has no secret named supaqueue_secret."
    );
}

#[tokio::test]
async fn a_due_job_that_only_awaits_the_tick() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    // In an idle queue only the tick looks for jobs that became due, and this test does not run it.
    add(
        &db,
        "a",
        ", run_at => clock_timestamp() + interval '100 ms'",
    )
    .await;
    eventually(
        db.client(),
        "select supaqueue.explain(id) like 'It is due and about to start, at the next tick at the latest;%last ran % s ago.' from supaqueue.job",
        "t",
    )
    .await;
    db.tick().await;
    assert_says(&db, "a", &["sent to the supaqueue function"]).await;
}
