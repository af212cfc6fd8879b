//! Requests to the function: authenticates them, and words the replies.
//!
//! Anyone may ask for the function's health. Everything else is signed: a dispatch
//! by the database, a self-test by ourselves. A stranger learns which method, size
//! and type are expected; why a signature was rejected is only logged.

use crate::config::{ConfigError, Settings};
use crate::excerpt::one_line;
use crate::fetch::BodyEnd;
use crate::isolate::Isolate;
use crate::json::Object;
use crate::log::{Entry, Level};
use crate::protocol::{Dispatch, is_self_test, parse_dispatch};
use crate::signature::{CALL_ID_PREFIX, SignatureError, SignedHeaders, verify};
use crate::time::Timestamp;

/// A request without its body.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head<'a> {
    /// The method, in upper case.
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

/// What an accepted request asks for.
#[derive(Debug)]
pub enum Accepted {
    /// The version and source hash of the function.
    Health,
    /// To run these jobs.
    Dispatch(Dispatch),
}

/// The reply to a request. Its body is JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// The HTTP status.
    pub status: u16,
    code: &'static str,
    message: String,
    /// What the log says instead of the message.
    reason: Option<SignatureError>,
}

/// Checks what can be checked without the body; None for a request that needs none,
/// since it asks for the function's health.
///
/// # Errors
/// Why the request is rejected.
pub fn check_head<'a>(
    head: &Head<'a>,
    settings: &Settings,
) -> Result<Option<SignedHeaders<'a>>, Rejection> {
    match head.method {
        "GET" | "HEAD" => return Ok(None),
        "POST" => {}
        _ => {
            return Err(Rejection::new(
                405,
                "method_not_allowed",
                "use POST, or GET for the function's health",
            ));
        }
    }
    let length = head
        .content_length
        .and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > settings.request_limit as u64) {
        return Err(Rejection::too_large(settings.request_limit));
    }
    let media_type = head.content_type.unwrap_or_default().split(';').next();
    if !media_type.is_some_and(|name| name.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Rejection::new(
            415,
            "unsupported_media_type",
            "content-type is not application/json",
        ));
    }
    let required = |value: Option<&'a str>, name| {
        value.ok_or_else(|| Rejection::unsigned(SignatureError::Missing(name)))
    };
    Ok(Some(SignedHeaders {
        id: required(head.id, "webhook-id")?,
        timestamp: required(head.timestamp, "webhook-timestamp")?,
        signature: required(head.signature, "webhook-signature")?,
    }))
}

/// Checks the signature, then reads the body.
///
/// Calls of targets are signed with the same key, over a body that a user wrote, but
/// their ids differ. The only such call that is accepted is a self-test.
///
/// # Errors
/// Why the request is rejected.
pub fn check_body(
    headers: SignedHeaders<'_>,
    body: &[u8],
    end: &BodyEnd,
    settings: &Settings,
    now: Timestamp,
) -> Result<Accepted, Rejection> {
    match end {
        BodyEnd::Complete if body.len() <= settings.request_limit => {}
        BodyEnd::Complete | BodyEnd::Truncated => {
            return Err(Rejection::too_large(settings.request_limit));
        }
        BodyEnd::Aborted | BodyEnd::Failed(_) => {
            return Err(Rejection::not_understood("the body ended early"));
        }
    }
    verify(&settings.keys, headers, body, now).map_err(Rejection::unsigned)?;
    let text = core::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Rejection::not_understood(&format!("the body is not UTF-8 from byte {at}"))
    })?;
    if headers.id.starts_with(CALL_ID_PREFIX) {
        return if is_self_test(text) {
            Ok(Accepted::Health)
        } else {
            Err(Rejection::unsigned(SignatureError::NotADispatch))
        };
    }
    let dispatch =
        parse_dispatch(text).map_err(|error| Rejection::not_understood(&error.to_string()))?;
    Ok(Accepted::Dispatch(dispatch))
}

impl Reply {
    /// Sent before any of the jobs is done: the database's other requests wait for it. The database shows the reply to its
    /// user if a job is not acknowledged, so it says what it can about that.
    #[must_use]
    pub fn accepted(dispatch: &Dispatch, isolate: &Isolate) -> Self {
        let malformed = dispatch.malformed.first();
        let body = Object::default()
            .plain("accepted", Some(dispatch.current_jobs.len()))
            .text(
                "malformed",
                malformed.and_then(|entry| entry.message.as_deref()),
            )
            .text("last_refusal", isolate.last_refusal())
            .end();
        Self { status: 202, body }
    }

    /// Says which build of the function this is.
    #[must_use]
    pub fn health(source_hash: &str) -> Self {
        let body = Object::default()
            .text("name", Some("supaqueue"))
            .text("version", Some(env!("CARGO_PKG_VERSION")))
            .text("hash", Some(source_hash));
        Self {
            status: 200,
            body: body.end(),
        }
    }

    /// The headers to send.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
        ];
        if self.status == 405 {
            headers.push(("allow", "POST, GET, HEAD"));
        }
        headers
    }
}

impl Rejection {
    fn new(status: u16, code: &'static str, message: &str) -> Self {
        Self {
            status,
            code,
            message: one_line(message),
            reason: None,
        }
    }

    pub(crate) fn unsigned(reason: SignatureError) -> Self {
        let message = "the request is not signed by this project's database";
        Self {
            reason: Some(reason),
            ..Self::new(401, "not_signed", message)
        }
    }

    fn too_large(limit: usize) -> Self {
        let message = format!("the body is larger than {limit} bytes");
        Self::new(413, "too_large", &message)
    }

    fn not_understood(message: &str) -> Self {
        Self::new(400, "not_understood", message)
    }

    /// Rejects every request while a setting is missing or malformed.
    #[must_use]
    pub fn misconfigured(error: &ConfigError) -> Self {
        Self::new(500, "misconfigured", &format!("Cannot start: {error}"))
    }

    /// The reply to a request that is rejected.
    #[must_use]
    pub fn reply(&self) -> Reply {
        let body = Object::default()
            .text("code", Some(self.code))
            .text("message", Some(&self.message));
        Reply {
            status: self.status,
            body: body.end(),
        }
    }

    /// The line to log.
    #[must_use]
    pub fn entry(&self) -> Entry {
        if self.status == 500 {
            return Entry::new(Level::Error, "misconfigured").because(&self.message);
        }
        let reason = match self.reason {
            Some(reason) => &reason.to_string(),
            None => &self.message,
        };
        let mut entry = Entry::new(Level::Warn, "dispatch_rejected").because(reason);
        entry.status = Some(self.status);
        entry
    }
}

#[cfg(test)]
#[path = "inbound_tests.rs"]
mod tests;
