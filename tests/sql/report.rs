//! `public.end_current_job`: acknowledgements and reports.

use supaqueue_tests::Db;
use supaqueue_tests::lane::{Answer, LANE, OTHER_LANE, succeed};

/// The id of the oldest current job.
async fn current_job(db: &Db) -> String {
    db.get("select id from supaqueue.current_job order by created_at, id limit 1")
        .await
}

/// Acknowledges a current job; returns the state in the answer.
async fn acknowledge(db: &Db, current_job: &str, lane: &str) -> String {
    let statement = supaqueue_tests::lane::acknowledge(&format!("'{current_job}'"), lane);
    Answer::parse(&db.get(&statement).await).state
}

/// Reports success of a current job; returns the answer.
async fn report(db: &Db, current_job: &str, next_within_ms: &str) -> String {
    db.get(&succeed(&format!("'{current_job}'"), LANE, next_within_ms))
        .await
}

#[tokio::test]
async fn an_acknowledgement_belongs_to_one_lane_which_may_repeat_it() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let id = current_job(&db).await;
    assert_eq!(acknowledge(&db, &id, LANE).await, "started");
    assert_eq!(
        acknowledge(&db, &id, LANE).await,
        "started",
        "the same lane may repeat it"
    );
    assert_eq!(
        db.get(&format!(r#"select public.end_current_job('{id}', false, false, '{{"lane": "{LANE}"}}') -> 'lease_ms'"#)).await,
        "90000"
    );
    assert_eq!(
        acknowledge(&db, &id, OTHER_LANE).await,
        "refused",
        "another lane, started by a repeated dispatch, runs nothing"
    );
    assert_eq!(
        db.get(&format!(
            "select public.end_current_job('{id}', false, false) ->> 'state'"
        ))
        .await,
        "refused",
        "nor does one without a lane id"
    );
    assert_eq!(
        db.get(
            "select date_trunc('second', lease_until - acknowledged_at) from supaqueue.current_job"
        )
        .await,
        "00:01:30",
        "the lease is the timeout plus the grace period"
    );
}

#[tokio::test]
async fn an_unknown_id_is_refused_without_effect() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let before = db
        .get("select status, attempts, updated_at from supaqueue.job")
        .await;
    for call in ["false, false", "true, true", "true, false"] {
        assert_eq!(
            db.get(&format!(
                "select public.end_current_job('{OTHER_LANE}', {call}) -> 'accepted'"
            ))
            .await,
            "false"
        );
    }
    assert_eq!(
        db.get("select status, attempts, updated_at from supaqueue.job")
            .await,
        before
    );
}

#[tokio::test]
async fn a_report_by_another_lane_is_refused() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let id = current_job(&db).await;
    acknowledge(&db, &id, OTHER_LANE).await;
    assert!(
        report(&db, &id, "null")
            .await
            .contains(r#""state": "refused""#)
    );
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress"
    );
}

#[tokio::test]
async fn a_report_returns_the_workers_next_job_already_acknowledged() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array['1', '2']::jsonb[])")
        .await;
    let first = current_job(&db).await;
    acknowledge(&db, &first, LANE).await;
    let sent = db.get("select count(*) from net.http_request_queue").await;
    let answer = report(&db, &first, "60000").await;
    let next = current_job(&db).await;
    assert!(
        answer.contains(&next) && answer.contains(r#""payload": 2"#),
        "{answer}"
    );
    assert_eq!(
        db.get(
            "select c.previous, c.lane, c.acknowledged_at is not null, j.status, j.attempts
                from supaqueue.current_job c join supaqueue.job j on j.id = c.job"
        )
        .await,
        format!("{first}|{LANE}|t|in_progress|1")
    );
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        sent,
        "nothing is sent through pg_net"
    );
    assert_eq!(
        acknowledge(&db, &next, OTHER_LANE).await,
        "refused",
        "the next job belongs to the reporting lane"
    );
}

#[tokio::test]
async fn a_repeated_report_returns_the_same_next_job() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array['1', '2', '3']::jsonb[])")
        .await;
    let first = current_job(&db).await;
    acknowledge(&db, &first, LANE).await;
    let answer = report(&db, &first, "60000").await;
    let again = report(&db, &first, "60000").await;
    assert_eq!(without_lease(&again), without_lease(&answer));
    assert_eq!(
        db.get("select count(*) from supaqueue.job where status = 'in_progress'")
            .await,
        "1"
    );
}

/// An answer without the lease of its next job, which each answer renews.
fn without_lease(answer: &str) -> serde_json::Value {
    let mut answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    for time in ["acknowledged_at", "lease_until"] {
        let call = answer["next"]["current_job"].as_object_mut().unwrap();
        assert!(call.remove(time).is_some(), "the answer has {time}");
    }
    answer
}

#[tokio::test]
async fn a_repeated_report_renews_the_lease_of_its_next_job() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array['1', '2']::jsonb[])")
        .await;
    let first = current_job(&db).await;
    acknowledge(&db, &first, LANE).await;
    report(&db, &first, "60000").await;
    // The answer is lost, and the lane needs a minute to get through again.
    db.run(
        "update supaqueue.current_job
         set acknowledged_at = acknowledged_at - interval '60 s', lease_until = lease_until - interval '60 s'",
    )
    .await;
    let answer = report(&db, &first, "60000").await;
    assert_eq!(
        db.get(
            "select round(extract(epoch from lease_until - acknowledged_at)) = 90, lease_until > clock_timestamp() + interval '60 s'
             from supaqueue.current_job"
        )
        .await,
        "t|t",
        "the lease outlasts the call, which takes at most 60 s"
    );
    assert_eq!(
        db.get(&format!(
            "select to_jsonb(c) @> ('{answer}'::jsonb #> '{{next,current_job}}')
             from supaqueue.current_job c"
        ))
        .await,
        "t",
        "the answer has the renewed lease"
    );
}

#[tokio::test]
async fn a_repeated_last_report_returns_the_same_answer() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let id = current_job(&db).await;
    let answer = report(&db, &id, "60000").await;
    assert!(
        answer.contains(r#""state": "settled""#) && answer.contains(r#""next": null"#),
        "{answer}"
    );
    assert_eq!(report(&db, &id, "60000").await, answer);
    assert_eq!(
        db.get("select attempts, status from supaqueue.job").await,
        "1|successful"
    );
}

#[tokio::test]
async fn a_next_job_whose_timeout_does_not_fit_is_dispatched_instead() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array['1', '2']::jsonb[])")
        .await;
    let first = current_job(&db).await;
    assert!(
        report(&db, &first, "59999")
            .await
            .contains(r#""next": null"#)
    );
    assert_eq!(
        db.get("select acknowledged_at is null, request_id is not null from supaqueue.current_job")
            .await,
        "t|t",
        "it is sent through pg_net"
    );
}

#[tokio::test]
async fn a_report_that_accepts_no_next_job_leaves_it_to_a_dispatch() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array['1', '2']::jsonb[])")
        .await;
    let first = current_job(&db).await;
    assert!(
        report(&db, &first, "null")
            .await
            .contains(r#""next": null"#)
    );
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        "2"
    );
}

/// A queue with two calls: the first is acknowledged, the second is still with pg_net.
async fn one_of_two_acknowledged(db: &Db) -> [String; 2] {
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue('q', '1')").await;
    let first = current_job(db).await;
    acknowledge(db, &first, LANE).await;
    db.run("select supaqueue.enqueue('q', '2')").await;
    let second = db
        .get("select id from supaqueue.current_job where acknowledged_at is null")
        .await;
    [first, second]
}

#[tokio::test]
async fn a_report_with_no_job_due_takes_over_a_call_still_with_pg_net() {
    let db = Db::new().await;
    let [first, second] = one_of_two_acknowledged(&db).await;
    let sent = db.get("select count(*) from net.http_request_queue").await;
    let answer = report(&db, &first, "60000").await;
    assert!(
        answer.contains(&second) && answer.contains(r#""payload": 2"#),
        "{answer}"
    );
    let call =
        "select c.id, c.previous, c.lane, date_trunc('second', c.lease_until - c.acknowledged_at), j.attempts
         from supaqueue.current_job c join supaqueue.job j on j.id = c.job";
    let own = format!("{second}|{first}|{LANE}|00:01:30|1");
    assert_eq!(db.get(call).await, own);
    assert_eq!(
        db.get("select locked, count(*) from supaqueue.worker group by locked order by locked")
            .await,
        "f|1\nt|1",
        "the call keeps its worker, and the reporter's is freed"
    );
    assert_eq!(
        without_lease(&report(&db, &first, "60000").await),
        without_lease(&answer),
        "a repeated report returns the same call"
    );
    assert_eq!(
        acknowledge(&db, &second, OTHER_LANE).await,
        "refused",
        "its dispatch arrives too late"
    );
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        sent
    );
    assert!(
        report(&db, &second, "60000")
            .await
            .contains(r#""state": "settled""#)
    );
    assert_eq!(
        db.get("select status, count(*) from supaqueue.job group by status")
            .await,
        "successful|2"
    );
}

#[tokio::test]
async fn a_call_that_does_not_fit_does_not_hide_the_one_behind_it() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue('q', '1')").await;
    let first = current_job(&db).await;
    acknowledge(&db, &first, LANE).await;
    db.run("select supaqueue.enqueue('q', '2', timeout_ms => 60001)")
        .await;
    db.run("select supaqueue.enqueue('q', '3')").await;
    let answer = report(&db, &first, "60000").await;
    assert!(answer.contains(r#""payload": 3"#), "{answer}");
    assert_eq!(
        db.get(
            "select j.payload from supaqueue.current_job c join supaqueue.job j on j.id = c.job
             where c.acknowledged_at is null"
        )
        .await,
        "2",
        "the call that does not fit is left to pg_net"
    );
}

#[tokio::test]
async fn a_due_job_is_preferred_to_a_call_still_with_pg_net() {
    let db = Db::new().await;
    let [first, second] = one_of_two_acknowledged(&db).await;
    db.run("select supaqueue.enqueue('q', '3')").await;
    let answer = report(&db, &first, "60000").await;
    assert!(
        answer.contains(r#""payload": 3"#) && !answer.contains(&second),
        "{answer}"
    );
}

#[tokio::test]
async fn a_call_still_with_pg_net_is_left_there_when_the_lane_may_not_take_it() {
    let obstacles = [
        ("null", ""),
        ("59999", ""),
        ("60000", "update supaqueue.job set status = 'cancelled' where payload = '2'"),
        (
            "60000",
            "insert into supaqueue.queue (name, edge_function_name) values ('other', 'f');
             update supaqueue.worker w set queue = supaqueue.queue_id('other')
             from supaqueue.current_job c where c.worker = w.id and c.acknowledged_at is null;
             update supaqueue.job set queue = supaqueue.queue_id('other') where payload = '2';
             update supaqueue.current_job set queue = supaqueue.queue_id('other') where acknowledged_at is null",
        ),
        (
            "60000",
            "update supaqueue.current_job set created_at = created_at - interval '15 seconds'
             where acknowledged_at is null",
        ),
    ];
    for (next_within_ms, obstacle) in obstacles {
        let db = Db::new().await;
        let [first, _] = one_of_two_acknowledged(&db).await;
        db.run(obstacle).await;
        let answer = report(&db, &first, next_within_ms).await;
        assert!(
            answer.contains(r#""next": null"#),
            "{next_within_ms} {obstacle}: {answer}"
        );
        assert_eq!(
            db.get("select count(*) from supaqueue.current_job where acknowledged_at is null")
                .await,
            "1"
        );
    }
}

#[tokio::test]
async fn a_report_to_a_paused_queue_returns_no_next_job() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array['1', '2']::jsonb[])")
        .await;
    db.run("update supaqueue.queue set is_paused = true").await;
    let first = current_job(&db).await;
    assert!(
        report(&db, &first, "60000")
            .await
            .contains(r#""next": null"#)
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "0"
    );
    db.run("update supaqueue.queue set is_paused = false").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "1",
        "it continues when unpaused"
    );
}

#[tokio::test]
async fn marking_a_current_job_complete_settles_it() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run("update supaqueue.current_job set is_complete = true, is_successful = true")
        .await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "successful"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "0"
    );
}

#[tokio::test]
async fn a_malformed_report_still_settles_its_job() {
    for report in [
        "null",
        "[]",
        "3",
        "\"text\"",
        r#"{"lane": 7, "http_status": "x", "duration_ms": -5, "error": 3, "retry_after_ms": "soon", "is_final": "no"}"#,
        r#"{"http_status": 1e999, "duration_ms": 1e300, "error": {"message": {"a": 1}}, "retry_after_ms": -1e99}"#,
        r#"{"http_status": 500.4, "duration_ms": 99.6, "retry_after_ms": 0.5}"#,
        r#"{"http_status": [500, 501], "duration_ms": {"ms": 5}, "retry_after_ms": null}"#,
        r#"{"error": {"message": null}, "is_attempt": 0, "lane": "not a uuid", "unknown": true}"#,
    ] {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run("select supaqueue.enqueue('q')").await;
        assert_eq!(
            db.get(&format!(
                "select public.end_current_job((select id from supaqueue.current_job), true, false, '{report}') ->> 'state'"
            ))
            .await,
            "settled",
            "{report}"
        );
        assert_eq!(
            db.get("select status, attempts from supaqueue.job").await,
            "pending|1",
            "{report}"
        );
    }
}

#[tokio::test]
async fn missing_arguments_are_refused() {
    let db = Db::new().await;
    assert_eq!(
        db.refusal("select public.end_current_job(null, true, true)")
            .await,
        "cannot end a current job: cur_job_id, _is_complete and _is_successful must not be null"
    );
}

#[tokio::test]
async fn the_service_role_can_acknowledge_and_report() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let api = db.database().connect_as("service_role").await.unwrap();
    supaqueue_tests::run(
        &api,
        "select supaqueue.enqueue_many('q', array['1', '2']::jsonb[])",
    )
    .await;
    let id = current_job(&db).await;
    for (arguments, want) in [
        ("false, false", "started"),
        ("true, true, '{}', 60000", "settled"),
    ] {
        assert_eq!(
            supaqueue_tests::get(
                &api,
                &format!("select public.end_current_job('{id}', {arguments}) ->> 'state'")
            )
            .await,
            want
        );
    }
}

#[tokio::test]
async fn every_update_and_delete_has_a_where_clause() {
    // API sessions load safeupdate, which rejects statements without one, even inside functions.
    let db = Db::new().await;
    let functions = db
        .get(
            "select replace(p.prosrc, chr(10), ' ') from pg_proc p
         where p.pronamespace = 'supaqueue'::regnamespace or p.proname = 'end_current_job'",
        )
        .await;
    let mut statements = 0;
    for statement in functions.to_lowercase().split(';') {
        for (verb, words) in [("update supaqueue.", 2), ("delete from ", 2)] {
            for part in statement.split(verb).skip(1) {
                statements += words / 2;
                assert!(part.contains(" where "), "{verb}{part}");
            }
        }
    }
    assert!(statements > 15, "only {statements} statements were found");
}
