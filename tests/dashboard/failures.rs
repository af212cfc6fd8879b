//! The page Failures.

use supaqueue_tests::Db;

use crate::actions::act;
use crate::client::{Client, end_call};

#[tokio::test]
async fn the_jobs_of_a_group_are_retried_and_no_others() {
    let db = Db::new().await;
    for queue in ["emails", "other"] {
        db.queue(queue, 1).await;
        db.run(&format!(
            "update supaqueue.queue set max_attempts = 1 where name = '{queue}'"
        ))
        .await;
    }
    for (queue, message) in [
        ("emails", "no user 1"),
        ("emails", "no user 2"),
        ("emails", "on fire"),
        ("other", "no user 3"),
    ] {
        db.run(&format!("select supaqueue.enqueue('{queue}')"))
            .await;
        end_call(
            &db,
            queue,
            false,
            &format!(r#"{{"http_status": 404, "error": {{"message": "{message}"}}}}"#),
        )
        .await;
    }
    let client = Client::new(&db).await;
    let page = client.get("/failures").await;
    assert_eq!(page.count("<article class=\"group\""), 3);
    let page = client.get("/failures?queue=emails").await;
    assert_eq!(page.count("<article class=\"group\""), 2);
    page.says("no user 2");
    page.says("HTTP 404");
    let jobs = client.get(&page.link(">2 jobs")).await;
    assert_eq!(
        jobs.count("<tr id=\"job-"),
        2,
        "the link leads to the jobs of the group"
    );

    // The group that failed first is the second on the page.
    let group = page
        .body
        .split("<article")
        .find(|group| group.contains("no user 2"))
        .unwrap();
    let group = crate::client::Answer {
        body: group.to_owned(),
        status: 200,
        headers: Default::default(),
    };
    db.run("update supaqueue.queue set is_paused = true").await;
    act(&client, "retry-jobs", &group.form("retry-jobs")).await;
    db.tick().await;
    assert_eq!(
        db.get(
            "select string_agg(coalesce(j.errors -> -1 ->> 'message', '') || ' ' || j.status, ', ' order by j.id) from supaqueue.job j"
        )
        .await,
        "no user 1 pending, no user 2 pending, on fire failed, no user 3 failed"
    );
    client
        .get("/failures?queue=nobody")
        .await
        .says("No job of ");
}
