//! Bytes from elsewhere as text that Postgres and a log line can hold.

/// At most `limit` bytes as text, cut between characters. Invalid UTF-8 becomes
/// U+FFFD, and so does NUL, which Postgres' `text` and `jsonb` reject.
pub(crate) fn excerpt(bytes: &[u8], limit: usize) -> String {
    let cut = match bytes.get(..limit) {
        // A character that the cut split would become U+FFFD.
        Some(head) => head.get(..char_boundary(head)).unwrap_or(head),
        None => bytes,
    };
    String::from_utf8_lossy(cut).replace('\0', "\u{FFFD}")
}

/// Where the last whole character of `head` ends, if `head` is the beginning of UTF-8 text.
fn char_boundary(head: &[u8]) -> usize {
    match core::str::from_utf8(head) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => head.len(),
    }
}

/// At most 500 bytes of the message, with spaces for control characters.
pub(crate) fn one_line(message: &str) -> String {
    let line = excerpt(message.as_bytes(), 500);
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_cut_between_characters() {
        let cases: [(&[u8], usize, &str); 7] = [
            (b"abc", 5, "abc"),
            (b"abc", 3, "abc"),
            (b"abcd", 3, "abc"),
            ("a€b".as_bytes(), 2, "a"),
            ("a€b".as_bytes(), 4, "a€"),
            (b"a\xFFb", 9, "a\u{FFFD}b"),
            (b"a\0b", 9, "a\u{FFFD}b"),
        ];
        for (bytes, limit, want) in cases {
            assert_eq!(excerpt(bytes, limit), want, "{bytes:?} at {limit}");
        }
    }

    #[test]
    fn a_message_becomes_one_line() {
        assert_eq!(one_line("a\nb\tc"), "a b c");
        assert_eq!(one_line(&"x".repeat(900)).len(), 500);
    }
}
