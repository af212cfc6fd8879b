//! The messages between the database and the function: the dispatch, and the
//! arguments and results of `supaqueue_pulse` and `end_current_job`.
//!
//! Unknown fields are ignored, so that the schema can grow columns without a new
//! function. A payload stays unparsed: every digit of a number and every key
//! reach the target as Postgres stores them.

use core::fmt;
use core::num::NonZeroU32;
use std::sync::Arc;

use crate::json::{self, FromJson, Object, Raw, Reader};
use crate::log::{Entry, Level};
use crate::uuid::Uuid;

/// Identifies a job across all of its attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JobId(pub(crate) Uuid);

/// Identifies one attempt of a job by one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CurrentJobId(pub(crate) Uuid);

/// Identifies a run, so that only its own requests end its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RunId(pub(crate) Uuid);

impl RunId {
    /// An id made of random bits (UUID version 4).
    #[must_use]
    pub fn from_random(random: u128) -> Self {
        Self(Uuid::from_random(random.to_be_bytes()))
    }
}

/// Identifies a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId(pub(crate) Uuid);

macro_rules! read_as_uuid {
    ($($id:ident)*) => {$(
        impl FromJson<'_> for $id {
            fn read(reader: &mut Reader<'_>) -> Result<Self, json::Error> {
                Uuid::read(reader).map(Self)
            }
        }

        json::fields! { $id = Self(Uuid::NIL), }
    )*};
}
read_as_uuid!(JobId CurrentJobId QueueId);

/// The body of a dispatch: which current jobs are to be acknowledged. Their payloads come with the
/// acknowledgement.
#[derive(Debug, Default)]
pub struct Dispatch {
    /// The current jobs.
    pub current_jobs: Vec<CurrentJobId>,
    /// The log lines of those that cannot be read. They are never acknowledged, so their leases end.
    pub malformed: Vec<Entry>,
}

/// A current job with its job and its queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CurrentJob {
    /// What an acknowledgement and a report refer to.
    pub id: CurrentJobId,
}

/// A row of `supaqueue.job`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Queue {
    /// What a run asks for more work with.
    pub id: QueueId,
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
    pub final_statuses: Vec<u16>,
}

/// The project key that a call of a target carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Auth {
    /// The service role key, which bypasses row level security.
    ServiceRole,
    /// The anonymous key.
    Anon,
    /// No key: an `authorization` header of the queue or the job is sent as it is.
    None,
    /// One of a later version of the schema.
    Unknown,
}

impl FromJson<'_> for Auth {
    fn read(reader: &mut Reader<'_>) -> Result<Self, json::Error> {
        Ok(match &*reader.string()? {
            "service_role" => Self::ServiceRole,
            "anon" => Self::Anon,
            "none" => Self::None,
            _ => Self::Unknown,
        })
    }
}

json::fields! { Auth = Self::Unknown, }
json::object!(Assignment {
    current_job,
    job,
    queue
});
json::object!(CurrentJob { id });
json::object!(Job {
    id,
    payload,
    attempts,
    headers,
    path,
    timeout_ms
});
json::object!(Queue {
    id,
    name,
    edge_function_name,
    path,
    default_headers,
    timeout_ms,
    auth,
    final_statuses,
});

/// The version of these messages.
const PROTOCOL: u32 = 2;

/// A request to `supaqueue_pulse`. A repetition is the identical request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PulseRequest {
    /// Counts the pulses of the run, from 1. Only a number that the database has not seen yet
    /// acknowledges and claims.
    pub number: u32,
    /// Current jobs that dispatches brought.
    pub acknowledge: Vec<CurrentJobId>,
    /// The calls that the run has, to learn which of them are gone.
    pub calls: Vec<CurrentJobId>,
    /// Prefetched calls that the run will not start.
    pub give_back: Vec<CurrentJobId>,
    /// The queues of which it would take calls now, with the milliseconds since it had one last.
    pub queues: Vec<(QueueId, u64)>,
    /// How much it can take.
    pub limits: Limits,
}

/// How much work a run can take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// In calls.
    pub calls: u32,
    /// In bytes of payloads.
    pub bytes: u64,
    /// The longest timeout that fits the time left, in milliseconds.
    pub within_ms: u32,
    /// The longest timeout that fits a fresh isolate, in milliseconds.
    pub whole_ms: u32,
}

impl PulseRequest {
    /// The arguments as JSON.
    pub(crate) fn json(&self, run: RunId) -> String {
        let limits = Object::default()
            .plain("calls", Some(self.limits.calls))
            .plain("bytes", Some(self.limits.bytes))
            .plain("within_ms", Some(self.limits.within_ms))
            .plain("whole_ms", Some(self.limits.whole_ms));
        let mut queues = self.queues.iter().map(|(queue, idle_ms)| {
            Object::default()
                .text("id", Some(&queue.0.to_string()))
                .plain("idle_ms", Some(idle_ms))
                .end()
        });
        let request = Object::default()
            .plain("protocol", Some(PROTOCOL))
            .plain("acknowledge", ids(&self.acknowledge))
            .plain("calls", ids(&self.calls))
            .plain("give_back", ids(&self.give_back))
            .plain("queues", list(&mut queues))
            .object("limits", Some(limits));
        Object::default()
            .text("_run", Some(&run.0.to_string()))
            .plain("_number", Some(self.number))
            .object("_request", Some(request))
            .end()
    }
}

fn ids(ids: &[CurrentJobId]) -> Option<String> {
    list(&mut ids.iter().map(|id| format!("\"{}\"", id.0)))
}

/// A list of JSON values; None if it is empty.
fn list(values: &mut dyn Iterator<Item = String>) -> Option<String> {
    let mut list = String::new();
    for value in values {
        list.push(if list.is_empty() { '[' } else { ',' });
        list.push_str(&value);
    }
    (!list.is_empty()).then(|| list + "]")
}

/// The result of `supaqueue_pulse` or `end_current_job`. Each fills its own part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RpcResult {
    /// False: the run is over.
    pub accepted: bool,
    /// Why.
    pub reason: Option<String>,
    /// Of a pulse: how long the run lives without another one, in milliseconds from when it sent this
    /// one; None if the pulse came too late to renew anything.
    pub lease_ms: Option<u64>,
    /// Of a pulse: calls to make, acknowledged or claimed.
    pub started: Vec<Arc<Assignment>>,
    /// Of a pulse: calls whose job was cancelled, deleted or settled by hand.
    pub cancelled: Vec<CurrentJobId>,
    /// Of a pulse: calls that the run no longer has.
    pub gone: Vec<CurrentJobId>,
    /// Of a pulse: prefetched calls to give back.
    pub unwanted: Vec<CurrentJobId>,
    /// Of a pulse: when to ask again for each queue that was asked for.
    pub queues: Vec<QueueWait>,
    /// Of a report: the next call of the lane, started.
    pub next: Option<Arc<Assignment>>,
    /// Of a report: a call to hold ready behind it.
    pub held: Option<Arc<Assignment>>,
    /// Of a report without a next call: when to ask for one, in milliseconds; None if there is nothing
    /// to wait for.
    pub again_in_ms: Option<u64>,
}

/// When to ask for calls of a queue again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueWait {
    /// The queue.
    pub id: QueueId,
    /// In milliseconds; None if there is nothing to wait for.
    pub again_in_ms: Option<u64>,
}

json::object!(QueueWait { id, again_in_ms });
json::object!(RpcResult {
    accepted,
    reason,
    lease_ms,
    started,
    cancelled,
    gone,
    unwanted,
    queues,
    next,
    held,
    again_in_ms,
});

/// A report: the named arguments of `end_current_job`. A repetition asks for the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReportRequest {
    /// The current job whose call has ended.
    pub call: CurrentJobId,
    /// Whether the call succeeded.
    pub is_successful: bool,
    /// The details.
    pub report: Report,
    /// A prefetched call of the lane that was started meanwhile.
    pub started: Option<CurrentJobId>,
    /// A prefetched call of the lane that it will not start.
    pub given_back: Option<CurrentJobId>,
    /// What to ask for.
    pub next: Option<Next>,
}

/// The next job that a report asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Next {
    /// Its longest timeout, in milliseconds.
    pub within_ms: u32,
    /// The largest payload, in bytes.
    pub bytes: u64,
    /// Whether one more is wanted, to be held ready.
    pub prefetch: bool,
}

impl ReportRequest {
    /// Whether it may be reported together with others: a success of a lane that has begun the call it held
    /// ready, and that wants another one. Its result has at most `limit` bytes.
    pub(crate) fn is_ordinary(&self, limit: usize) -> bool {
        let result = self.report.result.as_ref();
        self.is_successful
            && self.started.is_some()
            && self.given_back.is_none()
            && self.next.is_some_and(|next| next.prefetch)
            && result.is_none_or(|result| result.get().len() <= limit)
    }

    /// The arguments as JSON.
    pub(crate) fn json(&self, run: RunId) -> String {
        let next = self.next.map(|next| {
            Object::default()
                .plain("within_ms", Some(next.within_ms))
                .plain("bytes", Some(next.bytes))
                .plain("prefetch", next.prefetch.then_some(true))
        });
        let report = self
            .report
            .object()
            .text("run", Some(&run.0.to_string()))
            .plain("started", ids(self.started.as_slice()))
            .plain("given_back", ids(self.given_back.as_slice()));
        Object::default()
            .text("cur_job_id", Some(&self.call.0.to_string()))
            .plain("_is_complete", Some(true))
            .plain("_is_successful", Some(self.is_successful))
            .object("_report", Some(report))
            .object("_next", next)
            .end()
    }
}

/// The arguments of `end_current_jobs` as JSON.
pub(crate) fn reports_json(run: RunId, reports: &[&ReportRequest]) -> String {
    let mut reports = reports.iter().map(|report| report.json(run));
    Object::default()
        .text("_run", Some(&run.0.to_string()))
        .plain("_reports", list(&mut reports))
        .end()
}

/// How a call ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Report {
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
    pub is_attempt: Option<bool>,
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ReportedError {
    /// What went wrong, as one line.
    pub(crate) message: String,
    /// The start of the target's response.
    pub(crate) body: Option<String>,
}

/// The payload of a job that calls this function itself, to check the whole path
/// from the database to a target. It starts nothing.
struct SelfTest(bool);

impl FromJson<'_> for SelfTest {
    fn read(reader: &mut Reader<'_>) -> Result<Self, json::Error> {
        let mut is_one = false;
        reader.object(&mut |name, reader| {
            if name != "self_test" {
                return Err(reader.error("expected no other field"));
            }
            is_one = bool::read(reader)?;
            Ok(())
        })?;
        Ok(Self(is_one))
    }
}

/// Whether a body is `{"self_test": true}` and nothing else.
pub(crate) fn is_self_test(body: &str) -> bool {
    json::from_str::<SelfTest>(body).is_ok_and(|body| body.0)
}

/// A dispatch whose records are not read yet.
struct Records<'a> {
    protocol: u32,
    current_jobs: Option<Vec<json::Part<'a>>>,
}

/// What is read of a record.
struct Record {
    current_job: CurrentJob,
}

json::object!(Records<'a> { protocol, current_jobs });
json::object!(Record { current_job });

/// Why a dispatch is not accepted.
#[derive(Debug)]
pub(crate) enum DispatchError {
    /// It is not a dispatch.
    Malformed(json::Error),
    /// It is one of another version of the schema.
    Protocol(u32),
}

impl fmt::Display for DispatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "the body is not a dispatch: {error}"),
            Self::Protocol(number) => write!(
                f,
                "the database speaks protocol {number}, this function {PROTOCOL}: run `supaqueue install` for this project, \
                 which brings both to the same version"
            ),
        }
    }
}

/// Reads the body of a dispatch. Each record is read by itself, so that a malformed one does not
/// keep the others from running.
pub(crate) fn parse_dispatch(body: &str) -> Result<Dispatch, DispatchError> {
    let records: Records<'_> = json::from_str(body).map_err(DispatchError::Malformed)?;
    if records.protocol != PROTOCOL {
        return Err(DispatchError::Protocol(records.protocol));
    }
    let mut dispatch = Dispatch::default();
    let current_jobs = records.current_jobs.ok_or_else(|| {
        DispatchError::Malformed(json::Error::new("missing field `current_jobs`", body.len()))
    })?;
    for json::Part(record) in current_jobs {
        match json::from_str::<Record>(record) {
            Ok(record) => dispatch.current_jobs.push(record.current_job.id),
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

    /// Rows as `jsonb_build_object` writes them, with columns that this version does not know.
    fn assignment(payload: &str) -> String {
        format!(
            r#"{{"current_job":{{"id":"00000000-0000-4000-8000-000000000001","new":1}},
            "job":{{"id":"00000000-0000-4000-8000-000000000002","payload":{payload},"attempts":1,"headers":null,"timeout_ms":null}},
            "queue":{{"id":"00000000-0000-4000-8000-000000000003","name":"q","edge_function_name":"f","default_headers":{{"a":"b"}},"timeout_ms":60000,"auth":"anon","final_statuses":[404]}}}}"#
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
            let body = format!(r#"{{"accepted":true,"started":[{}]}}"#, assignment(payload));
            let result: RpcResult = json::from_str(&body).unwrap();
            assert_eq!(result.started[0].job.payload.get(), payload);
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
    fn an_error_says_why_the_body_is_no_dispatch() {
        let cases = [
            ("", "at byte 0"),
            ("{}", "protocol"),
            (r#"{"protocol":2}"#, "current_jobs"),
            ("[]", "expected an object at byte 0"),
            (r#"{"protocol":2,"current_jobs":[{]}"#, "at byte 31"),
            (
                r#"{"protocol":3,"current_jobs":[]}"#,
                "the database speaks protocol 3, this function 2: run `supaqueue install` for this project",
            ),
        ];
        for (body, want) in cases {
            let message = parse_dispatch(body).unwrap_err().to_string();
            assert!(message.contains(want), "{body}: {message}");
        }
    }

    #[test]
    fn a_malformed_record_is_skipped_and_named() {
        let good = r#"{"current_job":{"id":"00000000-0000-4000-8000-000000000001"},"job":{}}"#;
        let cases = [
            ("1", "expected an object at byte 0"),
            (r#"{"job":{}}"#, "missing field `current_job`"),
            (r#"{"current_job":{"id":"x"}}"#, "expected a UUID"),
        ];
        for (bad, want) in cases {
            let body = format!(r#"{{"protocol":2,"current_jobs":[{good}, {bad} ,{good}]}}"#);
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

    fn id(n: u8) -> Uuid {
        Uuid::parse(&format!("00000000-0000-4000-8000-{n:012}")).unwrap()
    }

    fn short(json: &str) -> String {
        json.replace("00000000-0000-4000-8000-00000000000", "")
    }

    #[test]
    fn a_pulse_uses_the_names_of_the_sql() {
        let empty = PulseRequest {
            number: 3,
            ..PulseRequest::default()
        };
        assert_eq!(
            short(&empty.json(RunId(id(9)))),
            r#"{"_run":"9","_number":3,"_request":{"protocol":2,"limits":{"calls":0,"bytes":0,"within_ms":0,"whole_ms":0}}}"#
        );
        let full = PulseRequest {
            number: 4,
            acknowledge: vec![CurrentJobId(id(1)), CurrentJobId(id(2))],
            calls: vec![CurrentJobId(id(3))],
            give_back: vec![CurrentJobId(id(4))],
            queues: vec![(QueueId(id(5)), 70)],
            limits: Limits {
                calls: 1,
                bytes: 2,
                within_ms: 3,
                whole_ms: 4,
            },
        };
        assert_eq!(
            short(&full.json(RunId(id(9)))),
            r#"{"_run":"9","_number":4,"_request":{"protocol":2,"acknowledge":["1","2"],"calls":["3"],"give_back":["4"],"queues":[{"id":"5","idle_ms":70}],"limits":{"calls":1,"bytes":2,"within_ms":3,"whole_ms":4}}}"#
        );
    }

    #[test]
    fn a_report_uses_the_names_of_the_sql() {
        let report = Report {
            http_status: Some(200),
            duration_ms: Some(12),
            result: Raw::parse("1.10"),
            problem: Some("p".into()),
            ..Report::default()
        };
        let mut request = ReportRequest {
            call: CurrentJobId(id(1)),
            is_successful: true,
            report,
            started: None,
            given_back: None,
            next: None,
        };
        assert_eq!(
            short(&request.json(RunId(id(9)))),
            r#"{"cur_job_id":"1","_is_complete":true,"_is_successful":true,"_report":{"http_status":200,"duration_ms":12,"result":1.10,"problem":"p","run":"9"}}"#
        );
        request.started = Some(CurrentJobId(id(2)));
        request.given_back = Some(CurrentJobId(id(3)));
        request.next = Some(Next {
            within_ms: 5,
            bytes: 6,
            prefetch: true,
        });
        assert_eq!(
            short(&request.json(RunId(id(9)))),
            r#"{"cur_job_id":"1","_is_complete":true,"_is_successful":true,"_report":{"http_status":200,"duration_ms":12,"result":1.10,"problem":"p","run":"9","started":["2"],"given_back":["3"]},"_next":{"within_ms":5,"bytes":6,"prefetch":true}}"#
        );
        request.next = request.next.map(|next| Next {
            prefetch: false,
            ..next
        });
        assert!(!request.json(RunId(id(9))).contains("prefetch"));
    }

    #[test]
    fn a_report_is_ordinary_only_if_each_part_of_it_is() {
        let ordinary = ReportRequest {
            call: CurrentJobId(id(1)),
            is_successful: true,
            report: Report {
                result: Raw::parse("1234"),
                ..Report::default()
            },
            started: Some(CurrentJobId(id(2))),
            given_back: None,
            next: Some(Next {
                within_ms: 5,
                bytes: 6,
                prefetch: true,
            }),
        };
        type Change = fn(&mut ReportRequest);
        #[rustfmt::skip] // one case per line
        let cases: [(&str, Change, bool); 8] = [
            ("the largest result", |_| {}, true),
            ("no result", |r| r.report.result = None, true),
            ("a larger result", |r| r.report.result = Raw::parse("12345"), false),
            ("a failure", |r| r.is_successful = false, false),
            ("no call has begun", |r| r.started = None, false),
            ("a call is given back", |r| r.given_back = Some(CurrentJobId(id(3))), false),
            ("none is to be held", |r| r.next.as_mut().unwrap().prefetch = false, false),
            ("the lane ends", |r| r.next = None, false),
        ];
        for (name, change, want) in cases {
            let mut request = ordinary.clone();
            change(&mut request);
            assert_eq!(request.is_ordinary(4), want, "{name}");
        }
    }

    #[test]
    fn reports_that_go_together_use_the_names_of_the_sql() {
        let requests = [1, 2].map(|n| ReportRequest {
            call: CurrentJobId(id(n)),
            is_successful: true,
            report: Report::default(),
            started: None,
            given_back: None,
            next: None,
        });
        let [first, second] = &requests;
        let run = RunId(id(9));
        let want = format!(
            r#"{{"_run":"9","_reports":[{},{}]}}"#,
            short(&first.json(run)),
            short(&second.json(run))
        );
        assert_eq!(short(&reports_json(run, &[first, second])), want);
    }
}
