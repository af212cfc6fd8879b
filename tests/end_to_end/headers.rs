//! The headers of a call: which ones a queue and a job may set.

use serde_json::Value;

use crate::http::post;
use crate::stack::test;

/// Every header that Supaqueue sets, some in another case, and those that it drops.
const FORGED: &str = r#"{
  "Authorization": "Bearer forged", "apikey": "forged", "Content-Type": "text/forged",
  "idempotency-key": "forged", "Supaqueue-Queue": "forged", "supaqueue-job-id": "forged",
  "supaqueue-attempt": "99", "supaqueue-deadline": "forged", "supaqueue-else": "forged",
  "traceparent": "forged", "webhook-id": "forged", "webhook-timestamp": "1",
  "Webhook-Signature": "v1,forged", "host": "forged.example", "content-length": "1",
  "transfer-encoding": "chunked", "connection": "x-forged", "keep-alive": "forged", "upgrade": "forged",
  "http2-settings": "forged", "te": "forged", "trailer": "forged", "expect": "forged",
  "accept-encoding": "forged", "proxy-connection": "forged", "proxy-authenticate": "forged",
  "proxy-authorization": "forged", "content-encoding": "forged", "content-range": "forged",
  "content-md5": "forged", "content-digest": "forged", "repr-digest": "forged", "digest": "forged"
}"#;

#[test]
fn headers_set_by_supaqueue_cannot_be_overridden() {
    test(async |project| {
        let forged = format!("default_headers = '{FORGED}'");
        project.queue("disguise", "echo-headers", 1, &forged).await;
        let enqueue = format!("select supaqueue.enqueue('disguise', headers => '{FORGED}')");
        let id = project.get(&enqueue).await;
        project.finished("disguise").await;
        let result =
            "select result from supaqueue.job where queue = supaqueue.queue_id('disguise')";
        let result = project.get(result).await;
        let headers: Value = serde_json::from_str(&result).expect(&result);
        assert!(!result.contains("forged\""), "{result}");
        let key = format!("Bearer {}", project.stack.service_role_key());
        assert_eq!(headers["authorization"], key);
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["content-length"], "2");
        assert_eq!(headers["idempotency-key"], id);
        assert_eq!(headers["supaqueue-job-id"], id);
        assert_eq!(headers["supaqueue-queue"], "disguise");
        assert_eq!(headers["supaqueue-attempt"], "1");
        assert_eq!(headers["webhook-id"], format!("call_{id}"));
        assert_eq!(headers.get("supaqueue-else"), None);
        let trace = headers["traceparent"].as_str().unwrap();
        assert!(trace.starts_with("00-") && trace.len() == 55, "{trace}");
    });
}

#[test]
fn a_job_that_the_api_inserts_goes_on_with_the_trace_of_the_request() {
    test(async |project| {
        project.queue("traced", "echo-headers", 1, "").await;
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let parent = format!("00-{trace}-00f067aa0ba902b7-01");
        let key = project.stack.service_role_key();
        let headers = [
            ("apikey", key),
            ("authorization", &format!("Bearer {key}")),
            ("content-type", "application/json"),
            ("traceparent", &parent),
        ];
        let path = "/rest/v1/rpc/supaqueue_enqueue";
        let body = r#"{"queue_name": "traced"}"#;
        let (status, answer) = post(project.stack.gateway_url(), path, &headers, body).await;
        assert_eq!(status, 200, "{answer}");
        project.finished("traced").await;
        let header = "select result ->> 'traceparent' from supaqueue.job where queue = supaqueue.queue_id('traced')";
        let header = project.get(header).await;
        assert!(header.starts_with(&format!("00-{trace}-")), "{header}");
        assert_ne!(header, parent, "it is a new span");
    });
}

#[test]
fn a_target_is_told_whose_end_it_is_about() {
    test(async |project| {
        project.queue("ends", "echo-headers", 1, "").await;
        let settings = "on_end_of = 'all', on_end = supaqueue.queue_id('ends')";
        project.queue("ending", "succeed", 1, settings).await;
        let job = project.enqueue("ending", "{}").await;
        project.finished("ending").await;
        project
            .finish_as("ends", "result ->> 'supaqueue-on-end'", &job)
            .await;
    });
}

#[test]
fn a_jobs_headers_take_precedence_over_its_queues() {
    test(async |project| {
        let defaults = r#"default_headers = '{"x-queue": "queue", "X-Both": "queue"}'"#;
        project.queue("custom", "echo-headers", 1, defaults).await;
        project.get(r#"select supaqueue.enqueue('custom', headers => '{"x-job": "job", "x-both": "job"}')"#).await;
        let headers = "result ->> 'x-queue', result ->> 'x-job', result ->> 'x-both'";
        project.finish_as("custom", headers, "queue|job|job").await;
    });
}

#[test]
fn a_target_is_told_which_schedule_calls_it_and_for_which_time() {
    test(async |project| {
        project
            .queue("daily", "echo-headers", 1, "path = null")
            .await;
        project
            .get("select supaqueue.schedule('täglich', 'daily', '0 3 * * *')")
            .await;
        project
            .get("select supaqueue.backfill('täglich', '2026-03-01', '2026-03-02')")
            .await;
        let headers = "result ->> 'supaqueue-schedule', result ->> 'supaqueue-scheduled-at'";
        let want = "t%C3%A4glich|2026-03-01T03:00:00Z";
        project.finish_as("daily", headers, want).await;
        project.get("select supaqueue.unschedule('täglich')").await;
    });
}

#[test]
fn the_queue_chooses_the_api_key() {
    test(async |project| {
        let anon = format!("Bearer {}", project.stack.anon_key());
        let without_key = r#"{"apikey": false, "authorization": false}"#;
        #[rustfmt::skip]
        let cases = [
            ("as_anon", "echo-headers", "auth = 'anon'", "result ->> 'authorization'", &*anon),
            ("without_key", "without-jwt", "auth = 'none'", "result", without_key),
            ("rejected", "echo-headers", "auth = 'none', max_attempts = 1", "status, http_status", "failed|401"),
        ];
        for (queue, function, settings, columns, want) in cases {
            project.queue(queue, function, 1, settings).await;
            project.enqueue(queue, "{}").await;
            project.finish_as(queue, columns, want).await;
        }
    });
}

#[test]
fn a_target_can_verify_the_signature() {
    test(async |project| {
        let once = "max_attempts = 1";
        project.queue("signed", "check-signature", 1, once).await;
        for payload in [r#"{"text": "naïve 😀", "number": 1.10}"#, "[]"] {
            project.enqueue("signed", payload).await;
        }
        let want = "successful|\"ours\"\nsuccessful|\"ours\"";
        project.finish_as("signed", "status, result", want).await;

        let key = format!("Bearer {}", project.stack.service_role_key());
        let headers = [
            ("authorization", &*key),
            ("webhook-id", "call_1"),
            ("webhook-timestamp", "1700000000"),
            ("webhook-signature", "v1,AAAA"),
        ];
        let url = project.stack.gateway_url();
        let (status, _) = post(url, "/functions/v1/check-signature", &headers, "{}").await;
        assert_eq!(status, 401, "the target rejects a forged signature");
    });
}
