//! What a lane of the supaqueue function asks of the database.

use serde_json::Value;

/// Two lanes, where it does not matter which.
pub(crate) const LANE: &str = "11111111-1111-1111-1111-111111111111";
pub(crate) const OTHER_LANE: &str = "22222222-2222-2222-2222-222222222222";

/// Takes a job of any timeout.
pub(crate) const ANY: &str = "1000000";
/// Takes no next job.
pub(crate) const NONE: &str = "null";

/// A query for the one current job of a queue, to be used in another.
pub(crate) fn only_call(queue: &str) -> String {
    format!(
        "(select c.id from supaqueue.current_job c
          join supaqueue.queue q on q.id = c.queue where q.name = '{queue}')"
    )
}

/// The statement that acknowledges; `current_job` is an SQL expression.
pub(crate) fn acknowledge(current_job: &str, lane: &str) -> String {
    format!(r#"select public.end_current_job({current_job}, false, false, '{{"lane": "{lane}"}}')"#)
}

/// The statement that reports a success; `current_job` is an SQL expression.
pub(crate) fn succeed(current_job: &str, lane: &str, next: &str) -> String {
    format!(
        r#"select public.end_current_job({current_job}, true, true,
             '{{"lane": "{lane}", "http_status": 200, "result": {{"ok": true}}}}', {next})"#
    )
}

/// The statement that reports a failure; `current_job` is an SQL expression.
pub(crate) fn fail(current_job: &str, lane: &str, next: &str) -> String {
    format!(
        r#"select public.end_current_job({current_job}, true, false,
             '{{"lane": "{lane}", "http_status": 500, "error": {{"message": "no"}}}}', {next})"#
    )
}

/// What the database answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) state: String,
    pub(crate) next: Option<Call>,
}

/// A call that a lane has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) current_job: String,
    pub(crate) job: String,
    pub(crate) queue: String,
}

impl Answer {
    pub(crate) fn of(text: &str) -> Self {
        let value: Value =
            serde_json::from_str(text).unwrap_or_else(|_| panic!("{text:?} is no answer"));
        let text = |path: &str| {
            value
                .pointer(path)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Self {
            state: text("/state").expect("an answer has a state"),
            next: text("/next/current_job/id").map(|current_job| Call {
                current_job,
                job: text("/next/job/id").expect("a next call has a job"),
                queue: text("/next/queue/name").expect("a next call has a queue"),
            }),
        }
    }
}
