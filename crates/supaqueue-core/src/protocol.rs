//! The messages between the database and the function: the dispatch, and the
//! arguments and result of `end_current_job`.
//!
//! Unknown fields are ignored, so that the schema can grow columns without a new
//! function. A payload stays unparsed: every digit of a number and every key
//! reach the target as Postgres stores them.

use core::num::NonZeroU32;
use serde::Deserialize;

use crate::json::{self, Object, Raw};
use crate::log::{Entry, Level};
use crate::uuid::Uuid;

/// Identifies a job across all of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct JobId(pub(crate) Uuid);

/// Identifies one attempt of a job by one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct CurrentJobId(pub(crate) Uuid);

/// Identifies a lane, so that it can repeat an acknowledgement and no other lane can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneId(Uuid);

impl LaneId {
    /// An id made of random bytes (UUID version 4).
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_random(bytes))
    }
}

/// The body of a dispatch.
#[derive(Debug, Default)]
pub struct Dispatch {
    /// Each of them starts a lane.
    pub current_jobs: Vec<Assignment>,
    /// The log lines of those that cannot be read. They are never acknowledged, so their leases end.
    pub malformed: Vec<Entry>,
}

/// A current job with its job and its queue.
#[derive(Clone, Debug, Deserialize)]
pub struct Assignment {
    /// The row that joins a worker to the job.
    pub current_job: CurrentJob,
    /// What to send.
    pub job: Job,
    /// Where to send it, and how.
    pub queue: Queue,
}

impl Assignment {
    /// The call's timeout in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.job.timeout_ms.unwrap_or(self.queue.timeout_ms).into()
    }

    /// What follows the function's name in the call's address; may be empty.
    pub(crate) fn path(&self) -> &str {
        let path = self.job.path.as_deref().or(self.queue.path.as_deref());
        path.unwrap_or_default()
    }
}

/// A row of `supaqueue.current_job`.
#[derive(Clone, Debug, Deserialize)]
pub struct CurrentJob {
    /// What an acknowledgement and a report refer to.
    pub id: CurrentJobId,
    /// When it was dispatched (`timestamptz` as JSON).
    pub created_at: Option<String>,
    /// When it was acknowledged: at once, if it came with the result of a report.
    pub acknowledged_at: Option<String>,
    /// When its lease ends.
    pub lease_until: Option<String>,
}

/// A row of `supaqueue.job`.
#[derive(Clone, Debug, Deserialize)]
pub struct Job {
    /// Also the idempotency key of its calls.
    pub id: JobId,
    /// The body of the call, as Postgres writes it.
    pub payload: Raw,
    /// The number of this attempt, from 1.
    pub attempts: NonZeroU32,
    /// Headers of the call: an object of strings, checked when the call is made.
    pub headers: Option<Raw>,
    /// Overrides the queue's path, checked when the call is made.
    pub path: Option<String>,
    /// Overrides the queue's timeout.
    pub timeout_ms: Option<u32>,
}

/// A row of `supaqueue.queue`.
#[derive(Clone, Debug, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// The target function.
    pub edge_function_name: String,
    /// What follows its name in the address of a call, checked when a call is made.
    pub path: Option<String>,
    /// Headers of every call: an object of strings, checked when a call is made.
    pub default_headers: Option<Raw>,
    /// The timeout of a call, in milliseconds.
    pub timeout_ms: u32,
    /// The key that a call carries.
    pub auth: Auth,
    /// Statuses that are not retried.
    #[serde(default)]
    pub final_statuses: Vec<u16>,
}

/// The project key that a call of a target carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Auth {
    /// The service role key, which bypasses row level security.
    ServiceRole,
    /// The anonymous key.
    Anon,
    /// No key: an `authorization` header of the queue or the job is sent as it is.
    None,
}

/// The named arguments of `end_current_job`.
#[derive(Debug)]
pub(crate) struct EndCurrentJob {
    /// The current job that is acknowledged or reported.
    pub(crate) cur_job_id: CurrentJobId,
    /// False for an acknowledgement, true for a report.
    pub(crate) is_complete: bool,
    /// Of a report: whether the call succeeded.
    pub(crate) is_successful: bool,
    /// The details.
    pub(crate) report: Report,
    /// Asks for a next job with at most this timeout, in milliseconds; None asks for none.
    pub(crate) next_within_ms: Option<u32>,
}

impl EndCurrentJob {
    /// The arguments as JSON.
    pub(crate) fn json(&self) -> String {
        let next = self
            .next_within_ms
            .map_or("null".into(), |ms| ms.to_string());
        Object::default()
            .text("cur_job_id", Some(&self.cur_job_id.0.to_string()))
            .plain("_is_complete", Some(self.is_complete))
            .plain("_is_successful", Some(self.is_successful))
            .object("_report", Some(self.report.object()))
            .plain("_next_within_ms", Some(next))
            .end()
    }
}

/// The details of an acknowledgement or a report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    /// The sender.
    pub(crate) lane: Option<LaneId>,
    /// The status of the target's response.
    pub(crate) http_status: Option<u16>,
    /// The duration of the call.
    pub(crate) duration_ms: Option<u32>,
    /// Of a successful call: the target's response.
    pub(crate) result: Option<Raw>,
    /// Of a failed call: the error.
    pub(crate) error: Option<ReportedError>,
    /// When to retry at the earliest, in milliseconds from now.
    pub(crate) retry_after_ms: Option<u32>,
    /// True prevents a retry.
    pub(crate) is_final: Option<bool>,
    /// False if no call was made: the attempt does not count.
    pub(crate) is_attempt: Option<bool>,
    /// What has to be set in the project before such a call can be made.
    pub(crate) problem: Option<String>,
}

impl Report {
    /// The details as JSON.
    pub(crate) fn object(&self) -> Object {
        let error = self.error.as_ref().map(|error| {
            Object::default()
                .text("message", Some(&error.message))
                .text("body", error.body.as_deref())
        });
        Object::default()
            .text("lane", self.lane.map(|lane| lane.0.to_string()).as_deref())
            .plain("http_status", self.http_status)
            .plain("duration_ms", self.duration_ms)
            .raw("result", self.result.as_ref())
            .object("error", error)
            .plain("retry_after_ms", self.retry_after_ms)
            .plain("is_final", self.is_final)
            .plain("is_attempt", self.is_attempt)
            .text("problem", self.problem.as_deref())
    }
}

/// The error of a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportedError {
    /// What went wrong, as one line.
    pub(crate) message: String,
    /// The start of the target's response.
    pub(crate) body: Option<String>,
}

/// The result of `end_current_job`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct EndCurrentJobResult {
    /// False if the current job is gone or belongs to another lane.
    pub(crate) accepted: bool,
    /// Why not.
    pub(crate) reason: Option<String>,
    /// Of an acknowledgement: the remaining lease in milliseconds.
    pub(crate) lease_ms: Option<u64>,
    /// Of a report: the worker's next job, already acknowledged for this lane.
    pub(crate) next: Option<Box<Assignment>>,
}

/// The payload of a job that calls this function itself, to check the whole path
/// from the database to a target. It starts nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelfTest {
    self_test: bool,
}

/// Whether a body is `{"self_test": true}` and nothing else.
pub(crate) fn is_self_test(body: &str) -> bool {
    json::from_str::<SelfTest>(body).is_ok_and(|body| body.self_test)
}

/// A dispatch whose records are not read yet.
#[derive(Deserialize)]
struct Records<'a> {
    #[serde(borrow)]
    current_jobs: Vec<json::Part<'a>>,
}

/// Reads the body of a dispatch. Each record is read by itself, so that a malformed one does not
/// keep the others from running.
pub(crate) fn parse_dispatch(body: &str) -> Result<Dispatch, json::Error> {
    let records: Records<'_> = json::from_str(body)?;
    let mut dispatch = Dispatch::default();
    for json::Part(record) in records.current_jobs {
        match json::from_str(record) {
            Ok(assignment) => dispatch.current_jobs.push(assignment),
            Err(error) => {
                let entry = Entry::new(Level::Error, "record_malformed");
                dispatch.malformed.push(entry.because(&error.to_string()));
            }
        }
    }
    Ok(dispatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as `to_jsonb` writes them, with columns that this version does not know.
    fn assignment(payload: &str) -> String {
        format!(
            r#"{{"current_job":{{"id":"00000000-0000-4000-8000-000000000001","worker":null,"lease_until":"2026-11-23T07:12:54+00:00","new":1}},
            "job":{{"id":"00000000-0000-4000-8000-000000000002","payload":{payload},"attempts":1,"headers":null,"timeout_ms":null}},
            "queue":{{"name":"q","edge_function_name":"f","default_headers":{{"a":"b"}},"timeout_ms":60000,"auth":"anon","final_statuses":[404]}}}}"#
        )
    }

    #[test]
    fn a_payload_stays_unparsed() {
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
    fn a_job_overrides_the_timeout_of_its_queue() {
        let mut one: Assignment = json::from_str(&assignment("1")).unwrap();
        assert_eq!(one.timeout_ms(), 60_000);
        one.job.timeout_ms = Some(5);
        assert_eq!(one.timeout_ms(), 5);
    }

    #[test]
    fn a_job_overrides_the_path_of_its_queue() {
        let mut one: Assignment = json::from_str(&assignment("1")).unwrap();
        assert_eq!(one.path(), "", "a schema that sends no paths");
        one.queue.path = Some("a".into());
        assert_eq!(one.path(), "a");
        one.job.path = Some("b".into());
        assert_eq!(one.path(), "b");
        one.job.path = Some(String::new());
        assert_eq!(one.path(), "", "an empty path is none");
    }

    #[test]
    fn a_self_test_has_no_other_fields() {
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
    fn an_error_says_where_the_body_is_no_dispatch() {
        let cases = [
            ("", "at byte 0"),
            ("{}", "current_jobs"),
            ("[]", "expected struct Records at byte 0"),
            (r#"{"current_jobs":[{]}"#, "at byte 18"),
        ];
        for (body, want) in cases {
            let message = parse_dispatch(body).unwrap_err().to_string();
            assert!(message.contains(want), "{body}: {message}");
        }
    }

    #[test]
    fn a_malformed_record_is_skipped_and_named() {
        let good = assignment("1");
        let cases = [
            ("1", "expected struct Assignment at byte 0"),
            (r#"{"job":{}}"#, "missing field `id` at byte 8"),
            (
                &good.replace("anon", "admin"),
                "expected one of service_role, anon, none",
            ),
            (&good.replace(":1,\"headers", ":0,\"headers"), "nonzero"),
        ];
        for (bad, want) in cases {
            let body = format!(r#"{{"current_jobs":[{good}, {bad} ,{good}]}}"#);
            let dispatch = parse_dispatch(&body).unwrap();
            assert_eq!(dispatch.current_jobs.len(), 2, "{bad}");
            let [entry] = &dispatch.malformed[..] else {
                panic!("{bad}: {:?}", dispatch.malformed);
            };
            assert_eq!(
                (entry.level, entry.event),
                (Level::Error, "record_malformed")
            );
            let message = entry.message.as_deref().unwrap_or_default();
            assert!(message.contains(want), "{bad}: {message}");
        }
    }

    #[test]
    fn arguments_and_report_use_the_names_of_the_sql() {
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
            report,
            next_within_ms: Some(5),
        };
        assert_eq!(
            call.json(),
            r#"{"cur_job_id":"00000000-0000-4000-8000-000000000000","_is_complete":true,"_is_successful":true,"_report":{"lane":"07070707-0707-4707-8707-070707070707","http_status":200,"duration_ms":12,"result":1.10},"_next_within_ms":5}"#
        );
    }
}
