//! Whether what was installed works, asked from where it has to work: by the database, through pg_net.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::database::Database;
use crate::problem::redact;

/// The longest that pg_net may take: its own timeout, and the batch before it.
const PATIENCE: Duration = Duration::from_secs(30);

/// What pg_net got for a request.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Answer {
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) timed_out: Option<bool>,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// The health answer of the supaqueue function.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Health {
    pub(crate) version: String,
    /// The hash of the module's sources.
    pub(crate) hash: String,
}

/// The answers to the probes; `None` where pg_net did not send the request, or has no answer yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct Probes {
    pub(crate) health: Option<Answer>,
    /// Signed with the secret that is in force.
    pub(crate) signed: Option<Answer>,
    /// Signed with the next secret, where there is one.
    pub(crate) signed_with_next: Option<Answer>,
}

impl Answer {
    /// What there is to say of it.
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

    /// Whether a dispatch was accepted.
    pub(crate) fn is_accepted(&self) -> bool {
        self.status == Some(202)
    }

    /// The health that it tells of, if it does.
    pub(crate) fn health(&self) -> Option<Health> {
        serde_json::from_str(self.content.as_deref()?)
            .ok()
            .filter(|_| self.status == Some(200))
    }

    /// The field `code` of an error's body.
    pub(crate) fn code(&self) -> Option<String> {
        let body: Value = serde_json::from_str(self.content.as_deref()?).ok()?;
        body.get("code")?.as_str().map(str::to_owned)
    }
}

/// Sends the probes and waits for their answers.
pub(crate) async fn probe(database: &Database) -> Result<Probes> {
    let requests: BTreeMap<String, i64> = database.query(include_str!("probe.sql")).await?;
    let ids: Vec<String> = requests.values().map(i64::to_string).collect();
    let sql = format!(
        "{}\nselect pg_temp.supaqueue_answers(array[{}]::bigint[]) as result;",
        include_str!("answers.sql"),
        ids.join(", ")
    );
    let begin = Instant::now();
    let answers = loop {
        let answers: BTreeMap<String, Answer> = database.query(&sql).await?;
        if answers.len() == requests.len() || begin.elapsed() > PATIENCE {
            break answers;
        }
    };
    let answer = |name: &str| answers.get(&requests.get(name)?.to_string()).cloned();
    // Of three that were signed with a secret the worst counts.
    let worst = |secret: &str| {
        let three: Option<Vec<Answer>> = (1..=3)
            .map(|number| answer(&format!("{secret} {number}")))
            .collect();
        three?.into_iter().min_by_key(Answer::is_accepted)
    };
    Ok(Probes {
        health: answer("health"),
        signed: worst("secret"),
        signed_with_next: worst("secret_next"),
    })
}

/// How the self-test ended.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SelfTest {
    pub(crate) status: String,
    #[serde(default)]
    result: Option<Value>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default)]
    dispatch: Option<String>,
    #[serde(default)]
    problem: Option<String>,
}

impl SelfTest {
    /// Whether the round trip was made.
    pub(crate) fn is_successful(&self) -> bool {
        self.status == "successful"
    }

    /// The function that answered.
    pub(crate) fn health(&self) -> Option<Health> {
        serde_json::from_value(self.result.clone()?).ok()
    }

    /// Why it was not.
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
            .unwrap_or("nobody took it");
        format!("the job is {}: {}", self.status, redact(reason))
    }
}

/// Makes one signed round trip: a job, its dispatch through pg_net, the acknowledgement, the call
/// of a function, the report. Leaves nothing behind.
pub(crate) async fn self_test(database: &Database) -> Result<SelfTest> {
    let outcome = round_trip(database).await;
    // Also where the start failed: its answer alone may have been lost.
    let cleaned = database
        .run("delete from supaqueue.queue where name = 'supaqueue_self_test'")
        .await;
    let outcome = outcome?;
    cleaned.map(|()| outcome)
}

async fn round_trip(database: &Database) -> Result<SelfTest> {
    database.run(include_str!("self_test.sql")).await?;
    let begin = Instant::now();
    loop {
        let outcome: SelfTest = database
            .query(include_str!("self_test_outcome.sql"))
            .await?;
        let is_under_way = matches!(outcome.status.as_str(), "pending" | "in_progress");
        if !is_under_way || begin.elapsed() > PATIENCE {
            return Ok(outcome);
        }
    }
}
