//! The page of one job.

use supaqueue_tests::Db;

use crate::actions::act;
use crate::client::{Client, database, end_call};

/// What a page must show as text, as it must come out.
const HOSTILE: &str = "</pre><script>alert(1)</script>\u{202e}\u{1b}[31m";

async fn only_job(db: &Db) -> String {
    db.get("select id from supaqueue.job").await
}

#[tokio::test]
async fn a_job_is_explained_with_its_attempts() {
    let db = Db::new().await;
    db.queue("emails", 1).await;
    db.run("select supaqueue.enqueue('emails', '{\"user\": 7.00}', key => 'order-1', tenant => 'acme')")
        .await;
    let id = only_job(&db).await;
    let client = Client::new(&db).await;
    let page = client.get(&format!("/jobs/{id}")).await;
    page.says("sent to the supaqueue function");
    page.says("{\n  &quot;user&quot;: 7.00\n}");
    page.says("order-1");
    page.says("<a href=\"/jobs?q=tenant%3Aacme\">");
    page.says(&format!("supaqueue replay {id}"));
    end_call(
        &db,
        "emails",
        false,
        r#"{"http_status": 503, "error": {"message": "busy", "body": "try later"}}"#,
    )
    .await;
    let page = client.get(&format!("/jobs/{id}")).await;
    page.says("for a retry after attempt 1 of 3 failed");
    page.says("attempt 1 failed after");
    page.says("not due yet");
    page.says("HTTP <bdi>503</bdi>");
    page.says("try later");
    assert!(
        page.body.find("for a retry") < page.body.find("Attempt 1"),
        "the explanation comes first"
    );
}

#[tokio::test]
async fn hostile_content_is_text() {
    let db = Db::new().await;
    db.queue("emails", 1).await;
    db.client()
        .execute(
            "insert into supaqueue.job (queue, payload, headers, key, max_attempts)
             values (supaqueue.queue_id('emails'), jsonb_build_object($1::text, $1::text), jsonb_build_object('x-note', '<b>', 'x-api-token', 'hunter2'), $1, 1)",
            &[&HOSTILE],
        )
        .await
        .unwrap();
    let text = HOSTILE.replace('\u{1b}', "\\u001b");
    end_call(
        &db,
        "emails",
        false,
        &format!(r#"{{"http_status": 500, "error": {{"message": "{text}", "body": "{text}"}}}}"#),
    )
    .await;
    let id = only_job(&db).await;
    let client = Client::new(&db).await;
    for path in [format!("/jobs/{id}"), "/jobs".into(), "/failures".into()] {
        let page = client.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(!page.body.contains("<script>alert"), "{path}");
        assert!(!page.body.contains(['\u{202e}', '\u{1b}']), "{path}");
        page.says("U+202E");
    }
    let page = client.get(&format!("/jobs/{id}")).await;
    page.says("x-api-token");
    assert!(!page.body.contains("hunter2"), "a secret is shown");
}

#[tokio::test]
async fn a_large_payload_is_cut_and_can_be_downloaded() {
    let db = database().await;
    db.run("insert into supaqueue.job (queue, payload) values (supaqueue.queue_id('emails'), jsonb_build_object('text', repeat('<b>', 1000000)))")
        .await;
    let id = only_job(&db).await;
    let client = Client::new(&db).await;
    let page = client.get(&format!("/jobs/{id}")).await;
    assert!(page.body.len() < 1_000_000, "{} bytes", page.body.len());
    page.says("3,000,012 bytes");
    let whole = client.get(&page.link("Download all of it")).await;
    assert_eq!(whole.body.len(), 3_000_012);
    assert!(whole.header("content-type").starts_with("text/plain"));
    assert_eq!(client.get(&format!("/jobs/{id}/result")).await.status, 404);
}

#[tokio::test]
async fn a_job_that_is_gone_is_not_found() {
    let client = Client::new(&database().await).await;
    for id in [
        "00000000-0000-0000-0000-000000000000",
        "7",
        "%00",
        "%3Cscript%3E",
        "' or true --".replace(' ', "%20").as_str(),
    ] {
        let page = client.get(&format!("/jobs/{id}")).await;
        assert!([400, 404].contains(&page.status), "{id}: {}", page.status);
        assert!(!page.body.contains("<script>"), "{id}");
    }
    client
        .get("/jobs/00000000-0000-0000-0000-000000000000")
        .await
        .says("it was deleted, as finished jobs are after a while");
}

#[tokio::test]
async fn a_job_is_cancelled_retried_run_now_and_deleted() {
    let db = database().await;
    db.run("insert into supaqueue.job (queue, run_at) values (supaqueue.queue_id('emails'), now() + interval '1 day')").await;
    let id = only_job(&db).await;
    let client = Client::new(&db).await;
    let page = async || client.get(&format!("/jobs/{id}")).await;
    act(&client, "run-job", &page().await.form("run-job")).await;
    assert_eq!(
        db.get("select run_at <= now() from supaqueue.job").await,
        "t"
    );
    act(&client, "cancel-job", &page().await.form("cancel-job")).await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "cancelled"
    );
    act(&client, "retry-job", &page().await.form("retry-job")).await;
    assert_eq!(db.get("select status from supaqueue.job").await, "pending");
    act(&client, "delete-job", &page().await.form("delete-job")).await;
    assert_eq!(page().await.status, 404);
}
