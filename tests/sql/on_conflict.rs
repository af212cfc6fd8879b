//! `enqueue` with a key: `on_conflict` says what happens to the job that holds the key.

use supaqueue_tests::{Db, assert_rows};

/// A database with a queue `q`.
async fn with_queue(settings: &str) -> Db {
    let db = Db::new().await;
    db.queue("q", 0).await;
    if !settings.is_empty() {
        db.run(&format!("update supaqueue.queue set {settings}"))
            .await;
    }
    db
}

/// What `enqueue_outcome` returns.
async fn enqueue(db: &Db, arguments: &str) -> (String, String) {
    let row = db
        .get(&format!(
            "select job, outcome from supaqueue.enqueue_outcome('q', {arguments})"
        ))
        .await;
    let (job, outcome) = row.split_once('|').unwrap();
    (job.into(), outcome.into())
}

#[tokio::test]
async fn a_plain_insert_meets_a_unique_index() {
    let db = with_queue("").await;
    let insert = "insert into supaqueue.job (queue, key) select q.id, 'a' from supaqueue.queue q";
    db.run(insert).await;
    assert_eq!(db.refusal(insert).await, "a_key_is_held_by_one_job");
    db.run(&format!("{insert} on conflict do nothing")).await;
    db.queue("other", 0).await;
    db.run(&format!("{insert} on conflict do nothing")).await;
    assert_rows(
        db.client(),
        "select q.name, count(*) from supaqueue.job j join supaqueue.queue q on q.id = j.queue group by 1 order by 1",
        "other|1\nq|1",
    )
    .await;
}

#[tokio::test]
async fn each_way_changes_the_holder_as_it_says() {
    let db = with_queue("postpone_at_most = '1 hour'").await;
    let (first, outcome) = enqueue(
        &db,
        "'[1]', key => 'a', run_at => '2100-01-01Z', headers => '{\"x\": \"y\"}', path => 'p', tenant => 't'",
    )
    .await;
    assert_eq!(outcome, "inserted");
    let holder = "select payload, priority, run_at at time zone 'utc', headers, path, max_attempts, timeout_ms, tenant from supaqueue.job";
    for (arguments, want_outcome, want) in [
        (
            "'[2]', 7, '2099-01-01Z', max_attempts => 9",
            "kept",
            r#"[1]|0|2100-01-01 00:00:00|{"x": "y"}|p|null|null|t"#,
        ),
        (
            "'[2]', 7, '2099-01-01Z', max_attempts => 9, on_conflict => 'merge'",
            "merged",
            r#"[1, 2]|0|2100-01-01 00:00:00|{"x": "y"}|p|null|null|t"#,
        ),
        (
            "'{\"a\": 1, \"b\": 1}', 7, '2099-01-01Z', max_attempts => 9, timeout_ms => 5, tenant => 'u', on_conflict => 'replace'",
            "replaced",
            r#"{"a": 1, "b": 1}|7|2100-01-01 00:00:00|null|null|9|5|u"#,
        ),
        (
            "'{\"b\": 2}', on_conflict => 'merge'",
            "merged",
            r#"{"a": 1, "b": 2}|7|2100-01-01 00:00:00|null|null|9|5|u"#,
        ),
        (
            "'3', run_at => '2098-01-01Z', on_conflict => 'postpone'",
            "postponed",
            "3|0|2098-01-01 00:00:00|null|null|null|null|null",
        ),
    ] {
        let got = enqueue(&db, &format!("{arguments}, key => 'a'")).await;
        assert_eq!(got, (first.clone(), want_outcome.into()), "{arguments}");
        assert_eq!(db.get(holder).await, want, "{arguments}");
    }
    assert_eq!(
        db.get("select supaqueue.enqueue('q', key => 'a')").await,
        first
    );
}

#[tokio::test]
async fn a_job_is_postponed_at_most_as_long_as_its_queue_says() {
    let db = with_queue("postpone_at_most = '1 hour'").await;
    let run_at = "select run_at = created_at + interval '1 hour', run_at > created_at + interval '50 min' from supaqueue.job";
    for minutes in [5, 55, 65] {
        enqueue(&db, &format!("key => 'a', on_conflict => 'postpone', run_at => now() + {minutes} * interval '1 min'")).await;
    }
    assert_rows(db.client(), run_at, "t|t").await;
    db.run("update supaqueue.queue set postpone_at_most = null")
        .await;
    enqueue(
        &db,
        "key => 'a', on_conflict => 'postpone', run_at => now() + interval '1 day'",
    )
    .await;
    assert_rows(db.client(), run_at, "f|t").await;
    db.run("update supaqueue.queue set postpone_at_most = '1 hour'")
        .await;
    enqueue(
        &db,
        "key => 'a', on_conflict => 'postpone', run_at => now() + interval '2 days'",
    )
    .await;
    assert_rows(
        db.client(),
        "select run_at < now() + interval '25 hours', run_at > now() + interval '23 hours' from supaqueue.job",
        "t|t",
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_enqueued_is_refused_with_the_reason() {
    let db = with_queue("").await;
    let (holder, _) = enqueue(&db, "'[1]', key => 'a'").await;
    let cases = [
        (
            "'[]', key => 'a', on_conflict => 'update'",
            "cannot enqueue: on_conflict is 'update', not keep, replace, postpone or merge".to_owned(),
        ),
        (
            "'[]', key => 'a', on_conflict => null",
            "cannot enqueue: on_conflict is null, not keep, replace, postpone or merge".to_owned(),
        ),
        (
            "on_conflict => 'replace'",
            "cannot enqueue: on_conflict is 'replace', but the job has no key; Add what the job is about, such as key => 'user 42'."
                .to_owned(),
        ),
        (
            "'1', key => 'b', on_conflict => 'merge'",
            "cannot enqueue: on_conflict is 'merge', but the payload is neither an array nor an object; Wrap it: jsonb_build_array(…)."
                .to_owned(),
        ),
        (
            "'{}', key => 'a', on_conflict => 'merge'",
            format!("cannot merge the payload (object) into that of job {holder} (array), which holds the key 'a'; Two arrays can be merged, or two objects."),
        ),
        ("key => ''", "key_is_of_1_to_2000_bytes".to_owned()),
        ("key => repeat('ä', 1001)", "key_is_of_1_to_2000_bytes".to_owned()),
    ];
    for function in ["enqueue", "enqueue_outcome"] {
        for (arguments, want) in &cases {
            let call = format!("select supaqueue.{function}('q', {arguments})");
            assert_eq!(&db.refusal(&call).await, want, "{call}");
        }
    }
    assert_eq!(
        db.refusal(
            "select supaqueue.enqueue_many('q', array['1', '2']::jsonb[], keys => array['a'])"
        )
        .await,
        "cannot enqueue: there are 2 payloads and 1 keys; Pass one key per payload; null for a job without one."
    );
    assert_eq!(
        db.refusal(
            "select supaqueue.enqueue_many('q', array['1', '2']::jsonb[], on_conflict => 'replace')"
        )
        .await,
        "cannot enqueue: there are 2 payloads and no keys; Pass one key per payload; null for a job without one."
    );
    assert_rows(db.client(), "select payload from supaqueue.job", "[1]").await;
}

#[tokio::test]
async fn payloads_of_one_call_meet_each_other() {
    let db = with_queue("").await;
    let ids = db
        .get(
            "select supaqueue.enqueue_many('q', array['[1]', '[2]', '[3]', '[4]', '5']::jsonb[],
               keys => array['a', 'b', 'a', null, null], on_conflict => 'merge')",
        )
        .await;
    let ids: Vec<_> = ids.lines().collect();
    assert_eq!(ids.len(), 5);
    assert_eq!(ids[0], ids[2]);
    assert_rows(
        db.client(),
        "select id, payload, key from supaqueue.job order by position",
        &format!(
            "{}|[1, 3]|a\n{}|[2]|b\n{}|[4]|null\n{}|5|null",
            ids[0], ids[1], ids[3], ids[4]
        ),
    )
    .await;
}
