//! What a target function does, and how its job ends.

use crate::stack::test;

const JOB: &str = "from supaqueue.job j join supaqueue.queue q on q.id = j.queue";

#[test]
fn a_job_whose_call_succeeds_is_successful() {
    test(async |project| {
        project.queue("success", "succeed", 1, &[]).await;
        project.enqueue("success", r#"{"n": 1}"#).await;
        project.finished("success").await;
        let job = format!(
            "select status, attempts, http_status, result, errors, started_at <= finished_at {JOB} where q.name = 'success'"
        );
        assert_eq!(
            project.get(&job).await,
            r#"successful|1|200|{"attempt": 1, "payload": {"n": 1}}|[]|t"#
        );
    });
}

#[test]
fn a_job_that_fails_twice_succeeds_at_the_third_attempt() {
    test(async |project| {
        project
            .queue("twice", "fail-twice", 1, &[("backoff_base_ms", "0")])
            .await;
        project.enqueue("twice", "{}").await;
        project.finished("twice").await;
        let job =
            format!("select status, attempts, http_status, result {JOB} where q.name = 'twice'");
        assert_eq!(
            project.get(&job).await,
            r#"successful|3|200|"attempt 3 succeeds""#
        );
        let errors = format!(
            "select e ->> 'attempt', e ->> 'status', e ->> 'message', e ->> 'body'
             {JOB} cross join jsonb_array_elements(j.errors) as e where q.name = 'twice'"
        );
        assert_eq!(
            project.get(&errors).await,
            "1|500|status 500|attempt 1 fails\n2|500|status 500|attempt 2 fails"
        );
    });
}

#[test]
fn a_job_that_always_fails_ends_as_failed() {
    test(async |project| {
        project
            .queue("never", "fail-always", 1, &[("backoff_base_ms", "0")])
            .await;
        project.enqueue("never", "{}").await;
        project.finished("never").await;
        let job = format!(
            "select status, attempts, http_status, result, jsonb_array_length(errors), errors -> 2 ->> 'body', finished_at is not null
             {JOB} where q.name = 'never'"
        );
        assert_eq!(
            project.get(&job).await,
            r#"failed|3|500|null|3|{"reason":"out of order"}|t"#
        );
    });
}

#[test]
fn a_call_without_an_answer_times_out_and_is_retried() {
    test(async |project| {
        let settings = [
            ("timeout_ms", "300"),
            ("max_attempts", "2"),
            ("backoff_base_ms", "0"),
        ];
        project.queue("silence", "hang", 1, &settings).await;
        project.enqueue("silence", "{}").await;
        project.finished("silence").await;
        let job = format!(
            "select status, attempts, http_status, errors -> 0 ->> 'message', errors -> 1 ->> 'message', duration_ms between 300 and 3000
             {JOB} where q.name = 'silence'"
        );
        let message = "no answer within 300 ms";
        assert_eq!(
            project.get(&job).await,
            format!("failed|2|null|{message}|{message}|t")
        );
        let worker = "select locked from supaqueue.worker w join supaqueue.queue q on q.id = w.queue where q.name = 'silence'";
        assert_eq!(project.get(worker).await, "f", "its worker is free again");
    });
}

#[test]
fn a_target_can_rule_out_retries() {
    test(async |project| {
        project.queue("refused", "fail-permanently", 1, &[]).await;
        project.enqueue("refused", "{}").await;
        project.finished("refused").await;
        let job = format!(
            "select status, attempts, http_status, errors -> 0 ->> 'body' {JOB} where q.name = 'refused'"
        );
        assert_eq!(project.get(&job).await, "failed|1|422|no such customer");
    });
}

#[test]
fn a_status_that_the_queue_lists_as_final_fails_the_job_at_once() {
    test(async |project| {
        let settings = [
            ("final_statuses", "'{409}'"),
            ("max_attempts", "2"),
            ("backoff_base_ms", "0"),
        ];
        project.queue("final", "answer-with", 1, &settings).await;
        project.enqueue("final", r#"{"status": 409}"#).await;
        project.enqueue("final", r#"{"status": 410}"#).await;
        project.finished("final").await;
        let jobs = format!(
            "select status, attempts, http_status {JOB} where q.name = 'final' order by http_status"
        );
        assert_eq!(project.get(&jobs).await, "failed|1|409\nfailed|2|410");
    });
}

#[test]
fn a_retry_waits_as_long_as_the_target_asks() {
    test(async |project| {
        project
            .queue("patience", "retry-after", 1, &[("backoff_base_ms", "0")])
            .await;
        project.enqueue("patience", "{}").await;
        project.finished("patience").await;
        let job = format!(
            "select status, attempts, result, started_at - (errors -> 0 ->> 'at')::timestamptz >= interval '2 seconds'
             {JOB} where q.name = 'patience'"
        );
        assert_eq!(
            project.get(&job).await,
            r#"successful|2|"thanks for waiting"|t"#
        );
    });
}

#[test]
fn a_job_for_a_missing_function_fails_with_404() {
    test(async |project| {
        project
            .queue("absent", "no-such-function", 1, &[("max_attempts", "1")])
            .await;
        project.enqueue("absent", "{}").await;
        project.finished("absent").await;
        let job = format!(
            "select status, http_status, errors -> 0 ->> 'message' {JOB} where q.name = 'absent'"
        );
        assert_eq!(project.get(&job).await, "failed|404|status 404");
    });
}
