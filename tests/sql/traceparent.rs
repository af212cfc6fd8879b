//! The `traceparent` of the API request that inserts a job goes with the job.

use supaqueue_tests::Db;

const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The headers of a job that is inserted with these, while PostgREST's setting has this value.
async fn headers(db: &Db, request_headers: &str, headers: &str) -> String {
    db.run(&format!("set request.headers = '{request_headers}'"))
        .await;
    db.get(&format!(
        "with new as (insert into supaqueue.job (queue, headers) select id, {headers} from supaqueue.queue returning headers) select headers from new"
    ))
    .await
}

#[tokio::test]
async fn a_valid_one_is_stored_unless_the_job_names_one() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    let request = format!(r#"{{"accept": "*/*", "traceparent": "{TRACEPARENT}"}}"#);
    let stored = format!(r#""traceparent": "{TRACEPARENT}""#);
    assert_eq!(
        headers(&db, &request, "null").await,
        format!("{{{stored}}}")
    );
    assert_eq!(
        headers(&db, &request, r#"'{"x-a": "1"}'"#).await,
        format!(r#"{{"x-a": "1", {stored}}}"#)
    );
    for own in [r#"{"traceparent": "mine"}"#, r#"{"TraceParent": "mine"}"#] {
        assert_eq!(headers(&db, &request, &format!("'{own}'")).await, own);
    }
    // As compact as PostgREST writes it.
    let compact = format!(r#"{{"traceparent":"{TRACEPARENT}"}}"#);
    assert_eq!(
        headers(&db, &compact, "null").await,
        format!("{{{stored}}}")
    );
}

#[tokio::test]
async fn anything_else_is_ignored_and_fails_no_insert() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    for setting in [
        "",
        "{}",
        "nonsense \"traceparent\"",
        r#"{"traceparent": 7}"#,
        r#"{"traceparent": "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"}"#,
        r#"{"traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"}"#,
        r#"{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"}"#,
        r#"{"traceparent": "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#,
        r#"{"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"}"#,
        r#"{"traceparent": "00-0af7651916cd43dd8448eb211c80319c"#,
        // In the value of another header.
        r#"{"x-a": "{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"}"}"#,
    ] {
        assert_eq!(headers(&db, setting, "null").await, "null", "{setting}");
    }
}

#[tokio::test]
async fn headers_that_have_no_room_stay_as_they_are() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    let request = format!(r#"{{"traceparent": "{TRACEPARENT}"}}"#);
    let large = "jsonb_build_object('x-a', repeat('a', 16350))";
    assert!(!headers(&db, &request, large).await.contains("traceparent"));
    let refusal = db
        .refusal("insert into supaqueue.job (queue, headers) select id, '[]' from supaqueue.queue")
        .await;
    assert_eq!(refusal, "headers_are_an_object_of_strings");
}
