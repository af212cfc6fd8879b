//! Authentication of dispatches and reports.

use serde_json::{Value, json};
use supaqueue_tests::run;

use crate::http::post;
use crate::stack::{Project, lines, test};

/// Headers to replace, or to remove if the value is `None`.
type Changes<'a> = &'a [(&'a str, Option<&'a str>)];

const FUNCTION: &str = "/functions/v1/supaqueue";
const END_CURRENT_JOB: &str = "/rest/v1/rpc/end_current_job";

/// A dispatch as the database sent it.
pub(crate) struct Dispatch {
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
        let sent = format!(
            "select headers, convert_from(body, 'UTF8') from net.http_request_queue
             where convert_from(body, 'UTF8') like '%{job}%'"
        );
        let row = project.client.query_one(&sent, &[]).await.unwrap();
        run(&project.client, "commit").await;
        Self {
            headers: row.get(0),
            body: row.get(1),
        }
    }

    /// The id of the current job that it brings.
    fn current_job(&self) -> String {
        let body: Value = serde_json::from_str(&self.body).unwrap();
        let id = body.pointer("/current_jobs/0/current_job/id").unwrap();
        id.as_str().unwrap().to_owned()
    }

    /// Sends it to a stack with some headers changed; returns the answer's status.
    pub(crate) async fn send(&self, url: &str, changes: Changes<'_>) -> u16 {
        let mut headers = self.headers.clone();
        for (name, value) in changes {
            match value {
                Some(value) => headers[*name] = json!(value),
                None => drop(headers.as_object_mut().unwrap().remove(*name)),
            }
        }
        let headers = headers.as_object().unwrap().iter();
        let headers = headers.map(|(name, value)| (&**name, value.as_str().unwrap()));
        let headers: Vec<_> = headers.collect();
        post(url, FUNCTION, &headers, &self.body).await.0
    }
}

#[test]
fn a_replayed_dispatch_runs_nothing() {
    test(async |project| {
        let mut calls = project.stack.logs();
        project.queue("replayed", "count-calls", 1, "").await;
        let dispatch = Dispatch::of_new_job(&project, "replayed", r#"{"ms": 300}"#).await;
        let url = project.stack.gateway_url();
        // While the job is dispatched or in progress, and after it is settled.
        for _ in 0..3 {
            assert_eq!(dispatch.send(url, &[]).await, 202);
        }
        project.finished("replayed").await;
        let mut logs = project.stack.logs();
        assert_eq!(dispatch.send(url, &[]).await, 202);

        let is_refusal = |line: &str| {
            line.contains("not_acknowledged") && line.contains(&dispatch.current_job())
        };
        // Those before may have come in time for the same pulse as the first.
        lines(&mut logs, "supaqueue", 1, is_refusal).await;
        let job = "status, attempts, result";
        let want = r#"successful|1|{"call": 1}"#;
        project.finish_as("replayed", job, want).await;
        // The refused dispatches called nothing: the queue's next call is its second.
        project.enqueue("replayed", r#"{"ms": 0}"#).await;
        let is_call = |line: &str| line.contains(r#""queue":"replayed""#);
        assert_eq!(lines(&mut calls, "count-calls", 2, is_call).await.len(), 2);
        let calls = "result ->> 'call'";
        project.finish_as("replayed", calls, "1\n2").await;
    });
}

#[test]
fn the_supaqueue_function_accepts_only_what_the_database_signed() {
    test(async |project| {
        project.queue("forgery", "succeed", 1, "").await;
        let dispatch = Dispatch::of_new_job(&project, "forgery", "{}").await;
        let url = project.stack.gateway_url();
        let service = format!("Bearer {}", project.stack.service_role_key());
        let old = "1700000000";
        let signature = format!(
            "select supaqueue.signature(supaqueue.signing_key('{}'), 'msg_1', '{old}', $body${}$body$)",
            project.stack.secret(),
            dispatch.body
        );
        let old_signature = &*project.get(&signature).await;
        let other_signature = "v1,K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=";
        let [id, time, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let expired = [
            (id, Some("msg_1")),
            (time, Some(old)),
            (signature, Some(old_signature)),
        ];
        let key = [(signature, None), ("authorization", Some(&*service))];
        #[rustfmt::skip]
        let cases: [(&str, Changes<'_>); 6] = [
            ("no signature", &[(signature, None)]),
            ("another signature", &[(signature, Some(other_signature))]),
            ("another id", &[(id, Some("msg_other"))]),
            ("another time", &[(time, Some(old))]),
            ("correctly signed, but expired", &expired),
            ("a key instead of a signature", &key),
        ];
        for (case, changes) in cases {
            assert_eq!(dispatch.send(url, changes).await, 401, "{case}");
        }
        let other = Dispatch {
            body: dispatch.body.replace("forgery", "other-one"),
            ..dispatch
        };
        assert_eq!(other.send(url, &[]).await, 401, "another body");
        let job = "status, attempts";
        project.finish_as("forgery", job, "successful|1").await;
    });
}

#[test]
fn only_the_service_role_can_settle_jobs() {
    test(async |project| {
        let keys = project.stack.keys();
        // A legacy key is also sent as the bearer token; a new one is not.
        let answer = async |key: Option<&str>| {
            let body = r#"{"cur_job_id": "00000000-0000-4000-8000-000000000000",
                           "_is_complete": true, "_is_successful": true}"#;
            let bearer = format!("Bearer {}", key.unwrap_or_default());
            let mut headers = vec![("content-type", "application/json")];
            headers.extend(key.map(|key| ("apikey", key)));
            if key.is_some_and(|key| !key.starts_with("sb_")) {
                headers.push(("authorization", &bearer));
            }
            let url = project.stack.gateway_url();
            post(url, END_CURRENT_JOB, &headers, body).await
        };
        for key in [None, Some(keys.anon()), Some(keys.publishable())] {
            let (status, body) = answer(key).await;
            assert!(status == 401 || status == 403, "{key:?}: {status} {body}");
        }
        for key in [keys.service_role(), keys.secret()] {
            let (status, body) = answer(Some(key)).await;
            // The call is allowed, but the current job does not exist.
            assert_eq!((status, &body["accepted"]), (200, &json!(false)), "{body}");
        }
    });
}
