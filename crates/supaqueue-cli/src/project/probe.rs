//! Probes the supaqueue function from where it must be reachable: from the database, through pg_net.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::database::Database;
use crate::redact::redact;

/// How long to wait for pg_net, at most: a request's timeout, and that of the batch before it.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The outcome of a request of pg_net.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Response {
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) timed_out: Option<bool>,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// The supaqueue function's response to a health check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Health {
    pub(crate) version: String,
    /// The hash of the module's source.
    pub(crate) hash: String,
}

/// The responses to the probes; `None` if pg_net has not sent the request or has no response yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probes {
    pub(crate) health: Option<Response>,
    /// To a dispatch signed with the current secret.
    pub(crate) signed: Option<Response>,
    /// To a dispatch signed with the next secret, if there is one.
    pub(crate) signed_with_next: Option<Response>,
}

impl Response {
    /// Describes the response in a message.
    pub(crate) fn describe(&self) -> String {
        match (self.status, &self.error) {
            (Some(status), _) => {
                let content = self.content.as_deref().unwrap_or_default().trim();
                match content.is_empty() {
                    true => format!("it answered {status}"),
                    false => format!(
                        "it answered {status}: {}",
                        redact(&content.chars().take(200).collect::<String>())
                    ),
                }
            }
            _ if self.timed_out == Some(true) => "it did not answer within 10 s".into(),
            (None, Some(error)) => format!("it could not be reached: {}", redact(error)),
            (None, None) => "it could not be reached; pg_net gives no reason".into(),
        }
    }

    /// Whether the function accepted a dispatch.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status == Some(202)
    }

    /// The body of a health check.
    pub(crate) fn health(&self) -> Option<Health> {
        serde_json::from_str(self.content.as_deref()?)
            .ok()
            .filter(|_| self.status == Some(200))
    }

    /// The field `code` of an error body.
    pub(crate) fn code(&self) -> Option<String> {
        self.field("code")
    }

    /// Why the API refused the function's latest pulse.
    pub(crate) fn last_refusal(&self) -> Option<String> {
        self.field("last_refusal")
    }

    fn field(&self, name: &str) -> Option<String> {
        let body: Value = serde_json::from_str(self.content.as_deref()?).ok()?;
        body.get(name)?.as_str().map(str::to_owned)
    }
}

/// How long to wait for pg_net.
pub(crate) fn patience(database: &Database) -> Duration {
    database.limit().min(MAX_WAIT)
}

/// Sends the probes and waits for the responses.
pub(crate) async fn probe(database: &Database) -> Result<Probes> {
    let requests: BTreeMap<String, i64> = database.query(include_str!("probe.sql")).await?;
    let ids: Vec<String> = requests.values().map(i64::to_string).collect();
    let sql = format!(
        "{}\nselect pg_temp.supaqueue_answers(array[{}]::bigint[]) as result;",
        include_str!("responses.sql"),
        ids.join(", ")
    );
    let start = Instant::now();
    let responses = loop {
        let responses: BTreeMap<String, Response> = database.query(&sql).await?;
        if responses.len() == requests.len() || start.elapsed() > patience(database) {
            break responses;
        }
    };
    let response = |name: &str| responses.get(&requests.get(name)?.to_string()).cloned();
    // Each secret is probed three times; one rejection counts.
    let worst = |secret: &str| {
        let responses: Option<Vec<Response>> = (1..=3)
            .map(|number| response(&format!("{secret} {number}")))
            .collect();
        responses?.into_iter().min_by_key(Response::is_accepted)
    };
    Ok(Probes {
        health: response("health"),
        signed: worst("secret"),
        signed_with_next: worst("secret_next"),
    })
}

/// A job that goes all the way: dispatch through pg_net, acknowledgement, call of a function, report.
/// It has a queue of its own, so that several may run at once.
#[derive(Debug, Clone)]
pub(crate) struct SelfTest {
    pub(crate) queue: String,
}

/// How it ended.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Outcome {
    status: String,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    dispatch: Option<String>,
    #[serde(default)]
    problem: Option<String>,
}

impl Outcome {
    /// Whether the job completed its round trip.
    pub(crate) fn is_successful(&self) -> bool {
        self.status == "successful"
    }

    /// The function that responded.
    pub(crate) fn health(&self) -> Option<Health> {
        serde_json::from_value(self.result.clone()?).ok()
    }

    /// Why it did not.
    pub(crate) fn reason(&self) -> String {
        let message = self
            .error
            .as_ref()
            .and_then(|error| error.get("message"))
            .and_then(Value::as_str);
        let reason = self
            .problem
            .as_deref()
            .or(message)
            .or(self.dispatch.as_deref())
            .unwrap_or("it was not dispatched");
        format!("the job is {}: {}", self.status, redact(reason))
    }
}

impl SelfTest {
    pub(crate) fn new() -> Self {
        let now = jiff::Timestamp::now().as_microsecond();
        let id = std::process::id();
        Self {
            queue: format!("supaqueue_self_test_{now}_{id}"),
        }
    }

    /// Runs the job and leaves nothing behind.
    pub(crate) async fn run(&self, database: &Database) -> Result<Outcome> {
        let outcome = self.round_trip(database).await;
        // Even if the start failed, as only its response may have been lost.
        let cleaned = self.clean_up(database).await;
        let outcome = outcome?;
        cleaned.map(|()| outcome)
    }

    /// Deletes the queue, with the job.
    pub(crate) async fn clean_up(&self, database: &Database) -> Result<()> {
        let sql = "delete from supaqueue.queue where name = 'NAME'";
        database.run(&self.named(sql)).await
    }

    async fn round_trip(&self, database: &Database) -> Result<Outcome> {
        let start = self.named(include_str!("self_test.sql"));
        database.run(&start).await?;
        let outcome = self.named(include_str!("self_test_outcome.sql"));
        let start = Instant::now();
        loop {
            let outcome: Outcome = database.query(&outcome).await?;
            let is_running = matches!(outcome.status.as_str(), "pending" | "in_progress");
            if !is_running || start.elapsed() > patience(database) {
                return Ok(outcome);
            }
        }
    }

    fn named(&self, sql: &str) -> String {
        sql.replace("NAME", &self.queue)
    }
}
