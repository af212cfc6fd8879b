//! What the database sends to the supaqueue function, and when.

use supaqueue_core::signature::{Keys, SignedHeaders, verify};
use supaqueue_tests::protocol::{RUN, acknowledge_all};
use supaqueue_tests::{Db, SECRET, run};

/// The number of current jobs in each request, in the order they were sent.
async fn requests(db: &Db) -> String {
    db.get(
        "select string_agg(jsonb_array_length(convert_from(body, 'UTF8')::jsonb -> 'current_jobs')::text, ' ' order by id)
         from net.http_request_queue",
    )
    .await
}

#[tokio::test]
async fn one_request_carries_many_current_jobs() {
    let db = Db::new().await;
    db.queue("q", 45).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[100]))")
        .await;
    assert_eq!(
        requests(&db).await,
        "20 20 5",
        "at most jobs_per_request each"
    );
    assert_eq!(
        db.get("select count(distinct request_id), count(*) from supaqueue.current_job")
            .await,
        "3|45"
    );
}

#[tokio::test]
async fn queues_used_in_one_transaction_share_a_request() {
    let db = Db::new().await;
    db.queue("a", 2).await;
    db.queue("b", 2).await;
    db.run("begin; select supaqueue.enqueue('a'); select supaqueue.enqueue('b'); select supaqueue.enqueue('a'); commit").await;
    assert_eq!(requests(&db).await, "3");
}

#[tokio::test]
async fn nothing_is_sent_before_commit_or_after_a_rollback() {
    let db = Db::new().await;
    db.queue("q", 5).await;
    db.run("begin; select supaqueue.enqueue('q'); savepoint s; select supaqueue.enqueue('q'); rollback to s").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "0",
        "nothing starts before the commit"
    );
    db.run("commit").await;
    assert_eq!(
        requests(&db).await,
        "1",
        "the job that was rolled back to the savepoint is not sent"
    );

    db.run("begin; savepoint s; select supaqueue.enqueue('q'); rollback to s; select supaqueue.enqueue('q'); commit").await;
    assert_eq!(
        requests(&db).await,
        "1 1",
        "this holds when the first job of the transaction is rolled back"
    );
    db.run("begin; select supaqueue.enqueue('q'); rollback")
        .await;
    assert_eq!(requests(&db).await, "1 1");
}

#[tokio::test]
async fn rust_verifies_the_signature_made_by_postgres() {
    let db = Db::new().await;
    db.queue("é \u{1} 😀", 1).await;
    db.run("insert into supaqueue.job (queue) select id from supaqueue.queue")
        .await;
    let request = db
        .client()
        .query_one("select headers::text, convert_from(body, 'UTF8'), url, extract(epoch from clock_timestamp())::bigint from net.http_request_queue", &[])
        .await
        .unwrap();
    let headers: serde_json::Value = serde_json::from_str(request.get(0)).unwrap();
    let header = |name: &str| headers[name].as_str().unwrap_or_default();
    let body: &str = request.get(1);
    assert_eq!(
        request.get::<_, &str>(2),
        "http://127.0.0.1:9/functions/v1/supaqueue"
    );
    assert!(
        !headers.to_string().contains(&SECRET[6..]),
        "the secret is not sent"
    );

    let signed = SignedHeaders {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let now =
        supaqueue_core::time::Timestamp::from_ms(request.get::<_, i64>(3).cast_unsigned() * 1000);
    let keys = Keys::parse(SECRET).unwrap();
    assert!(verify(&keys, signed, body.as_bytes(), now).is_ok());
    assert!(verify(&keys, signed, body.replacen('1', "2", 1).as_bytes(), now).is_err());
}

#[tokio::test]
async fn each_dispatch_has_its_own_traceparent() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run("select supaqueue.enqueue('q')").await;
    assert_eq!(
        db.get("select count(distinct headers ->> 'traceparent'), bool_and(headers ->> 'traceparent' ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-01$')
                from net.http_request_queue").await,
        "2|t"
    );
    assert_eq!(
        db.get("select bool_or(headers ? 'apikey') from net.http_request_queue")
            .await,
        "f",
        "no apikey unless the Vault has one"
    );
    db.run("select vault.create_secret('sb_publishable_x', 'supaqueue_anon_key')")
        .await;
    db.run("update supaqueue.job set status = 'cancelled'; select supaqueue.set_workers('q', 3); select supaqueue.enqueue('q')").await;
    assert_eq!(
        db.get("select headers ->> 'apikey' from net.http_request_queue order by id desc limit 1")
            .await,
        "sb_publishable_x"
    );
}

#[tokio::test]
async fn the_payload_reaches_the_run_exactly_as_jsonb_stores_it() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run(r#"select supaqueue.enqueue('q', '{"b": 123456789012345678901234567890, "a": {"deep": [[[["\ud83d\ude00"]]]]}}')"#).await;
    let started = db.get(&acknowledge_all(RUN)).await;
    let payload = db.get("select payload from supaqueue.job").await;
    assert!(started.contains(&payload), "{started}");
}

#[tokio::test]
async fn an_insert_whose_job_cannot_start_warns_with_the_reason_and_a_remedy() {
    let db = Db::without_secrets().await;
    db.queue("q", 1).await;
    let warnings = db
        .warnings("insert into supaqueue.job (queue) values (supaqueue.queue_id('q'))")
        .await;
    assert_eq!(
        warnings,
        [
            "supaqueue could not start jobs: the Vault of this database has no secret named supaqueue_secret; \
             Run `supaqueue install --project-ref <ref>` with the ref of this very project or preview branch \
             (for a local stack --local, for any other Postgres --db-url): it stores one in the Vault and in the function's environment. They stay pending and are started later."
        ]
    );
}

#[tokio::test]
async fn an_insert_succeeds_when_a_requirement_is_missing_and_the_job_starts_once_it_is_met() {
    let db = Db::without_secrets().await;
    db.schedule_tick().await;
    db.queue("q", 1).await;
    let admin = db.database().connect_as_admin().await.unwrap();
    let secret = format!("select vault.create_secret('{SECRET}', 'supaqueue_secret')");
    let set_invalid_key = "select vault.update_secret((select id from vault.secrets where name = 'supaqueue_secret'), 'password')".to_owned();
    let set_valid_key = format!(
        "select vault.update_secret((select id from vault.secrets where name = 'supaqueue_secret'), '{SECRET}')"
    );
    let steps = [
        (String::new(), "the Vault of this database has no secret named supaqueue_secret"),
        (secret, "the Vault of this database has no secret named supaqueue_url"),
        ("select vault.create_secret('https://host/path', 'supaqueue_url')".into(), "the Vault's supaqueue_url is not a URL of the form https://host"),
        ("select vault.update_secret((select id from vault.secrets where name = 'supaqueue_url'), 'https://host')".into(), ""),
        (set_invalid_key, "the Vault's supaqueue_secret is not a key of the form whsec_<base64>"),
        (set_valid_key, ""),
        ("alter schema net rename to gone".into(), "the extension pg_net is not installed"),
        ("alter schema gone rename to net".into(), ""),
        ("alter schema vault rename to gone".into(), "the extension supabase_vault is not installed"),
        ("alter schema gone rename to vault".into(), ""),
        ("alter function net.http_post rename to real_http_post;
          create function net.http_post(url text, body jsonb default '{}', params jsonb default '{}', headers jsonb default '{}', timeout_milliseconds int default 5000)
            returns bigint language plpgsql as $$ begin raise exception 'disk full'; end $$".into(), "?"),
        ("drop function net.http_post; alter function net.real_http_post rename to http_post".into(), ""),
    ];
    for (change, problem) in steps {
        run(&admin, &change).await;
        db.run("delete from supaqueue.job; delete from supaqueue.current_job")
            .await;
        db.tick().await;
        db.run("select supaqueue.enqueue('q')").await;
        let status = if problem.is_empty() {
            "in_progress"
        } else {
            "pending"
        };
        assert_eq!(
            db.get("select status from supaqueue.job").await,
            status,
            "after {change:?}"
        );
        // What failed is tried again after a pause, and is a problem until then.
        run(
            &admin,
            "update supaqueue.unfinished set retry_at = '-infinity'",
        )
        .await;
        db.tick().await;
        if problem != "?" {
            assert_eq!(
                db.get("select problem from supaqueue.problem").await,
                problem,
                "after {change:?}"
            );
            assert_eq!(
                db.get("select count(*) from supaqueue.problem where remedy is null")
                    .await,
                "0"
            );
        }
        assert_eq!(
            db.get("select locked from supaqueue.worker").await,
            if problem.is_empty() { "t" } else { "f" }
        );
        let attempts = if problem.is_empty() { "1" } else { "0" };
        assert_eq!(
            db.get("select attempts from supaqueue.job").await,
            attempts,
            "no attempt is spent"
        );
    }

    run(&admin, "alter schema net rename to gone").await;
    db.run("delete from supaqueue.current_job; delete from supaqueue.job")
        .await;
    db.tick().await;
    db.run("select supaqueue.enqueue('q')").await;
    assert_eq!(db.get("select status from supaqueue.job").await, "pending");
    run(&admin, "alter schema gone rename to net").await;
    db.tick().await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress",
        "the tick starts the job once the extension is back"
    );
}

#[tokio::test]
async fn ten_thousand_jobs_in_one_insert_wake_the_queue_once() {
    let db = Db::new().await;
    db.queue("q", 20).await;
    db.run("insert into supaqueue.job (queue) select q.id from supaqueue.queue q, generate_series(1, 10000)").await;
    assert_eq!(requests(&db).await, "20");
}
