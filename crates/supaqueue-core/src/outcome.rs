//! What the end of a target's call means for the job.

use crate::excerpt::{excerpt, one_line};
use crate::fetch::{BodyEnd, Failure, Response};
use crate::json::{Object, Raw, string};
use crate::protocol::{Report, ReportedError};
use crate::retry_after::retry_after_ms;
use crate::target::CannotCall;
use crate::time::{Timestamp, saturate_to_integer};

/// How much of a failed call's response is kept, in bytes.
const ERROR_BODY_BYTES: usize = 2048;

/// What the end of a call means.
#[derive(Debug)]
pub enum Outcome {
    /// The attempt is over, to be reported like this.
    Settled {
        /// Whether the target responded with a 2xx status.
        is_successful: bool,
        /// Complete but for lane and duration.
        report: Report,
    },
    /// No call was made, which costs no attempt.
    NotMade {
        /// When to try again, in milliseconds from now.
        retry_after_ms: u32,
    },
}

/// What the end of a call means, in a queue with these `final_statuses`, after it had
/// `timeout_ms`. `now` resolves a `retry-after` that is a date.
pub(crate) fn outcome(
    end: Result<Response, Failure>,
    final_statuses: &[u16],
    timeout_ms: u64,
    now: Timestamp,
) -> Outcome {
    match end {
        Ok(response) if (200..300).contains(&response.status) => success(&response, timeout_ms),
        Ok(response) => refused(&response, final_statuses, now),
        Err(Failure::Aborted) => failed(format!("no answer within {timeout_ms} ms"), false),
        Err(Failure::Network(message)) => {
            failed(format!("network error: {}", one_line(&message)), false)
        }
        Err(Failure::RateLimited { retry_after_ms }) => Outcome::NotMade {
            retry_after_ms: saturate_to_integer(retry_after_ms),
        },
    }
}

/// The outcome of a call that cannot be made.
pub(crate) fn impossible(reason: &CannotCall) -> Outcome {
    let (CannotCall::Ever(message) | CannotCall::Yet(message)) = reason;
    let mut outcome = failed(one_line(message), matches!(reason, CannotCall::Ever(_)));
    if let (Outcome::Settled { report, .. }, CannotCall::Yet(_)) = (&mut outcome, reason) {
        report.is_attempt = Some(false);
        report.problem = report.error.as_ref().map(|error| error.message.clone());
    }
    outcome
}

fn success(response: &Response, timeout_ms: u64) -> Outcome {
    let report = Report {
        http_status: Some(response.status),
        result: result(response, timeout_ms),
        ..Report::default()
    };
    Outcome::Settled {
        is_successful: true,
        report,
    }
}

/// JSON that Postgres stores as it is, other text as a JSON string, and no result for an empty body.
///
/// An object or an array counts as JSON regardless of its content type:
/// `new Response(JSON.stringify(value))` sets `text/plain`.
fn result(response: &Response, timeout_ms: u64) -> Option<Raw> {
    let body = excerpt(&response.body, response.body.len());
    match &response.body_end {
        BodyEnd::Failed(reason) => return Some(incomplete(reason, Some(&body))),
        BodyEnd::Aborted => {
            let reason = format!("cut off after {timeout_ms} ms");
            return Some(incomplete(&reason, Some(&body)));
        }
        // Half of 1234 is JSON too, but not what the target sent.
        BodyEnd::Truncated => {}
        BodyEnd::Complete => {
            let is_json = response.content_type.as_deref().is_some_and(is_json_type)
                || body.trim_start().starts_with(['{', '[']);
            if is_json && let Some(json) = Raw::parse_storable(&body) {
                return Some(json);
            }
        }
    }
    (!body.is_empty()).then(|| string(&body))
}

/// A result that says why the target's response is incomplete.
pub(crate) fn incomplete(reason: &str, body: Option<&str>) -> Raw {
    Object::default()
        .text("incomplete", Some(&one_line(reason)))
        .text("body", body)
        .into()
}

/// `application/json`, `application/problem+json` and so on.
fn is_json_type(content_type: &str) -> bool {
    content_type
        .as_bytes()
        .windows(4)
        .any(|four| four.eq_ignore_ascii_case(b"json"))
}

fn refused(response: &Response, final_statuses: &[u16], now: Timestamp) -> Outcome {
    let status = response.status;
    let is_declined = response
        .supaqueue_retry
        .as_deref()
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("no"));
    let message = match status {
        300..400 => format!("status {status}: redirects are not followed"),
        // Usually the platform's, but a target can send 503 and 504 too, so the wording is vague.
        503 => "status 503: the target or the platform is unavailable".into(),
        504 => "status 504: the platform had no answer from the target in time".into(),
        546 => "status 546: the platform stopped the target at a resource limit".into(),
        _ => format!("status {status}"),
    };
    let body = excerpt(&response.body, ERROR_BODY_BYTES);
    let retry_after = match status {
        429 | 503 => response
            .retry_after
            .as_deref()
            .and_then(|value| retry_after_ms(value, now)),
        _ => None,
    };
    let report = Report {
        http_status: Some(status),
        error: Some(ReportedError {
            message,
            body: (!body.is_empty()).then_some(body),
        }),
        retry_after_ms: retry_after,
        is_final: (is_declined || final_statuses.contains(&status)).then_some(true),
        ..Report::default()
    };
    Outcome::Settled {
        is_successful: false,
        report,
    }
}

fn failed(message: String, is_final: bool) -> Outcome {
    let report = Report {
        error: Some(ReportedError {
            message,
            body: None,
        }),
        is_final: is_final.then_some(true),
        ..Report::default()
    };
    Outcome::Settled {
        is_successful: false,
        report,
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
