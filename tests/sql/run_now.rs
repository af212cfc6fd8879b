//! `supaqueue.run_now`: what happens to a job in each status.

use supaqueue_tests::{Db, get, run};

async fn run_now(db: &Db) -> String {
    db.get("select supaqueue.run_now(id) from supaqueue.job")
        .await
}

#[tokio::test]
async fn a_job_that_is_due_later_held_or_ended_starts() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    for (status, run_at) in [
        ("pending", "2100-01-01"),
        ("waiting", "2026-01-01"),
        ("waiting", "2100-01-01"),
        ("successful", "2026-01-01"),
        ("failed", "2026-01-01"),
        ("cancelled", "2100-01-01"),
    ] {
        db.run(&format!(
            "insert into supaqueue.job (queue, status, run_at) select id, '{status}', '{run_at}' from supaqueue.queue"
        ))
        .await;
        let says = run_now(&db).await;
        assert!(says.starts_with("It is due"), "{status}: {says}");
        assert_eq!(
            db.get("select status, attempts from supaqueue.job").await,
            "in_progress|1",
            "{status}"
        );
        let says = run_now(&db).await;
        assert!(says.starts_with("It was sent"), "{says}");
        db.run("delete from supaqueue.current_job; delete from supaqueue.job; update supaqueue.worker set locked = false").await;
    }
}

#[tokio::test]
async fn a_job_that_is_due_keeps_its_place_and_one_that_was_put_aside_is_tried_at_once() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue('q')").await;
    let place = "select run_at, position from supaqueue.ready_job";
    let before = db.get(place).await;
    let says = run_now(&db).await;
    assert!(says.contains("has no workers"), "{says}");
    assert_eq!(db.get(place).await, before);

    db.run("insert into supaqueue.held_job select job, queue, now() + interval '10 minutes' from supaqueue.ready_job; delete from supaqueue.ready_job").await;
    run_now(&db).await;
    assert_eq!(
        db.get("select (select count(*) from supaqueue.ready_job), (select count(*) from supaqueue.held_job)")
            .await,
        "1|0"
    );
}

#[tokio::test]
async fn what_cannot_run_is_an_error_with_the_reason() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    let error = db
        .refusal("select supaqueue.run_now(gen_random_uuid())")
        .await;
    assert!(
        error.contains("there is no such job; It was never committed"),
        "{error}"
    );
    let error = db.refusal("select supaqueue.run_now(null)").await;
    assert!(error.contains("cannot run job null"), "{error}");

    db.run("insert into supaqueue.job (queue, status, key) select id, 'failed', 'a' from supaqueue.queue; select supaqueue.enqueue('q', key => 'a')").await;
    let error = db
        .refusal("select supaqueue.run_now(id) from supaqueue.job where status = 'failed'")
        .await;
    assert!(error.contains("its key 'a' is held by job"), "{error}");

    db.run(
        &supaqueue_files::add_on("job_dependencies")
            .unwrap()
            .from_scratch(),
    )
    .await;
    db.run("select supaqueue.enqueue('q', '\"target\"', depends_on => array(select id from supaqueue.job where status = 'pending'))").await;
    let error = db
        .refusal("select supaqueue.run_now(id) from supaqueue.job where payload = '\"target\"'")
        .await;
    assert!(error.contains("it waits for other jobs (1)"), "{error}");
    let remedy = error.split_once("not to wait for: ").unwrap().1;
    run(db.client(), remedy).await;
    get(
        db.client(),
        "select supaqueue.run_now(id) from supaqueue.job where payload = '\"target\"'",
    )
    .await;
}

#[tokio::test]
async fn service_role_may() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("insert into supaqueue.job (queue, status) select id, 'failed' from supaqueue.queue")
        .await;
    let api = db.database().connect_as("service_role").await.unwrap();
    let says = get(&api, "select supaqueue.run_now(id) from supaqueue.job").await;
    assert!(says.starts_with("It is due"), "{says}");
}
