//! What a failure of the Supabase CLI means, and what to do about it.

use std::process::Output;

use serde_json::Value;

use crate::problem::{Problem, redact};

/// The JSON in what the CLI wrote: all of it, or else its last line that is JSON.
pub(crate) fn json(written: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(written);
    serde_json::from_str(text.trim()).ok().or_else(|| {
        text.lines()
            .rev()
            .map(str::trim)
            .filter(|line| line.starts_with(['{', '[']))
            .find_map(|line| serde_json::from_str(line).ok())
    })
}

/// The line in which a program that failed says why, in what it wrote to stderr or else to stdout:
/// the one that names an error, or else the last with a word in it.
pub(crate) fn last_words(output: &Output) -> String {
    [&output.stderr, &output.stdout]
        .into_iter()
        .find_map(|written| telling_line(&String::from_utf8_lossy(written)))
        .unwrap_or_else(|| format!("it wrote nothing ({})", output.status))
}

fn telling_line(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let error = lines.clone().rfind(|line| line.contains("Error: "));
    let line = error.or_else(|| lines.rfind(|line| line.contains(char::is_alphanumeric)));
    line.map(redact)
}

/// The error of a call that failed.
pub(crate) fn explain(command: &str, output: &Output, error: Option<&Value>) -> anyhow::Error {
    let stderr_json = json(&output.stderr);
    let error = error.or(stderr_json.as_ref().and_then(|answer| answer.get("error")));
    let text = |key| {
        error
            .and_then(|error| error.get(key))
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let code = text("code");
    let message = match text("message") {
        "" => last_words(output),
        message => message.to_owned(),
    };
    if let Some(sql) = sql_error(&message) {
        return Problem::error(format!("the database refused it: {}", sql.0), sql.1);
    }
    Problem::error(
        format!("`{command}` failed: {}", message.replace('\n', " ")),
        remedy(code, &message),
    )
}

/// The database's own error in the message of `db query`, and its hint.
fn sql_error(message: &str) -> Option<(String, String)> {
    let body: Value = serde_json::from_str(&message[message.find('{')?..]).ok()?;
    let text = body
        .get("message")?
        .as_str()?
        .strip_prefix("Failed to run sql query: ")?
        .to_owned();
    let mut lines = text.lines().map(str::trim);
    let what = lines
        .next()
        .unwrap_or_default()
        .trim_start_matches("ERROR:")
        .trim()
        .to_owned();
    let hint = lines
        .find_map(|line| line.strip_prefix("HINT:"))
        .map(|hint| hint.trim().to_owned());
    Some((
        what,
        hint.unwrap_or_else(|| {
            "Nothing of this statement was kept. Mend what it names, then run this again.".into()
        }),
    ))
}

fn remedy(code: &str, message: &str) -> &'static str {
    let status = status(message);
    let has = |words: &[&str]| {
        let all = format!("{code} {message}").to_lowercase();
        words.iter().any(|word| all.contains(word))
    };
    match status {
        Some(401) => {
            "Log in again: run `supabase login`, or set SUPABASE_ACCESS_TOKEN to a valid token. Then run this again."
        }
        Some(403) => {
            "Your account or token may not do this in this project: ask its owner for the role Administrator or Developer, or use a token with the scopes that the CLI names in --help. Then run this again."
        }
        Some(404) => {
            "Check the project's reference with `supabase projects list`, then run this again."
        }
        Some(409) => {
            "Another change of the project is under way: wait until it has ended, then run this again."
        }
        Some(429) => "The Management API asks for a pause: wait a minute, then run this again.",
        Some(500..) => {
            "This is a failure at Supabase (https://status.supabase.com): wait a little, then run this again."
        }
        None if code.ends_with("UnexpectedStatusError") => {
            "The CLI does not tell which status the platform answered. Check that you are logged in (`supabase login`, or SUPABASE_ACCESS_TOKEN) and may change this project, look at https://status.supabase.com, and wait a minute. Then run this again."
        }
        _ if has(&["accesstoken", "access token", "unauthorized", "jwt"]) => {
            "Log in: run `supabase login`, or set SUPABASE_ACCESS_TOKEN. Then run this again."
        }
        _ if has(&["unrecognized", "unknown flag", "unknown command"]) => {
            "This version of the CLI lacks what is needed: update it (2.122 and 3.1 are tested), then run this again."
        }
        _ if has(&["network", "transport", "timeout", "econn", "enotfound"]) => {
            "Check the network and https://status.supabase.com, then run this again."
        }
        _ => "Mend what the message names, then run this again. What was done stays done.",
    }
}

/// The HTTP status that a message names: `unexpected status 403: …`.
fn status(message: &str) -> Option<u16> {
    let after = &message[message.find("status ")? + "status ".len()..];
    after.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_remedy() {
        for (message, want) in [
            ("unexpected status 401: {}", "supabase login"),
            ("unexpected list secrets status 403: {}", "owner"),
            ("unexpected status 404: {}", "reference"),
            ("unexpected status 409: {}", "under way"),
            ("unexpected status 429: {}", "wait a minute"),
            ("unexpected status 503: {}", "status.supabase.com"),
            ("failed to list secrets: TransportError", "network"),
            ("Access token not provided.", "supabase login"),
            ("Unrecognized flag: --remote", "update it"),
        ] {
            assert!(
                remedy("", message).contains(want),
                "{message}: {}",
                remedy("", message)
            );
        }
    }

    #[test]
    fn a_status_that_the_cli_keeps_to_itself_leaves_all_that_it_may_be() {
        let told = remedy(
            "SecretsSetUnexpectedStatusError",
            "Unexpected error setting project secrets: {}",
        );
        for possibility in [
            "logged in",
            "may change",
            "status.supabase.com",
            "wait a minute",
        ] {
            assert!(told.contains(possibility), "{told}");
        }
        let told = remedy(
            "SecretsListUnexpectedStatusError",
            "unexpected list secrets status 409: {}",
        );
        assert!(told.contains("Another change"), "{told}");
    }

    #[test]
    fn the_databases_error_is_told_with_its_hint() {
        let message = "unexpected status 400: {\"message\":\"Failed to run sql query: ERROR:  P0001: cannot apply\\nHINT:  Nothing was changed.\\nCONTEXT: x\"}";
        assert_eq!(
            sql_error(message),
            Some(("P0001: cannot apply".into(), "Nothing was changed.".into()))
        );
        assert_eq!(sql_error("unexpected status 400: no"), None);
    }

    #[test]
    fn the_line_that_says_why_is_told() {
        for (text, want) in [
            ("a\nwhat failed\n\n", Some("what failed")),
            (
                "at x\nError: open EBADF\n  at y {\n}\n\nNode.js v20.20.2\n",
                Some("Error: open EBADF"),
            ),
            ("is wrong:\n]\n", Some("is wrong:")),
            ("sbp_0123", Some("sbp_…")),
            (" \n", None),
        ] {
            assert_eq!(telling_line(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn json_is_found_behind_other_lines() {
        assert_eq!(json(b"[\n 1\n]\n"), Some(serde_json::json!([1])));
        assert_eq!(
            json(b"Warning: x\n{\"a\":1}\n"),
            Some(serde_json::json!({"a": 1}))
        );
        assert_eq!(json(b"nothing"), None);
    }
}
