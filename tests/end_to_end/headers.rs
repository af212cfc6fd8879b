//! The headers of a call: which ones a queue and a job may set.

use serde_json::Value;

use crate::stack::test;

/// Every header that Supaqueue sets, some in another case.
const FORGED: &str = r#"{
  "Authorization": "Bearer forged", "apikey": "forged", "Content-Type": "text/forged",
  "idempotency-key": "forged", "Supaqueue-Queue": "forged", "supaqueue-job-id": "forged",
  "supaqueue-attempt": "99", "supaqueue-deadline": "forged", "supaqueue-else": "forged",
  "traceparent": "forged", "webhook-id": "forged", "webhook-timestamp": "1",
  "Webhook-Signature": "v1,forged", "host": "forged.example", "content-length": "1",
  "transfer-encoding": "chunked"
}"#;

#[test]
fn headers_set_by_supaqueue_cannot_be_overridden() {
    test(async |project| {
        let forged = format!("'{FORGED}'");
        project
            .queue(
                "disguise",
                "echo-headers",
                1,
                &[("default_headers", &forged)],
            )
            .await;
        let enqueue = format!("select supaqueue.enqueue('disguise', headers => '{FORGED}')");
        let id = project.get(&enqueue).await;
        project.finished("disguise").await;
        let result = project
            .get("select result from supaqueue.job where queue = supaqueue.queue_id('disguise')")
            .await;
        let headers: Value = serde_json::from_str(&result).expect(&result);
        assert!(!result.contains("forged\""), "{result}");
        assert_eq!(
            headers["authorization"],
            format!("Bearer {}", project.stack.service_role_key())
        );
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["content-length"], "2");
        assert_eq!(headers["idempotency-key"], id);
        assert_eq!(headers["supaqueue-job-id"], id);
        assert_eq!(headers["supaqueue-queue"], "disguise");
        assert_eq!(headers["supaqueue-attempt"], "1");
        assert_eq!(headers["webhook-id"], format!("call_{id}"));
        assert_eq!(headers.get("supaqueue-else"), None);
        assert!(
            headers["traceparent"]
                .as_str()
                .is_some_and(|value| value.starts_with("00-") && value.len() == 55)
        );
    });
}

#[test]
fn a_jobs_headers_take_precedence_over_its_queues() {
    test(async |project| {
        let defaults = r#"'{"x-queue": "queue", "X-Both": "queue"}'"#;
        project
            .queue(
                "custom",
                "echo-headers",
                1,
                &[("default_headers", defaults)],
            )
            .await;
        project.get(r#"select supaqueue.enqueue('custom', headers => '{"x-job": "job", "x-both": "job"}')"#).await;
        project.finished("custom").await;
        let headers = "select result ->> 'x-queue', result ->> 'x-job', result ->> 'x-both'
             from supaqueue.job where queue = supaqueue.queue_id('custom')";
        assert_eq!(project.get(headers).await, "queue|job|job");
    });
}

#[test]
fn the_queue_chooses_the_api_key() {
    test(async |project| {
        project
            .queue("as_anon", "echo-headers", 1, &[("auth", "'anon'")])
            .await;
        project
            .queue("without_key", "without-jwt", 1, &[("auth", "'none'")])
            .await;
        project
            .queue(
                "rejected",
                "echo-headers",
                1,
                &[("auth", "'none'"), ("max_attempts", "1")],
            )
            .await;
        for queue in ["as_anon", "without_key", "rejected"] {
            project.enqueue(queue, "{}").await;
            project.finished(queue).await;
        }
        let job = |queue: &str, columns: &str| {
            format!(
                "select {columns} from supaqueue.job where queue = supaqueue.queue_id('{queue}')"
            )
        };
        assert_eq!(
            project
                .get(&job("as_anon", "result ->> 'authorization'"))
                .await,
            format!("Bearer {}", project.stack.anon_key())
        );
        assert_eq!(
            project.get(&job("without_key", "result")).await,
            r#"{"apikey": false, "authorization": false}"#
        );
        assert_eq!(
            project.get(&job("rejected", "status, http_status")).await,
            "failed|401"
        );
    });
}

#[test]
fn a_target_can_verify_the_signature() {
    test(async |project| {
        project
            .queue("signed", "check-signature", 1, &[("max_attempts", "1")])
            .await;
        project
            .enqueue("signed", r#"{"text": "naïve 😀", "number": 1.10}"#)
            .await;
        project.enqueue("signed", "[]").await;
        project.finished("signed").await;
        let results =
            "select status, result from supaqueue.job where queue = supaqueue.queue_id('signed')";
        assert_eq!(
            project.get(results).await,
            "successful|\"ours\"\nsuccessful|\"ours\""
        );

        let headers = [
            (
                "authorization",
                &*format!("Bearer {}", project.stack.service_role_key()),
            ),
            ("webhook-id", "call_1"),
            ("webhook-timestamp", "1700000000"),
            ("webhook-signature", "v1,AAAA"),
        ];
        let url = project.stack.gateway_url();
        let (status, _) =
            crate::http::post(url, "/functions/v1/check-signature", &headers, "{}").await;
        assert_eq!(status, 401, "the target rejects a forged signature");
    });
}
