//! Laying out JSON without reading it: the page shows payloads as the database has them, every digit, and also those that
//! were cut somewhere.

use std::fmt::Write;

/// Deeper levels are indented no further: half a million brackets would become gigabytes of spaces.
const MAX_LEVEL: usize = 12;

/// The text with a line per member, as `jsonb_pretty` would write it. Empty arrays and objects stay on their line.
pub(crate) fn pretty(text: &str) -> String {
    let mut pretty = String::with_capacity(text.len() * 2);
    let mut level = 0_usize;
    let mut characters = text.chars().peekable();
    let line = |pretty: &mut String, level: usize| {
        let _ = write!(pretty, "\n{:1$}", "", 2 * level.min(MAX_LEVEL));
    };
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                pretty.push(c);
                while let Some(c) = characters.next() {
                    pretty.push(c);
                    match c {
                        '"' => break,
                        '\\' => pretty.extend(characters.next()),
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                pretty.push(c);
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    pretty.push(end);
                } else {
                    level += 1;
                    line(&mut pretty, level);
                }
            }
            '}' | ']' => {
                level = level.saturating_sub(1);
                line(&mut pretty, level);
                pretty.push(c);
            }
            ',' => {
                pretty.push(c);
                line(&mut pretty, level);
            }
            ':' => pretty.push_str(": "),
            ' ' => {}
            c => pretty.push(c),
        }
    }
    pretty
}

#[cfg(test)]
mod tests {
    use super::pretty;

    #[test]
    fn each_member_gets_a_line() {
        for (text, want) in [
            ("", ""),
            ("1.00", "1.00"),
            ("{}", "{}"),
            (r#""a: {b, \"c\" [""#, r#""a: {b, \"c\" [""#),
            (
                r#"{"a": 1, "b": [1, {}, []]}"#,
                "{\n  \"a\": 1,\n  \"b\": [\n    1,\n    {},\n    []\n  ]\n}",
            ),
            (r#"{"a": [1, "cut"#, "{\n  \"a\": [\n    1,\n    \"cut"),
            (r#"["a\"#, "[\n  \"a\\"),
            ("]]", "\n]\n]"),
        ] {
            assert_eq!(pretty(text), want, "{text}");
        }
    }

    #[test]
    fn deep_nesting_grows_by_a_bounded_factor() {
        assert!(pretty(&"[".repeat(100_000)).len() < 3_000_000);
    }
}
