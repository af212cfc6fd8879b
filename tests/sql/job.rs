//! A job's life from `pending` to its final status.

use supaqueue_tests::protocol::{NONE, Pulse, RUN, acknowledge_all, fail};
use supaqueue_tests::{Db, eventually};

const REPORT: &str = "select public.end_current_job((select id from supaqueue.current_job), true,";

/// Reports the only current job and returns the state in the answer.
async fn report(db: &Db, is_successful: bool, report: &str) -> String {
    // The backoff is random and may be 0: without this, a retry could start before the test looks.
    let report = format!(r#"'{{"retry_after_ms": 3600000}}'::jsonb || '{report}'"#);
    db.get(&format!("{REPORT} {is_successful}, {report}) ->> 'state'"))
        .await
}

/// Makes the pending job due, which starts it.
async fn make_due(db: &Db) {
    db.run("update supaqueue.job set run_at = now() - interval '1 hour' where status = 'pending'")
        .await;
}

#[tokio::test]
async fn inserting_a_queue_a_worker_and_a_job_is_enough() {
    let db = Db::new().await;
    db.run("insert into supaqueue.queue (edge_function_name) values ('hello')")
        .await;
    db.run("insert into supaqueue.worker (queue) select id from supaqueue.queue")
        .await;
    db.run(r#"insert into supaqueue.job (queue, payload) select id, '{"arg1": "val"}' from supaqueue.queue"#).await;

    assert_eq!(
        db.get("select status, attempts, started_at is not null from supaqueue.job")
            .await,
        "in_progress|1|t"
    );
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "t",
        "its worker is locked"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "1",
        "a current job joins them"
    );

    db.run("select public.end_current_job((select id from supaqueue.current_job), true, true)")
        .await;
    assert_eq!(
        db.get("select status, finished_at is not null from supaqueue.job")
            .await,
        "successful|t"
    );
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "f",
        "its worker is free again"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "0",
        "the current job is gone"
    );
}

#[tokio::test]
async fn a_failure_is_retried_until_no_attempt_is_left() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    for attempt in 1..=3 {
        let error = format!(
            r#"{{"http_status": 50{attempt}, "error": {{"message": "no {attempt}", "body": "b"}}}}"#
        );
        assert_eq!(report(&db, false, &error).await, "settled");
        let want = if attempt < 3 {
            format!("pending|{attempt}|f")
        } else {
            "failed|3|t".into()
        };
        assert_eq!(
            db.get("select status, attempts, finished_at is not null from supaqueue.job")
                .await,
            want
        );
        make_due(&db).await;
    }
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "0",
        "a failed job is not started again"
    );
    assert_eq!(
        db.get("select e ->> 'attempt', e ->> 'status', e ->> 'message', e ->> 'body', (e ->> 'at')::timestamptz <= clock_timestamp()
                from supaqueue.job, jsonb_array_elements(errors) e").await,
        "1|501|no 1|b|t\n2|502|no 2|b|t\n3|503|no 3|b|t",
        "errors hold one entry per failed attempt"
    );
    assert_eq!(
        db.get("select http_status from supaqueue.job").await,
        "503",
        "the last status is kept"
    );
}

#[tokio::test]
async fn attempts_are_the_jobs_own_or_the_queues() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set max_attempts = 1").await;
    db.run("select supaqueue.enqueue('q')").await;
    report(&db, false, "{}").await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "failed",
        "the queue's limit applies"
    );

    db.run("delete from supaqueue.job").await;
    db.run("select supaqueue.enqueue('q', max_attempts => 2)")
        .await;
    report(&db, false, "{}").await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "pending",
        "the job's own limit takes precedence"
    );
}

#[tokio::test]
async fn the_outcome_of_a_call_is_stored() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    report(&db, true, r#"{"http_status": 201, "duration_ms": 42, "result": {"n": 123456789012345678901234567890.50}}"#).await;
    assert_eq!(
        db.get("select http_status, duration_ms, result from supaqueue.job")
            .await,
        r#"201|42|{"n": 123456789012345678901234567890.50}"#
    );
}

#[tokio::test]
async fn a_final_failure_is_not_retried() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set final_statuses = '{422}'")
        .await;

    db.run("select supaqueue.enqueue('q')").await;
    report(&db, false, r#"{"is_final": true}"#).await;
    assert_eq!(
        db.get("select status, attempts from supaqueue.job").await,
        "failed|1",
        "the target function says that the failure is final"
    );

    db.run("delete from supaqueue.job").await;
    db.run("select supaqueue.enqueue('q')").await;
    report(&db, false, r#"{"http_status": 422}"#).await;
    assert_eq!(
        db.get("select status, attempts from supaqueue.job").await,
        "failed|1",
        "the queue lists the status as final"
    );
}

#[tokio::test]
async fn an_attempt_that_never_reached_the_target_is_given_back() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', max_attempts => 1)")
        .await;
    report(
        &db,
        false,
        r#"{"is_attempt": false, "retry_after_ms": 60000, "error": {"message": "rate limited"}}"#,
    )
    .await;
    assert_eq!(
        db.get("select status, attempts, run_at > now() + interval '59 s', errors #>> '{0,message}' from supaqueue.job").await,
        "pending|0|t|rate limited"
    );
}

#[tokio::test]
async fn the_backoff_is_random_up_to_a_bound_that_doubles() {
    let db = Db::new().await;
    assert_eq!(
        db.get("select attempts, max(ms) <= bound and max(ms) > bound * 0.9 and min(ms) < bound * 0.1
                from (values (1, 1000), (2, 2000), (4, 8000), (9, 9000), (1000000, 9000)) as t (attempts, bound),
                  lateral (select supaqueue.backoff_ms(attempts, 1000, 9000) as ms from generate_series(1, 2000)) d
                group by attempts, bound order by attempts").await,
        "1|t\n2|t\n4|t\n9|t\n1000000|t",
        "full jitter: uniform between 0 and min(max, base * 2^(attempts - 1))"
    );
}

#[tokio::test]
async fn retry_after_is_honoured_up_to_a_bound() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set backoff_base_ms = 0, backoff_max_ms = 0")
        .await;
    db.run("select supaqueue.enqueue('q')").await;
    report(
        &db,
        false,
        r#"{"http_status": 429, "retry_after_ms": 3600000}"#,
    )
    .await;
    assert_eq!(
        db.get(
            "select run_at - clock_timestamp() between '59 min' and '61 min' from supaqueue.job"
        )
        .await,
        "t"
    );

    db.run("update supaqueue.setting set max_retry_after_ms = 60000")
        .await;
    make_due(&db).await;
    report(
        &db,
        false,
        r#"{"http_status": 429, "retry_after_ms": 99999999999999999999}"#,
    )
    .await;
    assert_eq!(
        db.get("select run_at - clock_timestamp() between '55 s' and '61 s' from supaqueue.job")
            .await,
        "t"
    );
}

#[tokio::test]
async fn only_the_latest_errors_are_kept() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.setting set max_errors = 2").await;
    db.run("select supaqueue.enqueue('q', max_attempts => 9)")
        .await;
    for _ in 0..4 {
        report(&db, false, "{}").await;
        make_due(&db).await;
    }
    assert_eq!(
        db.get("select jsonb_path_query_array(errors, '$[*].attempt') from supaqueue.job")
            .await,
        "[3, 4]"
    );
}

#[tokio::test]
async fn a_waiting_job_starts_when_it_is_released() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("insert into supaqueue.job (queue, status) select id, 'waiting' from supaqueue.queue")
        .await;
    assert_eq!(db.get("select status from supaqueue.job").await, "waiting");
    db.run("update supaqueue.job set status = 'pending'").await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress"
    );
}

#[tokio::test]
async fn a_finished_job_set_to_pending_gets_all_its_attempts_again() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', max_attempts => 1)")
        .await;
    report(&db, false, "{}").await;
    db.run("update supaqueue.job set status = 'pending' where status = 'failed'")
        .await;
    assert_eq!(
        db.get("select status, attempts, finished_at is null from supaqueue.job")
            .await,
        "in_progress|1|t"
    );
}

#[tokio::test]
async fn a_job_scheduled_for_later_starts_when_it_is_due() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', run_at => now() + interval '1 hour')")
        .await;
    db.tick().await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "pending",
        "it does not start early"
    );
    db.run("update supaqueue.job set run_at = clock_timestamp() + interval '50 ms'")
        .await;
    eventually(
        db.client(),
        "select run_at < clock_timestamp() from supaqueue.job",
        "t",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress",
        "the tick starts it"
    );
}

#[tokio::test]
async fn a_report_for_a_cancelled_job_leaves_it_cancelled() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(&acknowledge_all(RUN)).await;
    let job = "select status, finished_at, errors, http_status from supaqueue.job";
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "t",
        "its worker stays busy until the call ends"
    );
    db.run("update supaqueue.job set status = 'pending'").await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "cancelled",
        "it cannot restart while its call is in flight"
    );
    let cancelled = db.get(job).await;
    db.run(&fail("(select id from supaqueue.current_job)", RUN, NONE))
        .await;
    assert_eq!(db.get(job).await, cancelled);
    assert_eq!(db.get("select locked from supaqueue.worker").await, "f");
}

#[tokio::test]
async fn a_job_cancelled_before_its_call_never_runs() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    let answer = db.get(&acknowledge_all(RUN)).await;
    assert!(!Pulse::parse(&answer).has_started(), "{answer}");
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "f",
        "its worker is free at once"
    );
}
