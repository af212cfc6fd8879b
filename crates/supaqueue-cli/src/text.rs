//! Text for people: what the database returned, made safe for a terminal and fit for its width.

use std::fmt::Write;

use console::{Style, Term};
use jiff::Timestamp;

/// A text on one line. Control characters, and those that reorder text (Unicode TR 36, section 3.2.2), are written as
/// escapes: names, messages and payloads come from anywhere, and must not command the terminal.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            _ if c.is_control() || is_invisible(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            _ => safe.push(c),
        }
    }
    safe
}

/// [`printable`], but lines stay lines.
pub(crate) fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n")
}

/// Characters that have no width of their own and change how others are shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// At most so many characters of a text, with an ellipsis if there are more.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some(_) => {
            let head: String = text.chars().take(characters.saturating_sub(1)).collect();
            head + "…"
        }
    }
}

/// How many columns a terminal has, if it is one.
pub(crate) fn width(term: &Term) -> Option<usize> {
    term.size_checked().map(|(_, columns)| usize::from(columns))
}

/// Breaks a text into lines of a terminal's width, all but the first indented. Never within backticks,
/// so that a command can still be copied.
pub(crate) fn wrap(text: &str, width: Option<usize>, indent: usize) -> String {
    let Some(width) = width.filter(|width| *width > 2 * indent) else {
        return text.to_owned();
    };
    let mut wrapped = String::new();
    let mut column = indent;
    for word in words(text) {
        let length = console::measure_text_width(word);
        if column > indent && column + 1 + length > width {
            wrapped.push('\n');
            wrapped.push_str(&" ".repeat(indent));
            column = indent;
        } else if column > indent {
            wrapped.push(' ');
            column += 1;
        }
        wrapped.push_str(word);
        column += length;
    }
    wrapped
}

/// Names and values, one below the other.
pub(crate) struct Rows {
    pub(crate) lines: Vec<String>,
    pub(crate) width: Option<usize>,
}

/// The width of the names in [`Rows`].
const NAME: usize = 14;

impl Rows {
    /// Adds a name with its value, on as many lines as that needs.
    pub(crate) fn row(&mut self, name: &str, value: &str) {
        let name = Style::new().dim().apply_to(format!("{name:NAME$}"));
        let value = wrap(value, self.width, NAME);
        self.add(&format!("{name}{value}"));
    }

    /// Adds a text.
    pub(crate) fn add(&mut self, text: &str) {
        match text {
            "" => self.lines.push(String::new()),
            text => self.lines.extend(text.lines().map(str::to_owned)),
        }
    }
}

/// The width of the word that a problem begins with, and of what follows it on further lines.
pub(crate) const INDENT: usize = 9;

/// A message after a word, with its remedy below, and the lines broken for a terminal.
pub(crate) fn with_remedy(
    word: &str,
    style: &Style,
    message: &str,
    remedy: Option<&str>,
    width: Option<usize>,
) -> String {
    let word = style.apply_to(format!("{word:INDENT$}"));
    let mut text = format!("{word}{}", wrap(&printable(message), width, INDENT));
    if let Some(remedy) = remedy.filter(|remedy| !remedy.is_empty()) {
        let remedy = wrap(&printable(remedy), width, INDENT + 2);
        let _ = write!(text, "\n{:INDENT$}→ {remedy}", "");
    }
    text
}

/// Splits a text at its spaces, except those within backticks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    text.split(move |c| {
        is_quoted ^= c == '`';
        c == ' ' && !is_quoted
    })
}

/// `45ms`, `1.2s`, `12s`, `3m`, `2.5h`.
pub(crate) fn duration(ms: f64) -> String {
    match ms {
        ..999.5 => format!("{ms:.0}ms"),
        ..9_950.0 => format!("{:.1}s", ms / 1000.0),
        ..119_500.0 => format!("{:.0}s", ms / 1000.0),
        ..7_170_000.0 => format!("{:.0}m", ms / 60_000.0),
        ..172_800_000.0 => format!("{:.0}h", ms / 3_600_000.0),
        _ => format!("{:.0}d", ms / 86_400_000.0),
    }
}

/// `999`, `12.3k`, `1.2M`. What was counted up to 100,001 is `>100k`.
pub(crate) fn number(count: i64) -> String {
    if count == 100_001 {
        return ">100k".to_owned();
    }
    match count {
        ..10_000 => count.to_string(),
        10_000..100_000 => format!("{:.1}k", count as f64 / 1000.0),
        100_000..1_000_000 => format!("{}k", count / 1000),
        _ => format!("{:.1}M", count as f64 / 1_000_000.0),
    }
}

/// `2026-11-30 02:25:01`, in UTC like the times in the database's messages.
pub(crate) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// `2026-11-30 02:25:01 UTC (3m ago)`.
pub(crate) fn moment_and_age(at: Timestamp, now: Timestamp) -> String {
    let ms = now.as_millisecond() - at.as_millisecond();
    let age = match ms {
        0.. => format!("{} ago", duration(ms as f64)),
        _ => format!("in {}", duration(-ms as f64)),
    };
    format!("{} UTC ({age})", moment(at))
}

/// A bar of height 0 to 8 for each number, the largest being the highest.
pub(crate) fn sparkline(numbers: &[i64]) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let most = numbers.iter().copied().max().unwrap_or(0).max(1);
    let bar = |count: &i64| match *count {
        ..=0 => ' ',
        count => BARS[((count * 8 - 1) / most).clamp(0, 7) as usize],
    };
    numbers.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_commands_the_terminal() {
        for (text, want) in [
            ("plain ümlaut 日本", "plain ümlaut 日本"),
            ("\x1b[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            (
                "bell\x07 c1\u{9b}31m del\x7f",
                "bell\\u{7} c1\\u{9b}31m del\\u{7f}",
            ),
            (
                "\u{202e}txt.exe\u{2066}\u{200f}",
                "\\u{202e}txt.exe\\u{2066}\\u{200f}",
            ),
            ("", ""),
        ] {
            assert_eq!(printable(text), want);
        }
        assert_eq!(printable_lines("a\n\x1bb\r\nc"), "a\n\\u{1b}b\nc");
    }

    #[test]
    fn lines_are_broken_between_words_but_not_within_commands() {
        let check = |text: &str, width, want: &str| assert_eq!(wrap(text, width, 2), want);
        check("one two three", None, "one two three");
        check("one two three", Some(9), "one two\n  three");
        check("one two three", Some(15), "one two three");
        check("unbreakable a", Some(6), "unbreakable\n  a");
        check(
            "run `a b c d e f g` now",
            Some(12),
            "run\n  `a b c d e f g`\n  now",
        );
        check("", Some(9), "");
        check("no room at all", Some(4), "no room at all");
    }

    #[test]
    fn numbers_and_durations_are_short() {
        for (ms, want) in [
            (0.0, "0ms"),
            (999.4, "999ms"),
            (999.6, "1.0s"),
            (9_949.0, "9.9s"),
            (12_345.0, "12s"),
            (125_000.0, "2m"),
            (7_200_000.0, "2h"),
            (1e9, "12d"),
        ] {
            assert_eq!(duration(ms), want, "{ms}");
        }
        for (count, want) in [
            (0, "0"),
            (9_999, "9999"),
            (12_345, "12.3k"),
            (100_001, ">100k"),
            (123_456, "123k"),
            (1_234_567, "1.2M"),
        ] {
            assert_eq!(number(count), want);
        }
    }

    #[test]
    fn a_sparkline_has_its_highest_bar_at_the_most() {
        assert_eq!(sparkline(&[0, 1, 4, 8]), " ▁▄█");
        assert_eq!(sparkline(&[1, 1]), "██");
        assert_eq!(sparkline(&[0, 0]), "  ");
        assert_eq!(sparkline(&[0, 1, 1_000_000]), " ▁█");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("日本語", 3), "日本語");
        assert_eq!(cut("日本語x", 3), "日本…");
        assert_eq!(cut("", 3), "");
    }
}
