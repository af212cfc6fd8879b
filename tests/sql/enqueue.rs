//! `enqueue`, `enqueue_many` and `set_workers`.

use supaqueue_tests::Db;

#[tokio::test]
async fn enqueue_returns_the_id_and_stores_every_argument() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    let id = db
        .get(r#"select supaqueue.enqueue('q', '{"a": 1}', priority => 3, run_at => '2100-01-01Z', headers => '{"x": "y"}', max_attempts => 7, timeout_ms => 5, path => 'a?b=c', tenant => 't')"#)
        .await;
    assert_eq!(
        db.get("select id, payload, priority, run_at at time zone 'utc', headers, max_attempts, timeout_ms, path, tenant from supaqueue.job").await,
        format!(r#"{id}|{{"a": 1}}|3|2100-01-01 00:00:00|{{"x": "y"}}|7|5|a?b=c|t"#)
    );
}

#[tokio::test]
async fn enqueue_many_keeps_the_order_of_the_payloads() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    let ids = db.get("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(1, 50) i))").await;
    assert_eq!(
        db.get("select id from supaqueue.job order by payload")
            .await,
        ids
    );
    assert_eq!(
        db.get("select id from supaqueue.job order by position")
            .await,
        ids
    );
    db.run("select supaqueue.enqueue_many('q', array['51', '52']::jsonb[], path => 'a/b', tenant => 't')")
        .await;
    assert_eq!(
        db.get("select string_agg(payload::text, ' ' order by position) from supaqueue.job where path = 'a/b' and tenant = 't'")
            .await,
        "51 52"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.enqueue_many('q', '{}')")
            .await,
        "0"
    );
}

#[tokio::test]
async fn an_unknown_queue_is_reported_by_name_with_a_remedy() {
    let db = Db::new().await;
    for call in [
        "enqueue('nope')",
        "enqueue_many('nope', '{}')",
        "enqueue_many('nope', array['1']::jsonb[])",
        "set_workers('nope', 1)",
    ] {
        let refusal = db.refusal(&format!("select supaqueue.{call}")).await;
        assert!(
            refusal.starts_with("there is no queue named 'nope'; Create it: insert into"),
            "{call}: {refusal}"
        );
    }
    assert!(
        db.refusal("select supaqueue.enqueue(null)")
            .await
            .starts_with("there is no queue named null")
    );
}

#[tokio::test]
async fn set_workers_rejects_an_invalid_number() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    for number in ["-1", "null", "10001"] {
        assert_eq!(
            db.refusal(&format!("select supaqueue.set_workers('q', {number})"))
                .await,
            format!(
                "cannot give queue 'q' {number} workers; The number of workers is between 0 and 10000."
            )
        );
    }
}
