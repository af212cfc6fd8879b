//! The screens: each is a function from a request to a page.

pub(crate) mod failures;
pub(crate) mod job;
pub(crate) mod jobs;
pub(crate) mod operations;
pub(crate) mod overview;
pub(crate) mod pipelines;
pub(crate) mod queue;
pub(crate) mod schedules;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stays as it is in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// A text as a part of a path.
fn part(text: &str) -> String {
    utf8_percent_encode(text, PART).to_string()
}
