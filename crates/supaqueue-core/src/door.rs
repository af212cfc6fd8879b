//! Whom the function lets in: the database with a dispatch, and anybody who asks whether it is well.
//!
//! What a stranger learns is the method, the size and the type that are asked
//! for; why a signature was not accepted is for the owner's log alone.

use crate::config::Settings;
use crate::protocol::{Dispatch, is_self_test, parse_dispatch};
use crate::signature::{CALL_ID_PREFIX, Refusal, SignedHeaders, verify};
use crate::text::one_line;
use crate::time::Timestamp;
use crate::writer::Object;

/// What a request says of itself before its body is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// `content-type`
    pub content_type: Option<&'a str>,
    /// `content-length`
    pub content_length: Option<&'a str>,
    /// `webhook-id`
    pub id: Option<&'a str>,
    /// `webhook-timestamp`
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`
    pub signature: Option<&'a str>,
}

impl Head<'_> {
    /// Whether this asks for the function's health, which needs no signature.
    pub fn asks_for_health(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }
}

/// Why a request is turned away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The HTTP status.
    pub status: u16,
    /// Which kind, in snake case.
    pub code: &'static str,
    /// For the one who asked.
    pub message: String,
    /// For the owner's log, where that says more.
    pub reason: Option<Refusal>,
}

impl Rejection {
    fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            reason: None,
        }
    }

    fn unsigned(reason: Refusal) -> Self {
        Self {
            reason: Some(reason),
            ..Self::new(
                401,
                "not_signed",
                "the request is not signed by this project's database",
            )
        }
    }

    /// The answer where the function lacks a setting.
    pub fn misconfigured(problem: &str) -> Self {
        Self::new(500, "misconfigured", problem)
    }

    /// The answer where the body is longer than the limit.
    pub fn too_large(limit: usize) -> Self {
        Self::new(
            413,
            "too_large",
            &format!("the body is larger than {limit} bytes"),
        )
    }

    /// The answer where the body could not be read to its end.
    pub fn unreadable() -> Self {
        Self::new(400, "not_understood", "the body ended early")
    }

    /// The answer's body.
    pub fn body(&self) -> String {
        Object::new()
            .text("code", Some(self.code))
            .text("message", Some(&self.message))
            .end()
    }
}

/// Turns away what needs no look at the body.
pub fn check_head<'a>(
    head: &Head<'a>,
    settings: &Settings,
) -> Result<SignedHeaders<'a>, Rejection> {
    if head.method != "POST" {
        return Err(Rejection::new(
            405,
            "method_not_allowed",
            "use POST, or GET for the function's health",
        ));
    }
    let length = head
        .content_length
        .and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > settings.request_limit as u64) {
        return Err(Rejection::too_large(settings.request_limit));
    }
    let media_type = head
        .content_type
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        return Err(Rejection::new(
            415,
            "unsupported_media_type",
            "content-type is not application/json",
        ));
    }
    let given =
        |value: Option<&'a str>, name| value.ok_or(Rejection::unsigned(Refusal::Missing(name)));
    Ok(SignedHeaders {
        id: given(head.id, "webhook-id")?,
        timestamp: given(head.timestamp, "webhook-timestamp")?,
        signature: given(head.signature, "webhook-signature")?,
    })
}

/// Who comes in with a signature.
#[derive(Debug)]
pub enum Admitted {
    /// The database, with jobs to do.
    Dispatch(Dispatch),
    /// A lane, with a job that is a self-test: the answer is that of health.
    SelfTest,
}

/// Turns away what the database did not sign, then reads the dispatch.
///
/// Calls of targets are signed by the same key, over a body that a user wrote. Their ids
/// tell them apart: of such calls only a self-test comes in.
pub fn check_body(
    headers: SignedHeaders<'_>,
    body: &[u8],
    settings: &Settings,
    now: Timestamp,
) -> Result<Admitted, Rejection> {
    if body.len() > settings.request_limit {
        return Err(Rejection::too_large(settings.request_limit));
    }
    verify(&settings.keys, headers, body, now).map_err(Rejection::unsigned)?;
    let not_understood =
        |message: String| Rejection::new(400, "not_understood", &one_line(&message));
    let text = core::str::from_utf8(body).map_err(|error| {
        not_understood(format!(
            "the body is not UTF-8 from byte {}",
            error.valid_up_to()
        ))
    })?;
    if headers.id.starts_with(CALL_ID_PREFIX) {
        let not_a_dispatch = Rejection::unsigned(Refusal::NotADispatch);
        return if is_self_test(text) {
            Ok(Admitted::SelfTest)
        } else {
            Err(not_a_dispatch)
        };
    }
    let dispatch = parse_dispatch(text);
    dispatch
        .map(Admitted::Dispatch)
        .map_err(|error| not_understood(format!("the body is not a dispatch: {error}")))
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
