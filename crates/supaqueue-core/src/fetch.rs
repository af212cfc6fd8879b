//! HTTP as `supaqueue-edge` carries it out: the request to send, and what came of it.

use core::fmt;
use std::sync::Arc;

/// A request to send: a POST that follows no redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Where to send it.
    pub url: String,
    /// Names in lower case, each once.
    pub headers: Vec<(String, String)>,
    /// Shared, because a payload may be megabytes long.
    pub body: Arc<str>,
    /// When to abort it, reading the response's body included, in milliseconds.
    pub within_ms: u64,
    /// How many bytes of the response's body to read.
    pub limit: usize,
}

impl Request {
    /// Adds a header, or replaces the one of that name.
    pub(crate) fn set(&mut self, name: &str, value: &dyn fmt::Display) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_string()));
    }
}

/// The parts of a response that anything here depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// `retry-after`
    pub retry_after: Option<String>,
    /// `supaqueue-retry`
    pub supaqueue_retry: Option<String>,
    /// `content-type`
    pub content_type: Option<String>,
    /// The body, up to the request's limit.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub body_end: BodyEnd,
}

/// How reading a body ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BodyEnd {
    /// At its end.
    #[default]
    Complete,
    /// At the limit: there is more.
    Truncated,
    /// When the request was aborted: at its timeout, or because its answer no longer matters.
    Aborted,
    /// With this error.
    Failed(String),
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request was aborted before one came: at its timeout, or because its answer no longer matters.
    Aborted,
    /// The runtime's description of a network error.
    Network(String),
    /// The runtime's own rate limit held the request back (`Deno.errors.RateLimitError`).
    RateLimited {
        /// When to try again, in milliseconds from now.
        retry_after_ms: u64,
    },
}
