//! What the end of a call means for the job.

use crate::json::Raw;
use crate::protocol::{Report, ReportedError};
use crate::text::{excerpt, one_line};
use crate::time::Timestamp;
use crate::writer::{Object, string};

/// How much of a failed call's answer is kept, in bytes.
pub const ERROR_BODY_BYTES: usize = 2048;

/// How a call ended, seen from the one who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// The target, or the platform in its place, answered.
    Answered(TargetAnswer),
    /// No answer within the timeout.
    TimedOut,
    /// No answer at all: what the runtime says of it.
    Network(String),
    /// The runtime let no call through (`Deno.errors.RateLimitError`).
    RateLimited {
        /// When it would, in milliseconds from now.
        retry_after_ms: u64,
    },
    /// The job or its queue asks for a call that cannot be made.
    Impossible(String),
}

/// The answer of a target, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetAnswer {
    /// Its HTTP status.
    pub status: u16,
    /// `retry-after`
    pub retry_after: Option<String>,
    /// `supaqueue-retry`
    pub supaqueue_retry: Option<String>,
    /// `content-type`
    pub content_type: Option<String>,
    /// What was read of the body, at most the limit.
    pub body: Vec<u8>,
    /// How reading the body ended.
    pub body_end: BodyEnd,
}

/// How reading a body ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BodyEnd {
    /// It was read to its end.
    #[default]
    Whole,
    /// It is longer than the limit.
    Cut,
    /// It broke off; why.
    Broken(String),
}

/// What a call's end means.
#[derive(Debug)]
pub enum Outcome {
    /// The attempt is over, in success or failure: this is to be reported.
    Settled {
        /// A 2xx.
        is_successful: bool,
        /// Everything but lane and duration.
        report: Report,
    },
    /// The call was not made, and costs no attempt.
    NotMade {
        /// When it may be, in milliseconds from now.
        retry_after_ms: u32,
    },
}

/// What the end of a call means. `final_statuses` are the queue's, `timeout_ms`
/// is the one that the call had, `now` is for a `retry-after` that is a date.
pub fn outcome(end: CallEnd, final_statuses: &[u16], timeout_ms: u64, now: Timestamp) -> Outcome {
    match end {
        CallEnd::Answered(answer) if (200..300).contains(&answer.status) => success(answer),
        CallEnd::Answered(answer) => refusal(answer, final_statuses, now),
        CallEnd::TimedOut => failure(format!("no answer within {timeout_ms} ms"), false),
        CallEnd::Network(message) => {
            failure(format!("network error: {}", one_line(&message)), false)
        }
        CallEnd::Impossible(message) => failure(one_line(&message), true),
        CallEnd::RateLimited { retry_after_ms } => Outcome::NotMade {
            retry_after_ms: clamp(retry_after_ms),
        },
    }
}

fn success(answer: TargetAnswer) -> Outcome {
    let report = Report {
        http_status: Some(answer.status),
        result: result(&answer),
        ..Report::default()
    };
    Outcome::Settled {
        is_successful: true,
        report,
    }
}

/// JSON as JSON, anything else as a JSON string, nothing as nothing.
///
/// An object or an array counts as JSON whatever its content type says:
/// `new Response(JSON.stringify(value))` says `text/plain`.
fn result(answer: &TargetAnswer) -> Option<Raw> {
    let body = excerpt(&answer.body, answer.body.len());
    if let BodyEnd::Broken(reason) = &answer.body_end {
        return Some(incomplete(reason, Some(&body)));
    }
    // Half of 1234 is JSON too, but not what the target said.
    let is_whole = answer.body_end == BodyEnd::Whole;
    let is_json = answer.content_type.as_deref().is_some_and(says_json)
        || body.trim_start().starts_with(['{', '[']);
    if is_whole
        && is_json
        && let Some(json) = storable_json(&body)
    {
        return Some(json);
    }
    (!body.is_empty()).then(|| string(&body))
}

/// A result that says why the target's answer is not all there.
pub(crate) fn incomplete(reason: &str, body: Option<&str>) -> Raw {
    let fact = Object::new()
        .text("incomplete", Some(&one_line(reason)))
        .text("body", body);
    Raw::trusted(fact.end())
}

/// `application/json`, or `application/problem+json`, or …
fn says_json(content_type: &str) -> bool {
    content_type
        .as_bytes()
        .windows(4)
        .any(|four| four.eq_ignore_ascii_case(b"json"))
}

/// JSON that Postgres takes: `jsonb` has no NUL, which JSON writes as an escape.
/// (A backslash that is itself escaped before `u0000` makes this too careful, which only means text.)
fn storable_json(body: &str) -> Option<Raw> {
    if body.as_bytes().windows(6).any(|six| six == b"\\u0000") {
        return None;
    }
    Raw::parse(body.trim())
}

fn refusal(answer: TargetAnswer, final_statuses: &[u16], now: Timestamp) -> Outcome {
    let status = answer.status;
    let says_no = answer
        .supaqueue_retry
        .as_deref()
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("no"));
    let message = match status {
        300..400 => format!("status {status}: redirects are not followed"),
        // The platform's own, as a rule; a target can send 503 and 504 too, so the words leave room.
        503 => "status 503: the target or the platform is unavailable".into(),
        504 => "status 504: the platform had no answer from the target in time".into(),
        546 => "status 546: the platform stopped the target at a resource limit".into(),
        _ => format!("status {status}"),
    };
    let body = excerpt(&answer.body, ERROR_BODY_BYTES);
    let retry_after = match status {
        429 | 503 => answer
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
        is_final: (says_no || final_statuses.contains(&status)).then_some(true),
        ..Report::default()
    };
    Outcome::Settled {
        is_successful: false,
        report,
    }
}

fn failure(message: String, is_final: bool) -> Outcome {
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

/// `retry-after` in milliseconds from now: seconds or an HTTP date (RFC 9110, section 10.2.3).
pub fn retry_after_ms(value: &str, now: Timestamp) -> Option<u32> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than a number holds are a long wait all the same.
        return Some(clamp(
            value
                .parse::<u64>()
                .unwrap_or(u64::MAX)
                .saturating_mul(1000),
        ));
    }
    Timestamp::from_http_date(value).map(|date| clamp(date.since(now)))
}

/// Into what an `integer` of Postgres holds, 24 days.
pub(crate) fn clamp(ms: u64) -> u32 {
    ms.min(i32::MAX as u64) as u32
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
