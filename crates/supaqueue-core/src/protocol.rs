//! What travels between the database and us: the dispatch, the call of
//! `end_current_job` and its answer.
//!
//! Fields that we do not read are ignored, so that the schema may grow columns
//! without a new function. A payload stays the text that came: every digit of
//! a number and every key reach the target as Postgres stores them.

use core::num::NonZeroU32;
use serde::Deserialize;

use crate::id::Uuid;
use crate::json::{self, Raw};
use crate::writer::Object;

/// Identifies a job; the same for all of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub Uuid);

/// Identifies one attempt of a job by one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct CurrentJobId(pub Uuid);

/// Identifies a lane, so that an acknowledgement can be repeated by it, and by no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneId(Uuid);

impl LaneId {
    /// A lane's id from random bytes (UUID version 4).
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_random(bytes))
    }
}

/// The body of a dispatch.
#[derive(Debug, Deserialize)]
pub struct Dispatch {
    /// One lane is opened for each.
    pub current_jobs: Vec<Assignment>,
}

/// A current job with its job and queue.
#[derive(Clone, Debug, Deserialize)]
pub struct Assignment {
    /// What joins the worker and the job.
    pub current_job: CurrentJob,
    /// The call to make.
    pub job: Job,
    /// Whom to call, and how.
    pub queue: Queue,
}

impl Assignment {
    /// How long the call may take, in milliseconds.
    pub fn timeout_ms(&self) -> u64 {
        self.job.timeout_ms.unwrap_or(self.queue.timeout_ms).into()
    }
}

/// A row of `supaqueue.current_job`.
#[derive(Clone, Debug, Deserialize)]
pub struct CurrentJob {
    /// Its id: what is acknowledged and reported.
    pub id: CurrentJobId,
    /// Start of the dispatch lease (`timestamptz` as JSON).
    pub created_at: Option<String>,
    /// Start of the lease of a current job that came with a report.
    pub acknowledged_at: Option<String>,
    /// End of the lease.
    pub lease_until: Option<String>,
}

/// A row of `supaqueue.job`.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    /// Its id, which is also the call's idempotency key.
    pub id: JobId,
    /// The body of the call, as Postgres wrote it.
    pub payload: Raw,
    /// Which attempt this is, from 1.
    pub attempts: NonZeroU32,
    /// Headers of this call: an object of strings, checked when the call is built.
    pub headers: Option<Raw>,
    /// Overrides the queue's.
    pub timeout_ms: Option<u32>,
}

/// A row of `supaqueue.queue`.
#[derive(Clone, Debug, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// The target function.
    pub edge_function_name: String,
    /// Headers of every call: an object of strings, checked when the call is built.
    pub default_headers: Option<Raw>,
    /// How long a call may take.
    pub timeout_ms: u32,
    /// Which key a call carries.
    pub auth: Auth,
    /// Statuses after which a retry is of no use.
    #[serde(default)]
    pub final_statuses: Vec<u16>,
}

/// Which of the project's keys a call of the target carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// The service role key, which bypasses row level security.
    ServiceRole,
    /// The anonymous key.
    Anon,
    /// None: the queue's or the job's own `authorization` header, if any, is sent.
    None,
}

/// The named arguments of `end_current_job`.
#[derive(Debug)]
pub struct EndCurrentJob<'a> {
    /// What is acknowledged or reported.
    pub cur_job_id: CurrentJobId,
    /// False acknowledges, true reports.
    pub is_complete: bool,
    /// Of a report: was the call a success.
    pub is_successful: bool,
    /// The rest of what there is to say.
    pub report: &'a Report,
    /// Null asks for no next job, a number for one whose timeout is at most so many milliseconds.
    pub next_within_ms: Option<u32>,
}

impl EndCurrentJob<'_> {
    /// The body of the call.
    pub fn json(&self) -> String {
        let next = self
            .next_within_ms
            .map_or("null".into(), |ms| ms.to_string());
        Object::new()
            .text("cur_job_id", Some(&self.cur_job_id.0.to_string()))
            .plain("_is_complete", Some(self.is_complete))
            .plain("_is_successful", Some(self.is_successful))
            .object("_report", Some(self.report.object()))
            .plain("_next_within_ms", Some(next))
            .end()
    }
}

/// What is said of a call.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The lane that speaks.
    pub lane: Option<LaneId>,
    /// The target's status.
    pub http_status: Option<u16>,
    /// How long the call took.
    pub duration_ms: Option<u32>,
    /// Of a success: the target's answer.
    pub result: Option<Raw>,
    /// Of a failure: what went wrong.
    pub error: Option<ReportedError>,
    /// The earliest moment of a retry, in milliseconds from now.
    pub retry_after_ms: Option<u32>,
    /// True: no retry.
    pub is_final: Option<bool>,
    /// False: the attempt is given back.
    pub is_attempt: Option<bool>,
}

impl Report {
    /// The report as JSON.
    pub fn object(&self) -> Object {
        let error = self.error.as_ref().map(|error| {
            Object::new()
                .text("message", Some(&error.message))
                .text("body", error.body.as_deref())
        });
        Object::new()
            .text("lane", self.lane.map(|lane| lane.0.to_string()).as_deref())
            .plain("http_status", self.http_status)
            .plain("duration_ms", self.duration_ms)
            .raw("result", self.result.as_ref())
            .object("error", error)
            .plain("retry_after_ms", self.retry_after_ms)
            .plain("is_final", self.is_final)
            .plain("is_attempt", self.is_attempt)
    }
}

/// What is kept of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedError {
    /// One line.
    pub message: String,
    /// The beginning of the target's answer.
    pub body: Option<String>,
}

/// What `end_current_job` returns.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// False: the current job is gone or is another lane's.
    pub accepted: bool,
    /// Why it was not accepted.
    pub reason: Option<String>,
    /// Of an acknowledgement: how long the lease now is.
    pub lease_ms: Option<u64>,
    /// The worker's next job, already acknowledged for this lane.
    pub next: Option<Box<Assignment>>,
}

/// The payload of a job that calls this function itself, to see that everything between the
/// database and a target is in order. It starts nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfTest {
    self_test: bool,
}

/// Whether a body is exactly `{"self_test": true}`.
pub fn is_self_test(body: &str) -> bool {
    json::from_str::<SelfTest>(body).is_ok_and(|body| body.self_test)
}

/// Reads the body of a dispatch. An error says where.
pub fn parse_dispatch(body: &str) -> Result<Dispatch, json::Error> {
    json::from_str(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row as `to_jsonb` writes it, with columns that we do not know.
    fn assignment(payload: &str) -> String {
        format!(
            r#"{{"current_job":{{"id":"00000000-0000-4000-8000-000000000001","worker":null,"lease_until":"2026-11-23T07:12:54+00:00","new":1}},
            "job":{{"id":"00000000-0000-4000-8000-000000000002","payload":{payload},"attempts":1,"headers":null,"timeout_ms":null}},
            "queue":{{"name":"q","edge_function_name":"f","default_headers":{{"a":"b"}},"timeout_ms":60000,"auth":"anon","final_statuses":[404]}}}}"#
        )
    }

    #[test]
    fn a_payload_stays_the_text_that_came() {
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        for payload in [
            "123456789012345678901234567890.10",
            r#"{"b": 1, "a": [1.0, 1e3], "ü": "\u20ac😀"}"#,
            r#""text""#,
            "null",
            "[]",
            &deep,
        ] {
            let body = format!(r#"{{"current_jobs":[{}]}}"#, assignment(payload));
            let dispatch = parse_dispatch(&body).unwrap();
            assert_eq!(dispatch.current_jobs[0].job.payload.get(), payload);
        }
    }

    #[test]
    fn a_jobs_timeout_is_its_own_or_its_queues() {
        let mut one: Assignment = json::from_str(&assignment("1")).unwrap();
        assert_eq!(one.timeout_ms(), 60_000);
        one.job.timeout_ms = Some(5);
        assert_eq!(one.timeout_ms(), 5);
    }

    #[test]
    fn a_self_test_is_that_and_nothing_else() {
        let cases = [
            (r#"{"self_test": true}"#, true),
            (r#"{"self_test":false}"#, false),
            (r#"{"self_test":true,"current_jobs":[]}"#, false),
            ("{}", false),
            ("true", false),
        ];
        for (body, want) in cases {
            assert_eq!(is_self_test(body), want, "{body}");
        }
    }

    #[test]
    fn what_is_not_a_dispatch_says_where() {
        let cases = [
            ("", "at byte 0"),
            ("{}", "current_jobs"),
            ("[]", "expected struct Dispatch at byte 0"),
            (
                r#"{"current_jobs":[{"job":{}}]}"#,
                "missing field `id` at byte 25",
            ),
            (
                &format!(
                    r#"{{"current_jobs":[{}]}}"#,
                    assignment("1").replace("anon", "admin")
                ),
                "expected one of service_role, anon, none",
            ),
            (
                &format!(
                    r#"{{"current_jobs":[{}]}}"#,
                    assignment("1").replace(":1,\"headers", ":0,\"headers")
                ),
                "nonzero",
            ),
        ];
        for (body, want) in cases {
            let message = parse_dispatch(body).unwrap_err().to_string();
            assert!(message.contains(want), "{body}: {message}");
        }
    }

    #[test]
    fn a_report_has_the_names_of_the_functions_arguments() {
        let report = Report {
            lane: Some(LaneId::from_random([7; 16])),
            http_status: Some(200),
            duration_ms: Some(12),
            result: Raw::parse("1.10"),
            ..Report::default()
        };
        let call = EndCurrentJob {
            cur_job_id: CurrentJobId(Uuid::from_random([0; 16])),
            is_complete: true,
            is_successful: true,
            report: &report,
            next_within_ms: Some(5),
        };
        assert_eq!(
            call.json(),
            r#"{"cur_job_id":"00000000-0000-4000-8000-000000000000","_is_complete":true,"_is_successful":true,"_report":{"lane":"07070707-0707-4707-8707-070707070707","http_status":200,"duration_ms":12,"result":1.10},"_next_within_ms":5}"#
        );
    }
}
