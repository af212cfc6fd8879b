//! Authentication of dispatches and reports.

use serde_json::{Value, json};
use supaqueue_tests::{eventually, get, run};

use crate::http::post;
use crate::stack::{Project, lines, test};

/// Headers to replace, or to remove if the value is `None`.
type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

const FUNCTION: &str = "/functions/v1/supaqueue";
const END_CURRENT_JOB: &str = "/rest/v1/rpc/end_current_job";

/// A dispatch as the database sent it.
pub(crate) struct Dispatch {
    pub(crate) job: String,
    headers: Value,
    pub(crate) body: String,
}

impl Dispatch {
    /// Enqueues a job and captures the dispatch that the database sends for it.
    pub(crate) async fn of_new_job(project: &Project, queue: &str, payload: &str) -> Self {
        // Brings the dispatch forward from the commit, to read it before pg_net takes it.
        run(&project.client, "begin").await;
        let job = project.enqueue(queue, payload).await;
        run(&project.client, "set constraints all immediate").await;
        let sent = "select headers, convert_from(body, 'UTF8') from net.http_request_queue where convert_from(body, 'UTF8') like '%";
        let row = project
            .client
            .query_one(&format!("{sent}{job}%'"), &[])
            .await
            .unwrap();
        run(&project.client, "commit").await;
        Self {
            job,
            headers: row.get(0),
            body: row.get(1),
        }
    }

    /// Sends it to a stack with some headers changed; returns the answer's status and error code.
    pub(crate) async fn send(&self, url: &str, changes: Changes<'_>) -> (u16, Value) {
        let mut headers = self.headers.clone();
        for (name, value) in changes {
            match value {
                Some(value) => headers[*name] = json!(value),
                None => drop(headers.as_object_mut().unwrap().remove(*name)),
            }
        }
        let headers: Vec<_> = headers
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (&**name, value.as_str().unwrap()))
            .collect();
        let (status, body) = post(url, FUNCTION, &headers, &self.body).await;
        (status, body["code"].clone())
    }
}

#[test]
fn a_replayed_dispatch_runs_nothing() {
    test(async |project| {
        let mut logs = project.stack.logs();
        let mut calls = project.stack.logs();
        project.queue("replayed", "count-calls", 1, &[]).await;
        let dispatch = Dispatch::of_new_job(&project, "replayed", r#"{"ms": 300}"#).await;
        let url = project.stack.gateway_url();
        // While the job is dispatched or in progress, and after it is settled.
        for _ in 0..3 {
            assert_eq!(dispatch.send(url, &[]).await.0, 202);
        }
        project.finished("replayed").await;
        assert_eq!(dispatch.send(url, &[]).await.0, 202);

        let is_refusal =
            |line: &str| line.contains("acknowledgement_refused") && line.contains(&dispatch.job);
        lines(&mut logs, "supaqueue", 4, is_refusal).await;
        let job = format!(
            "select status, attempts, result from supaqueue.job where id = '{}'",
            dispatch.job
        );
        assert_eq!(project.get(&job).await, r#"successful|1|{"call": 1}"#);
        // The refused dispatches called nothing: the queue's next call is its second.
        project.enqueue("replayed", r#"{"ms": 0}"#).await;
        let is_call = |line: &str| line.contains(r#""queue":"replayed""#);
        assert_eq!(lines(&mut calls, "count-calls", 2, is_call).await.len(), 2);
        project.finished("replayed").await;
        let last_call = "select max((result ->> 'call')::integer) from supaqueue.job where queue = supaqueue.queue_id('replayed')";
        assert_eq!(project.get(last_call).await, "2");
    });
}

#[test]
fn the_supaqueue_function_accepts_only_what_the_database_signed() {
    test(async |project| {
        project.queue("forgery", "succeed", 1, &[]).await;
        let dispatch = Dispatch::of_new_job(&project, "forgery", "{}").await;
        let url = project.stack.gateway_url();
        let service = format!("Bearer {}", project.stack.service_role_key());
        let old = "1700000000";
        let signature = format!(
            "select supaqueue.signature(supaqueue.signing_key('{}'), 'msg_1', '{old}', $body${}$body$)",
            project.stack.secret(),
            dispatch.body
        );
        let old_signature = get(&project.client, &signature).await;
        let cases: [(&str, Changes<'_>); 6] = [
            ("no signature", &[("webhook-signature", None)]),
            (
                "another signature",
                &[(
                    "webhook-signature",
                    Some("v1,K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols="),
                )],
            ),
            ("another id", &[("webhook-id", Some("msg_other"))]),
            ("another time", &[("webhook-timestamp", Some(old))]),
            (
                "correctly signed, but expired",
                &[
                    ("webhook-id", Some("msg_1")),
                    ("webhook-timestamp", Some(old)),
                    ("webhook-signature", Some(&old_signature)),
                ],
            ),
            (
                "a key instead of a signature",
                &[
                    ("webhook-signature", None),
                    ("authorization", Some(&service)),
                ],
            ),
        ];
        for (case, changes) in cases {
            assert_eq!(dispatch.send(url, changes).await.0, 401, "{case}");
        }
        let other = Dispatch {
            body: dispatch.body.replace("succeed", "fail-always"),
            ..dispatch
        };
        assert_eq!(other.send(url, &[]).await.0, 401, "another body");
        eventually(
            &project.client,
            "select status, attempts from supaqueue.job where queue = supaqueue.queue_id('forgery')",
            "successful|1",
        )
        .await;
    });
}

#[test]
fn only_the_service_role_can_settle_jobs() {
    test(async |project| {
        let keys = project.stack.keys();
        // A legacy key is also sent as the bearer token; a new one is not.
        let answer = async |key: Option<&str>| {
            let body = json!({
                "cur_job_id": "00000000-0000-4000-8000-000000000000", "_is_complete": true, "_is_successful": true
            });
            let bearer = format!("Bearer {}", key.unwrap_or_default());
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(key.map(|key| ("apikey", key)));
            if key.is_some_and(|key| !key.starts_with("sb_")) {
                headers.push(("authorization", &bearer));
            }
            post(
                project.stack.gateway_url(),
                END_CURRENT_JOB,
                &headers,
                &body.to_string(),
            )
            .await
        };
        for key in [None, Some(keys.anon()), Some(keys.publishable())] {
            let (status, body) = answer(key).await;
            assert!(status == 401 || status == 403, "{key:?}: {status} {body}");
        }
        for key in [keys.service_role(), keys.secret()] {
            let (status, body) = answer(Some(key)).await;
            assert_eq!(
                (status, &body["accepted"]),
                (200, &json!(false)),
                "the call is allowed, but the current job does not exist: {body}"
            );
        }
    });
}
