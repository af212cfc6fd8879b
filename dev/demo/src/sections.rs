//! Splits a text into sections.
//!
//! Nothing is lost: the concatenated sections are the text.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

/// The maximum size of a section in bytes. Longer ones are split, so that all calls have similar sizes.
const MAX_BYTES: usize = 16_000;

/// The minimum size of a section of plain text in bytes. Shorter blocks are joined with the next.
const MIN_BYTES: usize = 300;

/// The maximum length of a title in characters.
const TITLE_CHARS: usize = 44;

/// A part of a text, which becomes a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Section {
    /// The heading or else the first line, without control characters.
    pub(super) title: String,
    /// The text as in the file.
    pub(super) text: String,
}

/// Splits Markdown at its headings. Text before the first heading is a section, too.
pub(super) fn of_markdown(text: &str) -> Vec<Section> {
    let headings = headings(text);
    let mut sections = Vec::new();
    let first = headings.first().map_or(text.len(), |(start, _)| *start);
    let has_preamble = !text[..first].trim().is_empty();
    if has_preamble {
        add(&mut sections, None, &text[..first]);
    }
    for (index, (start, title)) in headings.iter().enumerate() {
        // Includes blank lines before the first heading.
        let start = if index == 0 && !has_preamble {
            0
        } else {
            *start
        };
        let end = headings
            .get(index + 1)
            .map_or(text.len(), |(start, _)| *start);
        add(&mut sections, Some(title), &text[start..end]);
    }
    sections
}

/// Splits plain text at blank lines, and joins short blocks.
pub(super) fn of_plain_text(text: &str) -> Vec<Section> {
    let section = |piece: &str| Section {
        title: first_line(piece),
        text: piece.to_owned(),
    };
    pieces(text, MIN_BYTES).into_iter().map(section).collect()
}

fn add(sections: &mut Vec<Section>, title: Option<&str>, text: &str) {
    let title = title
        .filter(|title| !title.is_empty())
        .map_or_else(|| first_line(text), one_line);
    if text.len() <= MAX_BYTES {
        sections.push(Section {
            title,
            text: text.to_owned(),
        });
        return;
    }
    for (index, piece) in pieces(text, MAX_BYTES / 2).into_iter().enumerate() {
        let title = match index {
            0 => title.clone(),
            _ => format!("{title} ({})", index + 1),
        };
        sections.push(Section {
            title,
            text: piece.to_owned(),
        });
    }
}

/// The position and text of each heading, except those in quotations and lists.
fn headings(text: &str) -> Vec<(usize, String)> {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_HEADING_ATTRIBUTES;
    let mut headings: Vec<(usize, String)> = Vec::new();
    let mut depth = 0;
    let mut is_heading = false;
    for (event, range) in Parser::new_ext(text, options).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 && matches!(tag, Tag::Heading { .. }) {
                    headings.push((range.start, String::new()));
                    is_heading = true;
                }
                depth += 1;
            }
            Event::End(tag) => {
                depth -= 1;
                is_heading &= !matches!(tag, TagEnd::Heading(_));
            }
            Event::Text(part) | Event::Code(part) if is_heading => {
                if let Some((_, title)) = headings.last_mut() {
                    title.push_str(&part);
                }
            }
            // A setext heading may have several lines.
            Event::SoftBreak | Event::HardBreak if is_heading => {
                if let Some((_, title)) = headings.last_mut() {
                    title.push(' ');
                }
            }
            _ => {}
        }
    }
    headings
}

/// Joins blocks into pieces of at least `min` bytes, and splits pieces that are too large.
fn pieces(text: &str, min: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut end = 0;
    for block in blocks(text) {
        end += block.len();
        if end - start >= min {
            split(&text[start..end], &mut pieces);
            start = end;
        }
    }
    if start < end {
        split(&text[start..end], &mut pieces);
    }
    pieces
}

/// The paragraphs of a text, each with the blank lines that follow; the first also with those before it.
fn blocks(text: &str) -> Vec<&str> {
    let mut blocks = Vec::new();
    let (mut start, mut end) = (0, 0);
    let (mut has_words, mut after_blank) = (false, false);
    for line in text.split_inclusive('\n') {
        let is_blank = line.trim().is_empty();
        if !is_blank && after_blank && has_words {
            blocks.push(&text[start..end]);
            start = end;
        }
        has_words |= !is_blank;
        after_blank = is_blank;
        end += line.len();
    }
    blocks.push(&text[start..]);
    blocks
}

/// Splits at the end of a line, else between words, else between characters.
fn split<'a>(mut text: &'a str, pieces: &mut Vec<&'a str>) {
    // Whitespace alone does not make a piece.
    while text.trim_end().len() > MAX_BYTES {
        let head = &text[..text.floor_char_boundary(MAX_BYTES)];
        let end_of_line = head.rfind('\n').map(|at| at + 1);
        let end_of_word = || {
            let (at, blank) = head.char_indices().rfind(|(_, c)| c.is_whitespace())?;
            Some(at + blank.len_utf8())
        };
        let at = end_of_line.or_else(end_of_word).unwrap_or(head.len());
        pieces.push(&text[..at]);
        text = &text[at..];
    }
    pieces.push(text);
}

fn first_line(text: &str) -> String {
    one_line(
        text.lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default(),
    )
}

/// Shortens a text to one line without control characters.
pub(super) fn one_line(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if plain.chars().count() <= TITLE_CHARS {
        return plain;
    }
    let mut short: String = plain.chars().take(TITLE_CHARS - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(sections: &[Section]) -> Vec<&str> {
        sections
            .iter()
            .map(|section| section.title.as_str())
            .collect()
    }

    fn joined(sections: &[Section]) -> String {
        sections
            .iter()
            .map(|section| section.text.as_str())
            .collect()
    }

    #[test]
    fn markdown_is_split_at_its_headings() {
        let cases: [(&str, &[&str]); 11] = [
            ("# One\ntext\n## Two\ntext\n", &["One", "Two"]),
            ("before\n\n# One\n", &["before", "One"]),
            ("\n\n# One\ntext", &["One"]),
            ("no heading\nat all", &["no heading"]),
            (
                "Setext\n======\ntext\n\nTwo\nlines\n---\n",
                &["Setext", "Two lines"],
            ),
            ("# `code` and *stress*\n", &["code and stress"]),
            ("```sh\n# a comment\n```\n# One\n", &["```sh", "One"]),
            ("> # quoted\n\n# One\n", &["> # quoted", "One"]),
            ("---\ntitle: x\n---\n# One\n", &["---", "One"]),
            ("# One\r\ntext\r\n# Two\r\n", &["One", "Two"]),
            ("#\ntext\n", &["#"]),
        ];
        for (text, want) in cases {
            let sections = of_markdown(text);
            assert_eq!(titles(&sections), want, "{text:?}");
            assert_eq!(joined(&sections), text);
        }
    }

    #[test]
    fn plain_text_is_split_at_blank_lines_and_short_blocks_are_joined() {
        let long = |word: &str| format!("{}\n\n", format!("{word} ").repeat(100));
        let text = format!(
            "\n\nTitle\n\n{}{}  \n\t\n{}short",
            long("one"),
            long("two"),
            long("three")
        );
        let sections = of_plain_text(&text);
        assert_eq!(sections.len(), 4, "{sections:?}");
        assert_eq!(sections[0].title, "Title");
        assert_eq!(sections[3].title, "short");
        assert_eq!(joined(&sections), text);
    }

    #[test]
    fn an_overlong_section_is_split_again() {
        let paragraphs = "A line of words that goes on.\nAnd another one.\n\n".repeat(1000);
        let cases = [
            format!("# Long\n{paragraphs}"),
            format!("# Long\n{}", "word ".repeat(10_000)),
            format!("# Long\n{}", "日本語".repeat(5_000)),
            format!("# Long\n{}{}", "line\n".repeat(5_000), "\n".repeat(5_000)),
        ];
        for text in cases {
            let sections = of_markdown(&text);
            assert!(sections.len() > 1);
            assert_eq!(sections[0].title, "Long");
            assert_eq!(sections[1].title, "Long (2)");
            assert_eq!(joined(&sections), text);
            for section in &sections {
                assert!(
                    section.text.trim_end().len() <= MAX_BYTES,
                    "{} bytes",
                    section.text.len()
                );
                assert!(!section.text.trim().is_empty());
            }
        }
    }

    #[test]
    fn nothing_is_lost() {
        for text in [
            "",
            "\n",
            "x",
            "\r\n\r\n",
            "a\n\n\n\nb\n",
            "\u{feff}x",
            "# \n# \n",
        ] {
            assert_eq!(joined(&of_plain_text(text)), text, "{text:?}");
            if !text.trim().is_empty() {
                assert_eq!(joined(&of_markdown(text)), text, "{text:?}");
            }
        }
    }

    #[test]
    fn a_title_is_one_short_line_without_control_characters() {
        assert_eq!(
            first_line("\n \n\x1b[2Jgone\tand  back\nmore"),
            "[2Jgone and back"
        );
        assert_eq!(first_line(&"é".repeat(100)), format!("{}…", "é".repeat(43)));
    }
}
