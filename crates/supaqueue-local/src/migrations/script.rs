//! What can be told of an SQL script without running it.

/// A statement of a script, without the semicolon at its end.
struct Statement<'a> {
    text: &'a str,
    /// Where it begins in the script.
    start: usize,
    /// The line on which it begins, counted from 1.
    line: usize,
}

/// The statements of a script. Without a parser of SQL, this does not know where the body of a function in standard SQL
/// (`begin atomic`) ends.
fn statements(script: &str) -> Vec<Statement<'_>> {
    let mut statements: Vec<Statement> = Vec::new();
    let (mut at, mut line, mut is_inside) = (0, 1, false);
    while let Some(next) = script[at..].chars().next() {
        let rest = &script[at..];
        let comment = length_of_comment(rest);
        let length = comment.or_else(|| length_of_quoted(rest, script[..at].chars().next_back()));
        let length = length.unwrap_or(next.len_utf8());
        if comment.is_none() && !next.is_whitespace() {
            if next == ';' {
                is_inside = false;
            } else if !is_inside {
                is_inside = true;
                statements.push(Statement {
                    text: "",
                    start: at,
                    line,
                });
            }
        }
        line += rest[..length].matches('\n').count();
        at += length;
        if let Some(last) = statements.last_mut().filter(|_| is_inside) {
            last.text = &script[last.start..at];
        }
    }
    statements
}

/// The line on which a statement begins, counted from 0.
pub(super) fn line_of_statement(script: &str, number: usize) -> Option<usize> {
    statements(script)
        .get(number)
        .map(|statement| statement.line)
}

/// Whether a script has no statement.
pub(super) fn is_empty(script: &str) -> bool {
    statements(script).is_empty()
}

/// The line of a position, which counts characters from 1.
pub(super) fn line_at(script: &str, position: usize) -> usize {
    let before = script.chars().take(position.saturating_sub(1));
    1 + before.filter(|c| *c == '\n').count()
}

/// The length of a comment that the text begins with.
fn length_of_comment(text: &str) -> Option<usize> {
    if text.starts_with("--") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if !text.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let rest = &text.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += 1;
        }
    }
    Some(text.len())
}

/// The length of a string or a quoted name that the text begins with, after the character `before`.
fn length_of_quoted(text: &str, before: Option<char>) -> Option<usize> {
    let end = match text.chars().next()? {
        '"' => 1 + text[1..].find('"')? + 1,
        '\'' => {
            let has_escapes = before.is_some_and(|c| c.eq_ignore_ascii_case(&'e'));
            let mut is_escaped = false;
            let close = text[1..].find(|c| {
                let closes = c == '\'' && !is_escaped;
                is_escaped = has_escapes && c == '\\' && !is_escaped;
                closes
            })?;
            1 + close + 1
        }
        '$' if !before.is_some_and(is_of_name) => {
            let tag = text[1..].find('$')?;
            let delimiter = &text[..tag + 2];
            if !delimiter[1..=tag].chars().all(is_of_name) {
                return None;
            }
            delimiter.len() + text[delimiter.len()..].find(delimiter)? + delimiter.len()
        }
        _ => return None,
    };
    Some(end)
}

fn is_of_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Blanks each `create extension` of an extension that `is_absent`, so that nothing else moves. Returns the script and the
/// names of these extensions.
pub(super) fn without_extensions(
    script: &str,
    is_absent: impl Fn(&str) -> bool,
) -> (String, Vec<String>) {
    let (mut kept, mut names) = (String::new(), Vec::new());
    for statement in statements(script) {
        let lower = statement.text.to_ascii_lowercase();
        let mut words = lower.split_whitespace().peekable();
        if (words.next(), words.next()) != (Some("create"), Some("extension")) {
            continue;
        }
        if words.peek() == Some(&"if") {
            words.nth(2);
        }
        let name = words.next().unwrap_or_default().trim_matches('"');
        if is_absent(name) {
            kept += &script[kept.len()..statement.start];
            // As many bytes as before, on the same lines.
            let blank = statement.text.bytes().map(|byte| match byte {
                b'\n' => '\n',
                _ => ' ',
            });
            kept.extend(blank);
            names.push(name.to_owned());
        }
    }
    kept += &script[kept.len()..];
    (kept, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_semicolons_outside_of_strings_and_comments() {
        for (script, want) in [
            ("", &[][..]),
            ("-- nothing;\n/* ; /* nested */ ; */ ;;\n", &[]),
            ("select 1;\n\nselect 2", &[1, 3]),
            ("select ';', \";\";\n-- ;\nselect 2;", &[1, 3]),
            ("select 'it''s;';\nselect e'\\';';\nselect 3", &[1, 2, 3]),
            (
                "do $$ begin;\nend $$;\ncreate function f() as $b$ ;\n$$;\n$b$;\nselect a$1;\nselect 2",
                &[1, 3, 6, 7],
            ),
        ] {
            let lines: Vec<_> = statements(script)
                .iter()
                .map(|statement| statement.line)
                .collect();
            assert_eq!(lines, want, "{script}");
        }
        assert!(is_empty("-- only a comment"));
        assert_eq!(line_at("ä\nb\nc", 3), 2);
    }

    #[test]
    fn only_the_extensions_that_are_absent_are_left_out() {
        let script = "create extension pgcrypto;\ndo $$ begin raise 'create extension pg_net'; end $$;CREATE  EXTENSION if not exists \"pg_net\"\n  with schema extensions;\ncreate table ü (a int);\ncreate extension vector";
        let (kept, names) = without_extensions(script, |name| name != "pgcrypto");
        assert_eq!(names, ["pg_net", "vector"]);
        let lines: Vec<_> = kept.lines().map(str::trim).collect();
        assert_eq!(
            lines,
            [
                "create extension pgcrypto;",
                "do $$ begin raise 'create extension pg_net'; end $$;",
                ";",
                "create table ü (a int);",
                ""
            ]
        );
        assert_eq!(kept.len(), script.len());
    }
}
