//! `enqueue` with `depends_on`, and `enqueue_pipeline` for a whole pipeline.

use supaqueue_tests::{get, refusal};

use crate::database::AddOnDb;

#[tokio::test]
async fn enqueue_makes_a_job_wait_for_others() {
    let db = AddOnDb::new(1).await;
    db.run("select add_jobs('q', 'a', 'b')").await;
    db.run(
        r#"select supaqueue.enqueue('q', '{"name": "c"}', depends_on => array[id('a'), id('b'), id('a')], priority => 3,
             on_failure => 'continue', pass_results => true)"#,
    )
    .await;
    assert_eq!(db.statuses().await, "a in_progress, b pending, c waiting");
    assert_eq!(
        db.get("select count(*), bool_and(on_failure = 'continue' and pass_result), max(j.priority) from supaqueue.job_dependencies join supaqueue.job j on j.id = target").await,
        "2|t|3"
    );
}

#[tokio::test]
async fn enqueue_without_depends_on_behaves_as_without_the_add_on() {
    let db = AddOnDb::new(0).await;
    for call in [
        "select supaqueue.enqueue('q')",
        r#"select supaqueue.enqueue('q', '{"a": 1}')"#,
        r#"select supaqueue.enqueue(queue_name => 'q', payload => '{"a": 1}')"#,
        "select supaqueue.enqueue('q'::text, '{}'::jsonb, 1)",
        "select supaqueue.enqueue('q'::varchar)",
        "select supaqueue.enqueue(name) from supaqueue.queue",
        "prepare p as select supaqueue.enqueue($1, $2); execute p('q', '{}')",
        "select supaqueue.enqueue('q', depends_on => '{}')",
        "select supaqueue.enqueue('q', depends_on => null)",
    ] {
        db.run(call).await;
    }
    assert_eq!(
        db.get("select count(*), bool_and(status = 'pending') from supaqueue.job")
            .await,
        "9|t"
    );
}

#[tokio::test]
async fn enqueue_pipeline_returns_the_ids_by_name() {
    let db = AddOnDb::new(5).await;
    db.queue("other", 1).await;
    db.run("select add_jobs('q', 'before', 'after')").await;
    db.run("update supaqueue.queue set is_paused = true").await;
    let ids = db.get(
        r#"select supaqueue.enqueue_pipeline(jsonb_build_array(
             '{"name": "combine", "queue": "other", "payload": {"name": "combine"}, "depends_on": ["part 1", "part 2"],
               "on_failure": "continue", "pass_results": true, "priority": 7, "headers": {"x-a": "b"}, "path": "a/b", "tenant": "t", "timeout_ms": 5000, "max_attempts": 2}'::jsonb,
             jsonb_build_object('name', 'part 1', 'queue', 'q', 'payload', '{"name": "part 1"}'::jsonb, 'depends_on', array['split', id('before')::text]),
             '{"name": "part 2", "queue": "q", "payload": {"name": "part 2"}, "depends_on": ["split"]}'::jsonb,
             '{"name": "split", "queue": "q", "payload": {"name": "split"}}'::jsonb))"#,
    )
    .await;
    let ids: serde_json::Value = serde_json::from_str(&ids).unwrap();
    assert_eq!(ids.as_object().unwrap().len(), 4);
    assert_eq!(
        db.statuses().await,
        "after in_progress, before in_progress, combine waiting, part 1 waiting, part 2 waiting, split pending"
    );
    assert_eq!(
        db.get(
            "select s.payload ->> 'name', t.payload ->> 'name', d.on_failure, d.pass_result
             from supaqueue.job_dependencies d join supaqueue.job s on s.id = d.source join supaqueue.job t on t.id = d.target
             order by 1, 2"
        )
        .await,
        "before|part 1|fail|f\npart 1|combine|continue|t\npart 2|combine|continue|t\nsplit|part 1|fail|f\nsplit|part 2|fail|f"
    );
    assert_eq!(
        db.get(&format!(
            "select payload ->> 'name', priority, headers, path, tenant, timeout_ms, max_attempts from supaqueue.job where id = {}",
            ids["combine"].to_string().replace('"', "'")
        ))
        .await,
        r#"combine|7|{"x-a": "b"}|a/b|t|5000|2"#
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_running_job_can_insert_jobs_before_a_waiting_one() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'split', 'combine'), wait_for('combine', 'split'); commit")
        .await;
    db.run(
        "select supaqueue.enqueue_pipeline(jsonb_agg(jsonb_build_object(
           'name', 'part ' || i, 'queue', 'q', 'payload', jsonb_build_object('name', 'part ' || i), 'required_by', array[id('combine')])))
         from generate_series(1, 2) i",
    )
    .await;
    db.succeed("split").await;
    assert_eq!(
        db.statuses().await,
        "combine waiting, part 1 in_progress, part 2 in_progress, split successful"
    );
    db.run("select public.end_current_job(c.id, true, true) from supaqueue.current_job c")
        .await;
    assert_eq!(
        db.get("select status from supaqueue.job where id = id('combine')")
            .await,
        "in_progress"
    );
}

#[tokio::test]
async fn an_invalid_document_is_rejected_with_the_reason() {
    let db = AddOnDb::new(5).await;
    for (document, want) in [
        (r"{}", "it is not a list of jobs"),
        (
            r#"[{"name": "a"}]"#,
            r#"job 1 needs a "name" and a "queue""#,
        ),
        (r#"[{"name": "a", "queue": "q"}, 3]"#, "job 2 needs"),
        (
            r#"[{"name": "a", "queue": "q", "depend_on": ["b"]}]"#,
            "job 'a' has an unknown key 'depend_on'",
        ),
        (
            r#"[{"name": "a", "queue": "q", "depends_on": "b"}]"#,
            "must be lists",
        ),
        (
            r#"[{"name": "a", "queue": "q", "depends_on": ["b"]}]"#,
            "job 'a' refers to 'b', which is neither one of its jobs nor an id",
        ),
        (
            r#"[{"name": "a", "queue": "q", "depends_on": [null]}]"#,
            "job 'a' refers to null",
        ),
        (
            r#"[{"name": "a", "queue": "q", "required_by": ["a"]}]"#,
            "job 'a' refers to 'a', which is neither",
        ),
        (
            r#"[{"name": "a", "queue": "q"}, {"name": "a", "queue": "q"}]"#,
            "two of its jobs are named 'a'",
        ),
        (
            r#"[{"name": "a", "queue": "nowhere"}]"#,
            "there is no queue named 'nowhere'",
        ),
        (
            r#"[{"name": "a", "queue": "q", "depends_on": ["b"]}, {"name": "b", "queue": "q", "depends_on": ["a"]}]"#,
            "its jobs would wait for each other",
        ),
        (
            r#"[{"name": "a", "queue": "q", "depends_on": ["a"]}]"#,
            "its jobs would wait for each other: a → a",
        ),
        (
            r#"[{"name": "a", "queue": "q", "depends_on": ["01234567-89ab-cdef-0123-456789abcdef"]}]"#,
            "there is no job 01234567-89ab-cdef-0123-456789abcdef",
        ),
    ] {
        let refusal = db
            .refusal(&format!("select supaqueue.enqueue_pipeline('{document}')"))
            .await;
        assert!(
            refusal.contains(want),
            "{document}\n  is rejected with {refusal:?}, which does not contain {want:?}"
        );
        assert_eq!(
            db.get("select count(*) from supaqueue.job").await,
            "0",
            "{document}"
        );
    }
    assert_eq!(
        db.get("select supaqueue.enqueue_pipeline('[]')").await,
        "{}"
    );
}

#[tokio::test]
async fn the_api_takes_dependencies() {
    let db = AddOnDb::new(0).await;
    db.run("select add_jobs('q', 'a', 'b')").await;
    let api = db.database().connect_as("service_role").await.unwrap();
    let (a, b) = (
        db.get("select id('a')").await,
        db.get("select id('b')").await,
    );
    let enqueue = |options: &str| {
        format!(
            r#"select supaqueue_enqueue('q', '{{"name": "c"}}', '{{"depends_on": ["{a}", "{b}"], {options}}}') ->> 'outcome'"#
        )
    };
    let options = r#""key": "k", "priority": 3, "on_failure": "wait", "pass_results": true"#;
    assert_eq!(get(&api, &enqueue(options)).await, "inserted");
    assert_eq!(get(&api, &enqueue(options)).await, "kept");
    assert_eq!(
        db.get("select status, priority, key from supaqueue.job where payload ->> 'name' = 'c'")
            .await,
        "waiting|3|k"
    );
    assert_eq!(
        db.get("select count(*), bool_and(pass_result and on_failure = 'wait') from supaqueue.job_dependencies").await,
        "2|t"
    );
    for depends_on in [r#"["a"]"#, r#""a""#, "{}"] {
        let enqueue =
            format!(r#"select supaqueue_enqueue('q', '{{}}', '{{"depends_on": {depends_on}}}')"#);
        assert_eq!(
            refusal(&api, &enqueue).await,
            format!(
                "cannot enqueue: the option depends_on must be a list of ids, not {depends_on}"
            )
        );
    }
}
