//! `supaqueue replay`, to a small server that checks what it gets.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use standardwebhooks::Webhook;
use supaqueue_files::vault::upsert_local_secret;
use supaqueue_tests::{Db, SECRET};

use crate::program::{assert_harmless, command, ended, supaqueue};

/// What the server got.
type Got = Arc<Mutex<Vec<(Uri, HeaderMap, String)>>>;

/// A server that answers with the status, and after the delay, that the path says.
async fn serve() -> (String, Got) {
    let got = Got::default();
    let seen = got.clone();
    let answer = async move |uri: Uri, headers: HeaderMap, body: Bytes| -> Response {
        let text = String::from_utf8(body.to_vec()).unwrap();
        seen.lock().unwrap().push((uri.clone(), headers, text));
        match uri.path().split('/').nth(1).unwrap() {
            "slow" => std::future::pending().await,
            "no" => (
                StatusCode::INTERNAL_SERVER_ERROR,
                [("supaqueue-retry", "no")],
                "no\u{1b}[2J",
            )
                .into_response(),
            "later" => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "120")]).into_response(),
            "away" => (StatusCode::FOUND, [("location", "/hello")]).into_response(),
            _ => (StatusCode::OK, [("x-answer", "yes")], "{\"sent\": true}").into_response(),
        }
    };
    let router = Router::new().fallback(answer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, got)
}

/// A failed job, of a queue with headers and a path.
async fn failed_job(db: &Db) -> String {
    db.queue("emails", 0).await;
    db.run(
        "update supaqueue.queue
         set default_headers = '{\"x-tenant\": \"a\", \"x-kind\": \"mail\"}', path = 'users/welcome?lang=de', timeout_ms = 60000",
    )
    .await;
    db.get(
        "insert into supaqueue.job (queue, status, payload, headers, attempts)
         values (supaqueue.queue_id('emails'), 'failed', '{\"n\": 12345678901234567890.10, \"t\": \"ü\"}', '{\"x-tenant\": \"b\"}', 2)
         returning id",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_function_gets_what_supaqueue_would_send_and_the_queue_stays_as_it_is() {
    let db = Db::new().await;
    let id = failed_job(&db).await;
    let everything = "select (select jsonb_agg(j) from supaqueue.job j), (select jsonb_agg(q) from supaqueue.queue q),
        (select jsonb_agg(c) from supaqueue.current_job c), (select jsonb_agg(r) from net.http_request_queue r)";
    let before = db.get(everything).await;
    let (url, got) = serve().await;
    let to = format!("{url}/hello/");
    let mut replay = command(&db, &["replay", &id, "--to", &to, "--key", "MY_KEY"]);
    replay
        .env("SUPAQUEUE_SECRET", SECRET)
        .env("MY_KEY", "jwt-of-mine");
    let run = ended(replay).await;
    run.assert(
        0,
        &[
            "HTTP 200 after",
            "x-answer: yes",
            "{\"sent\": true}",
            "a success",
            "signed with SUPAQUEUE_SECRET",
        ],
    );
    assert!(!format!("{run:?}").contains("jwt-of-mine"), "{run:?}");
    assert_eq!(db.get(everything).await, before);

    let (uri, headers, body) = got.lock().unwrap().pop().unwrap();
    assert_eq!(uri.to_string(), "/hello/users/welcome?lang=de");
    assert_eq!(
        body,
        db.get("select payload::text from supaqueue.job").await
    );
    Webhook::new(SECRET)
        .unwrap()
        .verify(body.as_bytes(), &headers)
        .unwrap();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer jwt-of-mine"),
        ("idempotency-key", &id),
        ("supaqueue-job-id", &id),
        ("supaqueue-queue", "emails"),
        ("supaqueue-attempt", "2"),
        ("x-tenant", "b"),
        ("x-kind", "mail"),
    ] {
        assert_eq!(header(name), Some(value), "{name}");
    }
    assert!(header("supaqueue-deadline").is_some() && header("traceparent").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_judged_as_supaqueue_would() {
    let db = Db::new().await;
    let id = failed_job(&db).await;
    let (url, _) = serve().await;
    let replay =
        async |to: &str| supaqueue(&db, &["replay", &id, "--to", &format!("{url}/{to}")]).await;
    replay("no").await.assert(
        1,
        &["HTTP 500", "status 500", "fail at once, without a retry"],
    );
    assert_harmless(&replay("no").await.out);
    replay("later")
        .await
        .assert(1, &["HTTP 429", "retried, after 2m at the earliest"]);
    replay("away")
        .await
        .assert(1, &["HTTP 302", "redirects are not followed"]);
    db.run("update supaqueue.job set attempts = 3; update supaqueue.queue set timeout_ms = 300")
        .await;
    replay("slow").await.assert(
        1,
        &[
            "no answer",
            "no answer within 300 ms",
            "this was attempt 3 of 3",
        ],
    );
    db.run("update supaqueue.queue set final_statuses = '{429}'")
        .await;
    replay("later").await.assert(1, &["without a retry"]);
    let run = supaqueue(&db, &["replay", &id, "--to", "http://127.0.0.1:9/x"]).await;
    run.assert(1, &["no answer", "network error"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_a_payload_nor_a_secret_goes_where_it_should_not() {
    let db = Db::new().await;
    let id = failed_job(&db).await;
    let (url, got) = serve().await;
    let to = format!("{url}/hello");
    // The Vault's secret is an installation's: nothing is signed with it.
    let run = supaqueue(&db, &["replay", &id, "--to", &to]).await;
    run.assert(0, &["not signed", "Without the project's key"]);
    let (_, headers, _) = got.lock().unwrap().pop().unwrap();
    for name in ["webhook-signature", "authorization", "apikey"] {
        assert!(headers.get(name).is_none(), "{name}");
    }
    // That of a stack of this machine is no secret.
    db.run(&upsert_local_secret(SECRET)).await;
    supaqueue(&db, &["replay", &id, "--to", &to])
        .await
        .assert(0, &["secret of `supaqueue dev`"]);
    let (_, headers, body) = got.lock().unwrap().pop().unwrap();
    Webhook::new(SECRET)
        .unwrap()
        .verify(body.as_bytes(), &headers)
        .unwrap();

    let remote = ["replay", &id, "--to", "http://192.0.2.1/functions/v1/hello"];
    supaqueue(&db, &remote)
        .await
        .assert(1, &["is not on this machine", "--allow-remote"]);
    let key = ["replay", &id, "--to", &to, "--key", "sb_secret_abc"];
    supaqueue(&db, &key).await.assert(1, &["not the key"]);
    supaqueue(&db, &["replay", &id, "--to", &to, "--key", "UNSET"])
        .await
        .assert(1, &["UNSET has no key"]);
    let nobody = "00000000-0000-4000-8000-000000000000";
    supaqueue(&db, &["replay", nobody, "--to", &to])
        .await
        .assert(1, &["has no job"]);
    assert!(got.lock().unwrap().is_empty());
}
