//! What a target function does, and how its job ends.

use crate::stack::{Project, test};

/// Runs a job on a queue named for its function; asserts `columns` of the finished job.
async fn check(project: &Project, function: &str, settings: &str, columns: &str, want: &str) {
    project.queue(function, function, 1, settings).await;
    project.enqueue(function, "{}").await;
    project.finish_as(function, columns, want).await;
}

#[test]
fn a_job_whose_call_succeeds_is_successful() {
    test(async |project| {
        project.queue("success", "succeed", 1, "").await;
        project.enqueue("success", r#"{"n": 1}"#).await;
        let job = "status, attempts, http_status, result, errors, started_at <= finished_at";
        let want = r#"successful|1|200|{"attempt": 1, "payload": {"n": 1}}|[]|t"#;
        project.finish_as("success", job, want).await;
    });
}

#[test]
fn a_job_that_fails_twice_succeeds_at_the_third_attempt() {
    test(async |project| {
        let job = "status, attempts, http_status, result";
        let want = r#"successful|3|200|"attempt 3 succeeds""#;
        check(&project, "fail-twice", "backoff_base_ms = 0", job, want).await;
        let errors = "select e ->> 'attempt', e ->> 'status', e ->> 'message', e ->> 'body'
             from supaqueue.job cross join jsonb_array_elements(errors) as e
             where queue = supaqueue.queue_id('fail-twice')";
        let want = "1|500|status 500|attempt 1 fails\n2|500|status 500|attempt 2 fails";
        project.assert_rows(errors, want).await;
    });
}

#[test]
fn a_job_that_always_fails_ends_as_failed() {
    test(async |project| {
        let job = "status, attempts, http_status, result, jsonb_array_length(errors),
                   errors -> 2 ->> 'body', finished_at is not null";
        let want = r#"failed|3|500|null|3|{"reason":"out of order"}|t"#;
        check(&project, "fail-always", "backoff_base_ms = 0", job, want).await;
    });
}

#[test]
fn a_call_without_an_answer_times_out_and_is_retried() {
    test(async |project| {
        let settings = "timeout_ms = 300, max_attempts = 2, backoff_base_ms = 0";
        let job =
            "status, attempts, http_status, errors -> 0 ->> 'message', errors -> 1 ->> 'message',
                   duration_ms between 300 and 3000";
        let want = "failed|2|null|no answer within 300 ms|no answer within 300 ms|t";
        check(&project, "hang", settings, job, want).await;
        // Its worker is free again.
        let worker = "select locked from supaqueue.worker where queue = supaqueue.queue_id('hang')";
        project.assert_rows(worker, "f").await;
    });
}

#[test]
fn a_target_can_rule_out_retries() {
    test(async |project| {
        let job = "status, attempts, http_status, errors -> 0 ->> 'body'";
        let want = "failed|1|422|no such customer";
        check(&project, "fail-permanently", "", job, want).await;
    });
}

#[test]
fn a_status_that_the_queue_lists_as_final_fails_the_job_at_once() {
    test(async |project| {
        let settings = "final_statuses = '{409}', max_attempts = 2, backoff_base_ms = 0";
        project.queue("final", "answer-with", 1, settings).await;
        project.enqueue("final", r#"{"status": 409}"#).await;
        project.enqueue("final", r#"{"status": 410}"#).await;
        let jobs = "status, attempts, http_status";
        let want = "failed|1|409\nfailed|2|410";
        project.finish_as("final", jobs, want).await;
    });
}

#[test]
fn a_retry_waits_as_long_as_the_target_asks() {
    test(async |project| {
        let job = "status, attempts, result,
                   started_at - (errors -> 0 ->> 'at')::timestamptz >= interval '2 seconds'";
        let want = r#"successful|2|"thanks for waiting"|t"#;
        check(&project, "retry-after", "backoff_base_ms = 0", job, want).await;
    });
}

#[test]
fn a_job_for_a_missing_function_fails_with_404() {
    test(async |project| {
        let job = "status, http_status, errors -> 0 ->> 'message'";
        let want = "failed|404|status 404";
        check(&project, "no-such-function", "max_attempts = 1", job, want).await;
    });
}
