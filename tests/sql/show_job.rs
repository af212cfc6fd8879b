//! `supaqueue.show_job`, also of jobs that are large or hostile.

use serde_json::{Value, json};
use supaqueue_tests::protocol::{RUN, acknowledge_all};
use supaqueue_tests::{Db, run};

async fn show(db: &Db) -> Value {
    let shown = db
        .get("select supaqueue.show_job(id) from supaqueue.job order by position limit 1")
        .await;
    serde_json::from_str(&shown).unwrap()
}

#[tokio::test]
async fn a_job_through_its_life() {
    let db = Db::new().await;
    assert_eq!(
        db.get("select supaqueue.show_job(gen_random_uuid())").await,
        "null"
    );
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', '{\"a\": 1}', headers => '{\"x\": \"y\"}')")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    let shown = show(&db).await;
    assert_eq!(shown["queue"], "q");
    assert_eq!(shown["call"]["state"], "started");
    assert_eq!(shown["call"]["run"], RUN);
    assert!(shown["call"]["lease_until"].is_string());
    assert!(
        shown["explain"]
            .as_str()
            .unwrap()
            .starts_with("It is running")
    );
    assert_eq!(shown["attempts"][0]["attempt"], 1);
    assert_eq!(shown["job"]["payload_text"], "{\"a\": 1}");
    assert_eq!(shown["job"]["payload_bytes"], 8);
    assert_eq!(shown["job"]["headers"], json!({"x": "y"}));
    let columns = db.get("select string_agg(attname, ' ' order by attname) from pg_attribute
        where attrelid = 'supaqueue.job'::regclass and attnum > 0 and not attisdropped and attname not in ('payload', 'result', 'errors')").await;
    for column in columns.split(' ') {
        assert!(shown["job"].get(column).is_some(), "{column}");
    }

    db.run(&format!("select public.end_current_job(id, true, false, '{{\"run\": \"{RUN}\", \"http_status\": 500, \"duration_ms\": 12, \"error\": {{\"message\": \"no\", \"body\": \"<b>\"}}}}') from supaqueue.current_job")).await;
    let shown = show(&db).await;
    let attempt = &shown["attempts"][0];
    assert_eq!(
        (&attempt["status"], &attempt["message"], &attempt["body"]),
        (&json!(500), &json!("no"), &json!("<b>"))
    );
    assert_eq!(attempt["duration_ms"], 12);
    assert!(attempt["started_at"].is_string());
    assert_eq!(shown["call"], Value::Null);

    db.run("select supaqueue.run_now(id) from supaqueue.job")
        .await;
    db.run("select public.end_current_job(id, true, true, '{\"http_status\": 200, \"result\": \"fine\"}') from supaqueue.current_job").await;
    let shown = show(&db).await;
    assert_eq!(shown["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(
        (
            &shown["attempts"][1]["attempt"],
            &shown["attempts"][1]["status"]
        ),
        (&json!(2), &json!(200))
    );
    assert_eq!(shown["job"]["result_text"], "\"fine\"");
}

/// The second call has no error, and what is known of it does not belong to the first.
#[tokio::test]
async fn an_attempt_that_was_cancelled_is_one_of_its_own() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run("select public.end_current_job(id, true, false) from supaqueue.current_job")
        .await;
    db.run("update supaqueue.job set run_at = now()").await;
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    let shown = show(&db).await;
    let attempts = shown["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert!(attempts[0].get("started_at").is_none());
    assert_eq!(attempts[1]["attempt"], 2);
    assert_eq!(attempts[1]["started_at"], shown["job"]["started_at"]);
}

#[tokio::test]
async fn its_schedule_and_its_neighbours() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.schedule('every näght', 'q', cron => '0 3 * * *'); select supaqueue.run_schedule('every näght')").await;
    assert_eq!(show(&db).await["schedule"], "every näght");
    assert_eq!(show(&db).await["sources"], json!([]));
    db.run(
        &supaqueue_files::add_on("job_dependencies")
            .unwrap()
            .from_scratch(),
    )
    .await;
    db.run("select supaqueue.enqueue('q', depends_on => array(select id from supaqueue.job)) from generate_series(1, 150)").await;
    let shown = show(&db).await;
    assert_eq!(shown["sources"], json!([]));
    assert_eq!(shown["targets"].as_array().unwrap().len(), 100);
    assert_eq!(shown["targets"][0]["status"], "waiting");
    assert_eq!(shown["targets"][0]["queue"], "q");
    let target = shown["targets"][0]["id"].as_str().unwrap();
    let api = db.database().connect_as("service_role").await.unwrap();
    let shown = supaqueue_tests::get(
        &api,
        &format!("select supaqueue.show_job('{target}') -> 'sources' -> 0 ->> 'status'"),
    )
    .await;
    assert_eq!(shown, "pending");
}

#[tokio::test]
async fn what_it_returns_is_bounded_however_hostile_the_job_is() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    for payload in [
        "to_jsonb(repeat('x', 4999990))",
        "jsonb_build_object('html', '</script><img src=x onerror=alert(1)>', 'rtl', U&'\\202Eabc\\202C\\2067', 'bell', E'\\x01\\x07\\x1b[31m', 'emoji', repeat('👩‍👩‍👧', 100000))",
        "(repeat('[', 6000) || repeat(']', 6000))::jsonb",
        "(select jsonb_object_agg(i, 0.00000000000000000001) from generate_series(1, 100000) i)",
    ] {
        db.run("delete from supaqueue.job").await;
        db.run(&format!(
            "insert into supaqueue.job (queue, status, payload, result, errors)
             select q.id, 'failed', p.payload, p.payload,
               (select jsonb_agg(jsonb_build_object('attempt', i, 'message', repeat('m', 20000), 'body', repeat('<b>', 20000))) || '[7, null, \"odd\", [], {{\"message\": 5}}]'::jsonb
                from generate_series(1, 200) i)
             from supaqueue.queue q, (select {payload} as payload) p"
        ))
        .await;
        let shown = show(&db).await;
        assert_eq!(
            shown["attempts"].as_array().unwrap().len(),
            100,
            "{payload}"
        );
        let text = shown["job"]["payload_text"].as_str().unwrap();
        assert!(text.chars().count() <= 100_000, "{payload}");
        assert_eq!(
            shown["job"]["payload_bytes"].to_string(),
            db.get("select octet_length(payload::text) from supaqueue.job")
                .await
        );
        let bytes: u64 = db
            .get("select length(supaqueue.show_job(id)::text) from supaqueue.job")
            .await
            .parse()
            .unwrap();
        assert!(bytes < 4_000_000, "{payload}: {bytes} bytes");
        let listed = db
            .get("select length((supaqueue.list_jobs() -> 'jobs')::text) from supaqueue.job")
            .await;
        assert!(listed.parse::<u64>().unwrap() < 2000, "{listed}");
    }
}

/// As the dashboard's sessions with `--read-only` are, and with settings that somebody has deleted.
#[tokio::test]
async fn all_that_reads_works_in_a_read_only_session() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}'); select supaqueue.schedule('s', 'q', cron => '* * * * *'); delete from supaqueue.setting").await;
    db.run(
        &supaqueue_files::add_on("job_dependencies")
            .unwrap()
            .from_scratch(),
    )
    .await;
    for role in ["postgres", "service_role"] {
        let client = db.connect().await;
        run(
            &client,
            &format!("set role {role}; set default_transaction_read_only = on"),
        )
        .await;
        for statement in [
            "select supaqueue.list_jobs('{\"queue\": \"q\"}')",
            "select supaqueue.show_job(id) from supaqueue.job",
            "select * from supaqueue.preview('cancel', '{}')",
            "select supaqueue.explain(id) from supaqueue.job",
            "select * from supaqueue.queue_status",
            "select * from supaqueue.next_times('* * * * *')",
            "select supaqueue.explain_schedule('s')",
            "select * from supaqueue.operation",
        ] {
            let read = supaqueue_tests::get(&client, statement).await;
            assert!(
                !read.contains("could not be found out"),
                "{role}: {statement}: {read}"
            );
        }
        assert_eq!(
            supaqueue_tests::get(&client, "select problem from supaqueue.problem").await,
            "",
            "{role}"
        );
        let error =
            supaqueue_tests::refusal(&client, "select supaqueue.run_now(id) from supaqueue.job")
                .await;
        assert!(error.contains("read-only transaction"), "{error}");
    }
}
