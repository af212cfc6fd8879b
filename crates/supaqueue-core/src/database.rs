//! The call of `end_current_job` through the Data API (PostgREST), and what its end means.

use serde::Deserialize;

use crate::config::Settings;
use crate::fetch::{BodyEnd, Failure, Request, Response};
use crate::json;
use crate::protocol::{EndCurrentJob, EndCurrentJobResult};
use crate::retry_after::retry_after_ms;
use crate::time::{Timestamp, saturate_to_integer};

/// Longer than the API's statement timeout of 8 s, in milliseconds.
const TIMEOUT_MS: u64 = 12_000;
/// More than the largest next job.
const RESULT_LIMIT: usize = 16_000_000;
/// PostgREST's code for a function that its schema cache does not contain.
const NO_SUCH_FUNCTION: &str = "PGRST202";

/// What the end of a call means.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The function returned this.
    Returned(EndCurrentJobResult),
    /// The same call may succeed later.
    Retry {
        /// What went wrong.
        reason: String,
        /// When to retry at the earliest, in milliseconds from now.
        after_ms: Option<u32>,
    },
    /// `end_current_job` does not exist: the schema was removed, or never installed.
    Missing,
    /// The same call would be rejected again, for this reason.
    Rejected(String),
}

impl Verdict {
    /// Why the database did not answer, as far as is known.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Returned(_) => None,
            Self::Retry { reason, .. } | Self::Rejected(reason) => Some(reason),
            Self::Missing => {
                Some("public.end_current_job does not exist, or the API's schema cache is outdated")
            }
        }
    }
}

/// The parts of a PostgREST error that are used. `details` and `hint` may quote what was sent.
#[derive(Deserialize, Default)]
struct ApiError {
    code: Option<String>,
    message: Option<String>,
}

/// The call with these arguments.
pub(crate) fn request(settings: &Settings, arguments: &EndCurrentJob) -> Request {
    let mut request = Request {
        url: format!("{}/rest/v1/rpc/end_current_job", settings.url),
        headers: Vec::new(),
        body: arguments.json().into(),
        timeout_ms: TIMEOUT_MS,
        body_limit: RESULT_LIMIT,
    };
    request.set("content-type", "application/json");
    let key = &settings.service_role;
    // The API's gateway wants either form in `apikey`; a legacy key is also the bearer token.
    match (&key.sb, &key.jwt) {
        (None, Some(jwt)) => {
            request.set("apikey", jwt);
            request.set("authorization", format_args!("Bearer {jwt}"));
        }
        (sb, _) => request.set("apikey", sb.as_deref().unwrap_or_default()),
    }
    request
}

/// What the end of a call means.
pub(crate) fn verdict(end: Result<Response, Failure>, now: Timestamp) -> Verdict {
    let response = match end {
        Ok(response) => response,
        Err(Failure::TimedOut) => return retry(format!("no answer within {TIMEOUT_MS} ms")),
        Err(Failure::Network(reason)) => return retry(reason),
        Err(Failure::RateLimited { retry_after_ms }) => {
            return Verdict::Retry {
                reason: "rate limit of the runtime".into(),
                after_ms: Some(saturate_to_integer(retry_after_ms)),
            };
        }
    };
    match response.body_end {
        BodyEnd::Complete => {
            let text = String::from_utf8_lossy(&response.body);
            let retry_after = response.retry_after.as_deref();
            answered(response.status, retry_after, &text, now)
        }
        BodyEnd::Truncated => retry("the answer is too long".into()),
        BodyEnd::TimedOut => retry(format!("cut off after {TIMEOUT_MS} ms")),
        BodyEnd::Failed(reason) => retry(reason),
    }
}

fn answered(status: u16, retry_after: Option<&str>, body: &str, now: Timestamp) -> Verdict {
    if (200..300).contains(&status) {
        return match json::from_str(body) {
            Ok(result) => Verdict::Returned(result),
            Err(error) => retry(format!("the answer was not understood: {error}")),
        };
    }
    let error: ApiError = json::from_str(body).unwrap_or_default();
    let code = error.code.unwrap_or_default();
    if code == NO_SUCH_FUNCTION {
        return Verdict::Missing;
    }
    let message = error.message.unwrap_or_default();
    let reason = format!("status {status} {code} {message}");
    let reason = reason.trim_end().to_owned();
    match status {
        // 409: two transactions conflicted, which will not happen twice.
        408 | 409 | 425 | 429 | 500.. => Verdict::Retry {
            reason,
            after_ms: retry_after.and_then(|value| retry_after_ms(value, now)),
        },
        _ => Verdict::Rejected(reason),
    }
}

fn retry(reason: String) -> Verdict {
    Verdict::Retry {
        reason,
        after_ms: None,
    }
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
