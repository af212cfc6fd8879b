//! What a lane of the supaqueue function asks of the database, and what it is answered.

use serde_json::Value;

use crate::Db;

/// The id of a lane.
pub const LANE: &str = "11111111-1111-1111-1111-111111111111";
/// The id of another lane.
pub const OTHER_LANE: &str = "22222222-2222-2222-2222-222222222222";

/// Accepts a next job whatever its timeout.
pub const ANY: &str = "1000000";
/// Accepts no next job.
pub const NONE: &str = "null";

/// The id of the only current job, as an SQL literal.
pub async fn current_job(db: &Db) -> String {
    format!("'{}'", db.get("select id from supaqueue.current_job").await)
}

/// The SQL expression for the only current job of a queue.
#[must_use]
pub fn current_job_of(queue: &str) -> String {
    format!(
        "(select c.id from supaqueue.current_job c
          join supaqueue.queue q on q.id = c.queue where q.name = '{queue}')"
    )
}

/// The statement that acknowledges a current job, given as an SQL expression.
#[must_use]
pub fn acknowledge(current_job: &str, lane: &str) -> String {
    format!(r#"select public.end_current_job({current_job}, false, false, '{{"lane": "{lane}"}}')"#)
}

/// The statement that reports success of a current job, given as an SQL expression.
#[must_use]
pub fn succeed(current_job: &str, lane: &str, next_within_ms: &str) -> String {
    format!(
        r#"select public.end_current_job({current_job}, true, true,
             '{{"lane": "{lane}", "http_status": 200, "result": {{"ok": true}}}}', {next_within_ms})"#
    )
}

/// The statement that reports failure of a current job, given as an SQL expression.
#[must_use]
pub fn fail(current_job: &str, lane: &str, next_within_ms: &str) -> String {
    format!(
        r#"select public.end_current_job({current_job}, true, false,
             '{{"lane": "{lane}", "http_status": 500, "error": {{"message": "no"}}}}', {next_within_ms})"#
    )
}

/// The answer to an acknowledgement or a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// `started`, `settled` or `refused`.
    pub state: String,
    /// The call that follows.
    pub next: Option<Call>,
}

/// A call that a lane has been given.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The id of its current job.
    pub current_job: String,
    /// The id of its job.
    pub job: String,
    /// The name of its queue.
    pub queue: String,
}

impl Answer {
    /// Parses what `end_current_job` returned.
    #[must_use]
    pub fn parse(json: &str) -> Self {
        let value: Value =
            serde_json::from_str(json).unwrap_or_else(|_| panic!("{json:?} is not an answer"));
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
