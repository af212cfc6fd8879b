//! What a run of the supaqueue function asks of the database, and what it is answered.

use std::fmt::Display;

use serde_json::Value;

use crate::{Db, break_function};

/// The id of a run.
pub const RUN: &str = "11111111-1111-1111-1111-111111111111";
/// The id of another run.
pub const OTHER_RUN: &str = "22222222-2222-2222-2222-222222222222";

/// Accepts any next job.
pub const ANY: &str = "'{}'";
/// Accepts no next job.
pub const NONE: &str = "null";

/// The id of the only current job, as an SQL literal.
pub async fn current_job(db: &Db) -> String {
    format!("'{}'", db.get("select id from supaqueue.current_job").await)
}

/// Accepts a next job with at most this timeout.
#[must_use]
pub fn within(ms: u32) -> String {
    format!(r#"'{{"within_ms": {ms}}}'"#)
}

/// The SQL expression for the only current job of a queue.
#[must_use]
pub fn current_job_of(queue: &str) -> String {
    format!(
        "(select c.id from supaqueue.current_job c
          join supaqueue.queue q on q.id = c.queue where q.name = '{queue}')"
    )
}

/// The statement of a pulse. The request is an SQL expression.
#[must_use]
pub fn pulse(run: &str, number: impl Display, request: &str) -> String {
    format!("select public.supaqueue_pulse('{run}', {number}, {request})")
}

/// The statement of a run's next pulse. The request is an SQL expression.
#[must_use]
pub fn next_pulse(run: &str, request: &str) -> String {
    pulse(run, next_number(run), request)
}

/// The SQL expression for the number of a run's next pulse.
#[must_use]
pub fn next_number(run: &str) -> String {
    format!("(select coalesce(max(r.number), 0) + 1 from supaqueue.run r where r.id = '{run}')")
}

/// The request that acknowledges a current job, given as an SQL expression.
#[must_use]
pub fn acknowledging(current_job: &str) -> String {
    format!("jsonb_build_object('acknowledge', jsonb_build_array({current_job}))")
}

/// The request that gives back a current job, given as an SQL expression.
#[must_use]
pub fn giving_back(current_job: &str) -> String {
    format!("jsonb_build_object('give_back', jsonb_build_array({current_job}))")
}

/// The request that asks for calls of a queue.
#[must_use]
pub fn claiming(queue: &str) -> String {
    format!(
        "jsonb_build_object('queues', jsonb_build_array(jsonb_build_object(
           'id', supaqueue.queue_id('{queue}'), 'idle_ms', 0)))"
    )
}

/// The statement of a run's next pulse, which acknowledges a current job, given as an SQL expression.
#[must_use]
pub fn acknowledge(current_job: &str, run: &str) -> String {
    pulse(run, next_number(run), &acknowledging(current_job))
}

/// The statement of a run's next pulse, which acknowledges all calls that were sent.
#[must_use]
pub fn acknowledge_all(run: &str) -> String {
    let sent = "jsonb_build_object('acknowledge', (
        select jsonb_agg(c.id order by c.created_at, c.id) from supaqueue.current_job c where c.state = 'sent'))";
    next_pulse(run, sent)
}

/// The statement of a run's next pulse, which asks for calls of a queue.
#[must_use]
pub fn claim(queue: &str, run: &str) -> String {
    pulse(run, next_number(run), &claiming(queue))
}

/// The statement that reports a current job, given as an SQL expression, with these further details.
#[must_use]
pub fn report(
    current_job: &str,
    run: &str,
    is_successful: bool,
    details: &str,
    next: &str,
) -> String {
    format!(
        r#"select public.end_current_job({current_job}, true, {is_successful},
             '{{"run": "{run}"}}' || '{details}'::jsonb, {next})"#
    )
}

/// The statement that reports success of a current job, given as an SQL expression.
#[must_use]
pub fn succeed(current_job: &str, run: &str, next: &str) -> String {
    let details = r#"{"http_status": 200, "result": {"ok": true}}"#;
    report(current_job, run, true, details, next)
}

/// The statement that reports failure of a current job, given as an SQL expression.
#[must_use]
pub fn fail(current_job: &str, run: &str, next: &str) -> String {
    let details = r#"{"http_status": 500, "error": {"message": "no"}}"#;
    report(current_job, run, false, details, next)
}

/// The statement that ends the lease of a run, as if its pulses had stopped long ago.
#[must_use]
pub fn end_lease(run: &str) -> String {
    format!("update supaqueue.run set lease_until = '-infinity' where id = '{run}'")
}

/// The statement that ends all leases, as if nothing had come from the supaqueue function for long.
pub const END_LEASES: &str =
    "update supaqueue.current_job set lease_until = '-infinity' where state = 'sent';
     update supaqueue.run set lease_until = '-infinity'";

/// The statements after which all calls are lost, whatever the server's age: leases are over, and so are runs.
pub const LOSE_CALLS: &str =
    "update supaqueue.current_job set lease_until = '-infinity' where state = 'sent';
     update supaqueue.run set lease_until = '-infinity', is_over = true";

/// Lets the tick end runs although the test's server has just started.
pub async fn server_is_old(db: &Db) {
    break_function(
        db.client(),
        "end_runs",
        "pg_postmaster_start_time()",
        "'-infinity'",
    )
    .await;
}

/// A call that a run has been given.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The id of its current job.
    pub current_job: String,
    /// The id of its job.
    pub job: String,
    /// The name of its queue.
    pub queue: String,
}

impl Call {
    fn parse(record: &Value) -> Self {
        let text = |path: &str| {
            record
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("the record {record} has no {path}"))
                .to_owned()
        };
        Self {
            current_job: text("/current_job/id"),
            job: text("/job/id"),
            queue: text("/queue/name"),
        }
    }
}

/// The answer to a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// `settled` or `refused`.
    pub state: String,
    /// The call that follows.
    pub next: Option<Call>,
    /// A call to be held ready behind it, or behind the one that was begun.
    pub held: Option<Call>,
}

impl Answer {
    /// Parses what `end_current_job` returned.
    #[must_use]
    pub fn parse(json: &str) -> Self {
        let value = parse(json);
        let call = |name: &str| {
            value
                .get(name)
                .filter(|record| !record.is_null())
                .map(Call::parse)
        };
        Self {
            state: value["state"]
                .as_str()
                .expect("an answer has a state")
                .to_owned(),
            next: call("next"),
            held: call("held"),
        }
    }
}

/// The answer to a pulse.
#[derive(Debug, Clone, PartialEq)]
pub struct Pulse {
    /// False: the run is over.
    pub is_accepted: bool,
    /// Whether it renewed the lease.
    pub has_lease: bool,
    /// The calls to begin.
    pub started: Vec<Call>,
    /// The ids of the calls whose job was cancelled, deleted or settled by hand.
    pub cancelled: Vec<String>,
    /// The ids that are no calls of the run.
    pub gone: Vec<String>,
    /// The ids of held calls that are wanted back.
    pub unwanted: Vec<String>,
}

impl Pulse {
    /// Parses what `supaqueue_pulse` returned.
    #[must_use]
    pub fn parse(json: &str) -> Self {
        let value = parse(json);
        let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
        let ids = |name: &str| {
            list(name)
                .iter()
                .map(|id| id.as_str().expect("an id is text").to_owned())
                .collect()
        };
        Self {
            is_accepted: value["accepted"]
                .as_bool()
                .expect("an answer says whether the pulse was accepted"),
            has_lease: value["lease_ms"].is_number(),
            started: list("started").iter().map(Call::parse).collect(),
            cancelled: ids("cancelled"),
            gone: ids("gone"),
            unwanted: ids("unwanted"),
        }
    }

    /// Whether it got any calls.
    #[must_use]
    pub fn has_started(&self) -> bool {
        !self.started.is_empty()
    }
}

fn parse(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_else(|_| panic!("{json:?} is not an answer"))
}
