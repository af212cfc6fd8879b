//! Text that users, functions and databases wrote, shown so that it can do no harm: maud escapes it, `bdi` keeps
//! its direction to itself, and characters that are not seen are shown by name.

use maud::{Markup, html};

/// One line of text.
pub(crate) fn inline(text: &str) -> Markup {
    html! { bdi { (visible(text, false)) } }
}

/// One line of text, cut after so many characters.
pub(crate) fn short(text: &str, length: usize) -> Markup {
    match text.char_indices().nth(length) {
        None => inline(text),
        Some((end, _)) => html! { bdi { (visible(&text[..end], false)) } "…" },
    }
}

/// Text that keeps its lines, for `pre`.
pub(crate) fn block(text: &str) -> Markup {
    html! { bdi { (visible(text, true)) } }
}

/// One line of text where no markup can be: a title.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .flat_map(|c| match is_hidden(c) {
            true => name(c).chars().collect(),
            false => vec![c],
        })
        .collect()
}

/// The text with what cannot be seen in words, in pieces.
fn visible(text: &str, keeps_lines: bool) -> Markup {
    let is_shown = |c: char| is_hidden(c) && !(keeps_lines && matches!(c, '\n' | '\t'));
    html! {
        @for piece in text.split_inclusive(is_shown) {
            @match piece.chars().next_back().filter(|last| is_shown(*last)) {
                None => (piece),
                Some(hidden) => {
                    (piece[..piece.len() - hidden.len_utf8()])
                    span.hidden-character { (name(hidden)) }
                }
            }
        }
    }
}

/// Whether a character has no picture of its own, and could mislead the reader: controls, changes of
/// direction, and what has no width.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

fn name(c: char) -> String {
    match c {
        '\n' => "\\n".into(),
        '\r' => "\\r".into(),
        '\t' => "\\t".into(),
        '\u{1b}' => "ESC".into(),
        c => format!("U+{:04X}", u32::from(c)),
    }
}

/// The beginning of a text, and an ellipsis if it is longer.
pub(crate) fn cut(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A job's status, with a sign, as colors alone say nothing to some.
pub(crate) fn status(status: &str) -> Markup {
    let class = match status {
        "pending" | "waiting" | "cancelled" => "muted",
        "in_progress" => "current",
        "successful" => "good",
        "failed" => "bad",
        _ => "",
    };
    html! { span.status { span class=(class) aria-hidden="true" { (sign(status)) } " " (status.replace('_', " ")) } }
}

/// The sign of a job's status.
pub(crate) fn sign(status: &str) -> &'static str {
    match status {
        "pending" => "○",
        "waiting" => "◌",
        "in_progress" => "▶",
        "successful" => "✓",
        "failed" => "✕",
        "cancelled" => "–",
        _ => "",
    }
}

/// A number with its thousands apart: `1,234,567`.
pub(crate) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = String::new();
    if number < 0 {
        text.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number that was counted up to a bound, which is one more than the last exact one: `100,000+`.
pub(crate) fn bounded(number: i64, bound: i64) -> String {
    match number >= bound {
        true => format!("{}+", self::number(bound - 1)),
        false => self::number(number),
    }
}

/// `1 job`, `2 jobs`, with the thousands apart.
pub(crate) fn count(number: i64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", self::number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_stays_hidden() {
        for (text, want) in [
            ("plain ü 👩‍👩‍👧", "<bdi>plain ü 👩‍👩‍👧</bdi>"),
            ("<script>", "<bdi>&lt;script&gt;</bdi>"),
            (
                "a\u{202e}b\u{1b}[31m",
                r#"<bdi>a<span class="hidden-character">U+202E</span>b<span class="hidden-character">ESC</span>[31m</bdi>"#,
            ),
            (
                "two\nlines",
                r#"<bdi>two<span class="hidden-character">\n</span>lines</bdi>"#,
            ),
        ] {
            assert_eq!(inline(text).into_string(), want);
        }
        assert_eq!(
            block("two\nlines\u{7f}").into_string(),
            "<bdi>two\nlines<span class=\"hidden-character\">U+007F</span></bdi>"
        );
        assert_eq!(plain("a\u{202e}b"), "aU+202Eb");
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(short("äöü", 3).into_string(), "<bdi>äöü</bdi>");
        assert_eq!(short("äöüß", 3).into_string(), "<bdi>äöü</bdi>…");
    }

    #[test]
    fn numbers_are_grouped() {
        for (value, want) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (-1234567, "−1,234,567"),
        ] {
            assert_eq!(number(value), want);
        }
        assert_eq!(bounded(100_001, 100_001), "100,000+");
        assert_eq!(bounded(100_000, 100_001), "100,000");
        assert_eq!(
            (count(1, "job"), count(2000, "job")),
            ("1 job".into(), "2,000 jobs".into())
        );
    }
}
