//! `public.supaqueue_enqueue` and `public.supaqueue_enqueue_many`, as `service_role`.

use supaqueue_tests::{Db, get, refusal, run, try_get};
use tokio_postgres::Client;

/// A database with a queue `q`, and a connection as the API has it.
async fn with_queue() -> (Db, Client) {
    let db = Db::new().await;
    db.queue("q", 0).await;
    let api = db.database().connect_as("service_role").await.unwrap();
    (db, api)
}

fn one(options: &str) -> String {
    format!("select supaqueue_enqueue('q', '{{}}', '{options}')")
}

fn many(jobs: &str) -> String {
    format!("select supaqueue_enqueue_many('q', '{jobs}')")
}

#[tokio::test]
async fn every_option_reaches_the_job() {
    let (db, api) = with_queue().await;
    let enqueue = r#"select supaqueue_enqueue('q', '{"a": 1}', '{"key": "k", "on_conflict": "replace",
      "priority": -3, "run_at": "2100-01-01T00:00:00Z", "headers": {"x": "y"}, "max_attempts": 7, "timeout_ms": 5,
      "path": "a?b=c", "tenant": "t"}')"#;
    let answer = get(&api, enqueue).await;
    let id = db.get("select id from supaqueue.job").await;
    let want = |outcome: &str| format!(r#"{{"id": "{id}", "outcome": "{outcome}"}}"#);
    assert_eq!(answer, want("inserted"));
    assert_eq!(
        db.get(
            "select key, payload, priority, run_at at time zone 'utc', headers, max_attempts, timeout_ms, path, tenant
             from supaqueue.job"
        )
        .await,
        r#"k|{"a": 1}|-3|2100-01-01 00:00:00|{"x": "y"}|7|5|a?b=c|t"#
    );
    assert_eq!(get(&api, enqueue).await, want("replaced"));
    assert_eq!(get(&api, &one(r#"{"key": "k"}"#)).await, want("kept"));
}

#[tokio::test]
async fn an_option_that_is_null_is_left_out() {
    let (db, api) = with_queue().await;
    let nulls = r#"{"key": null, "on_conflict": null, "priority": null, "run_at": null, "headers": null,
      "max_attempts": null, "timeout_ms": null, "path": null, "tenant": null, "depends_on": null}"#;
    for options in [nulls, "{}"] {
        get(&api, &one(options)).await;
    }
    get(&api, "select supaqueue_enqueue('q')").await;
    get(&api, "select supaqueue_enqueue('q', '{}', null)").await;
    assert_eq!(
        db.get(
            "select count(*) from supaqueue.job
             where key is null and priority = 0 and run_at = created_at and headers is null and max_attempts is null
               and timeout_ms is null and path is null and tenant is null and payload = '{}'"
        )
        .await,
        "4"
    );
}

/// A trigger on jobs is the user's code, so it sees the session's settings.
#[tokio::test]
async fn a_time_means_the_same_in_every_session() {
    let (db, api) = with_queue().await;
    db.run(
        "create table public.seen (zone text, style text);
         grant insert on public.seen to service_role;
         create function public.look() returns trigger language plpgsql as $$ begin
           insert into seen values (current_setting('timezone'), current_setting('datestyle'));
           return new;
         end $$;
         create trigger look before insert on supaqueue.job for each row execute function public.look()",
    )
    .await;
    run(
        &api,
        "set datestyle = 'SQL, DMY'; set timezone = 'Pacific/Guam'",
    )
    .await;
    for time in [
        "2100-02-01T00:00:00Z",
        "2100-02-01T00:00:00",
        "2100-02-01T02:00:00.000+02:00",
    ] {
        get(&api, &one(&format!(r#"{{"run_at": "{time}"}}"#))).await;
    }
    let times = "select distinct run_at at time zone 'utc' from supaqueue.job";
    assert_eq!(db.get(times).await, "2100-02-01 00:00:00");
    let seen = db.get("select distinct zone, style from public.seen").await;
    assert_eq!(seen, "Pacific/Guam|SQL, DMY");
}

#[tokio::test]
async fn a_wrong_option_is_refused_by_name() {
    let (db, api) = with_queue().await;
    let known = "The options are key, path, run_at, tenant, headers, priority, depends_on, on_failure, timeout_ms, on_conflict, max_attempts, pass_results.";
    assert_eq!(
        refusal(&api, &one(r#"{"run-at": "2100-01-01"}"#)).await,
        format!("cannot enqueue: there is no option 'run-at'; {known}")
    );
    for (options, want) in [
        (r#"{"key": 7}"#, "key must be a string, not 7"),
        (r#"{"path": {}}"#, "path must be a string, not {}"),
        (
            r#"{"on_conflict": true}"#,
            "on_conflict must be a string, not true",
        ),
        (
            r#"{"priority": "1"}"#,
            r#"priority must be a whole number, not "1""#,
        ),
        (
            r#"{"priority": 1.5}"#,
            "priority must be a whole number, not 1.5",
        ),
        (
            r#"{"max_attempts": [3]}"#,
            "max_attempts must be a whole number, not [3]",
        ),
        (
            r#"{"timeout_ms": 9999999999}"#,
            "timeout_ms must be a whole number, not 9999999999",
        ),
        (
            r#"{"run_at": "soon"}"#,
            r#"run_at must be an ISO 8601 time, not "soon""#,
        ),
        (
            r#"{"run_at": "2100-99-01"}"#,
            r#"run_at must be an ISO 8601 time, not "2100-99-01""#,
        ),
        (
            r#"{"run_at": 20990101}"#,
            "run_at must be an ISO 8601 time, not 20990101",
        ),
        (
            r#"{"headers": "x: y"}"#,
            r#"headers must be an object, not "x: y""#,
        ),
    ] {
        assert_eq!(
            refusal(&api, &one(options)).await,
            format!("cannot enqueue: the option {want}")
        );
    }
    for (options, want) in [
        (
            "[]",
            "cannot enqueue: [] is not an object; Options are an object, such as",
        ),
        (
            r#"{"on_conflict": "throw"}"#,
            "cannot enqueue: on_conflict is 'throw', not keep",
        ),
        (
            r#"{"max_attempts": 0}"#,
            "max_attempts_is_between_1_and_1000000",
        ),
        (
            r#"{"headers": {"x": 1}}"#,
            "headers_are_an_object_of_strings",
        ),
    ] {
        let refusal = refusal(&api, &one(options)).await;
        assert!(refusal.starts_with(want), "{options}: {refusal}");
    }
    // PostgREST passes a JSON null as an SQL null.
    let refusal = refusal(&api, "select supaqueue_enqueue('q', null)").await;
    assert_eq!(refusal, "payload_is_not_json_null");
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "0");
}

#[tokio::test]
async fn an_option_of_an_add_on_that_is_not_installed_is_refused() {
    let (_db, api) = with_queue().await;
    for option in [
        r#""depends_on": []"#,
        r#""on_failure": "fail""#,
        r#""pass_results": true"#,
    ] {
        let refusal = refusal(&api, &one(&format!("{{{option}}}"))).await;
        let name = option.split('"').nth(1).unwrap();
        assert_eq!(
            refusal,
            format!(
                "cannot enqueue: the option {name} needs the add-on job_dependencies, which is not installed; Install it: supaqueue add-on add job_dependencies"
            )
        );
    }
}

/// What PostgREST answers depends on the SQLSTATE: these are 400, and not 500.
#[tokio::test]
async fn what_the_caller_did_wrong_has_a_sqlstate_that_says_so() {
    let (_db, api) = with_queue().await;
    for (statement, state) in [
        ("select supaqueue_enqueue('nope')".to_owned(), "42704"),
        (
            "select supaqueue_enqueue_many('nope', '[]')".to_owned(),
            "42704",
        ),
        (one(r#"{"x": 1}"#), "22023"),
        (one(r#"{"key": 1}"#), "22023"),
        (one(r#"{"depends_on": []}"#), "0A000"),
        (many(r#"[{"x": 1}]"#), "22023"),
        (many(r#"[{"max_attempts": 0}]"#), "23514"),
        (many("{}"), "22023"),
    ] {
        let error = try_get(&api, &statement).await.unwrap_err();
        assert!(error.starts_with(state), "{statement}: {error}");
    }
}

#[tokio::test]
async fn many_jobs_keep_their_order_and_have_options_of_their_own() {
    let (db, api) = with_queue().await;
    let jobs = r#"[{"payload": {"n": 1}, "key": "k"}, {"payload": {"n": 2}, "priority": 5}, {}, {"key": "k"}]"#;
    let answer = get(&api, &many(jobs)).await;
    assert_eq!(
        db.get("select payload, priority, key from supaqueue.job order by position")
            .await,
        "{\"n\": 1}|0|k\n{\"n\": 2}|5|null\n{}|0|null"
    );
    let ids = db
        .get("select id from supaqueue.job order by position")
        .await;
    let ids: Vec<_> = ids.lines().collect();
    let answered = |id: &str, outcome: &str| format!(r#"{{"id": "{id}", "outcome": "{outcome}"}}"#);
    let want = [
        answered(ids[0], "inserted"),
        answered(ids[1], "inserted"),
        answered(ids[2], "inserted"),
        answered(ids[0], "kept"),
    ];
    assert_eq!(answer, format!("[{}]", want.join(", ")));
    assert_eq!(get(&api, &many("[]")).await, "[]");
}

#[tokio::test]
async fn of_many_jobs_all_are_put_in_the_queue_or_none() {
    let (db, api) = with_queue().await;
    for (jobs, want) in [
        (
            r#"[{}, {"to": "ada"}]"#,
            "jobs[1]: cannot enqueue: there is no option 'to'; The options are key,",
        ),
        (
            r#"[{}, {}, {"payload": null}]"#,
            "jobs[2]: cannot store the job: its payload is JSON null; leave it out, or use {}; No job was inserted.",
        ),
        (
            r#"[{"max_attempts": 0}]"#,
            "jobs[0]: cannot store the job: its max_attempts is not between 1 and 1000000; No",
        ),
        (
            r#"[{}, "ada"]"#,
            r#"jobs[1]: cannot enqueue: "ada" is not an object; Options are an object, such as"#,
        ),
        (
            r#"{"payload": 1}"#,
            "cannot enqueue: jobs is not an array; An example: ",
        ),
    ] {
        let refusal = refusal(&api, &many(jobs)).await;
        assert!(refusal.starts_with(want), "{jobs}: {refusal}");
    }
    let too_many = format!("[{}]", vec!["{}"; 1001].join(","));
    assert_eq!(
        refusal(&api, &many(&too_many)).await,
        "cannot enqueue 1001 jobs at once: at most 1000; Send them in several calls."
    );
    assert!(
        refusal(&api, "select supaqueue_enqueue_many('q', null)")
            .await
            .starts_with("cannot enqueue: jobs is not")
    );
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "0");
}
