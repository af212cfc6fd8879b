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

/// A text as a part of a path. Browsers take `.` and `..` for steps, however they are encoded, so these get a mark.
fn part(text: &str) -> String {
    let mark = match text {
        "." | ".." => "~",
        _ if text.starts_with('~') => "~",
        _ => "",
    };
    format!("{mark}{}", utf8_percent_encode(text, PART))
}

/// The text of a part of a path that [`part`] made, after percent-decoding.
pub(crate) fn text_of_part(part: &str) -> &str {
    part.strip_prefix('~').unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_stays_one() {
        for (text, want) in [
            ("send-email", "send-email"),
            ("a/b?c#d%", "a%2Fb%3Fc%23d%25"),
            ("..", "~%2E%2E"),
            ("...", "%2E%2E%2E"),
            ("~x", "~~x"),
        ] {
            assert_eq!(part(text), want);
            let decoded = percent_encoding::percent_decode_str(want).decode_utf8_lossy();
            assert_eq!(text_of_part(&decoded), text);
        }
    }
}
