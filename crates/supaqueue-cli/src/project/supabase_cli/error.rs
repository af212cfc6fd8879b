//! Explains failures of the Supabase CLI.

use std::process::Output;

use serde_json::Value;

use crate::project::postgres::statement_error;
use crate::redact::redact;
use crate::user_error::user_error;

/// The JSON in the CLI's output: all of it, or else its last line that is JSON.
pub(super) fn json(output: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(output);
    serde_json::from_str(text.trim()).ok().or_else(|| {
        text.lines()
            .rev()
            .map(str::trim)
            .filter(|line| line.starts_with(['{', '[']))
            .find_map(|line| serde_json::from_str(line).ok())
    })
}

/// The line of stderr, or else of stdout, in which a failed program gives the reason.
pub(super) fn reason(output: &Output) -> String {
    [&output.stderr, &output.stdout]
        .into_iter()
        .find_map(|text| reason_line(&String::from_utf8_lossy(text)))
        .unwrap_or_else(|| format!("no output ({})", output.status))
}

/// The last line that names an error, or else the last that contains a word.
fn reason_line(text: &str) -> Option<String> {
    let mut lines = text.lines().map(str::trim);
    let error = lines.clone().rfind(|line| line.contains("Error: "));
    let line = error.or_else(|| lines.rfind(|line| line.contains(char::is_alphanumeric)));
    line.map(redact)
}

/// The error of a failed call. `error` is the one in its JSON on stdout.
pub(super) fn explain(command: &str, output: &Output, error: Option<&Value>) -> anyhow::Error {
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
        "" => reason(output),
        message => message.to_owned(),
    };
    if let Some((message, hint)) = sql_error(&message) {
        return statement_error(&message, hint.as_deref());
    }
    user_error(
        format!("`{command}` failed: {}", message.replace('\n', " ")),
        remedy(code, &message),
    )
}

/// The database's error and hint in an error message of `supabase db query`.
fn sql_error(message: &str) -> Option<(String, Option<String>)> {
    let body: Value = serde_json::from_str(&message[message.find('{')?..]).ok()?;
    let text = body
        .get("message")?
        .as_str()?
        .strip_prefix("Failed to run sql query: ")?;
    let mut lines = text.lines().map(str::trim);
    let error = lines.next().unwrap_or_default();
    let hint = lines.find_map(|line| line.strip_prefix("HINT:"));
    Some((
        error.trim_start_matches("ERROR:").trim().to_owned(),
        hint.map(|hint| hint.trim().to_owned()),
    ))
}

fn remedy(code: &str, message: &str) -> &'static str {
    let has = |words: &[&str]| {
        let all = format!("{code} {message}").to_lowercase();
        words.iter().any(|word| all.contains(word))
    };
    match http_status(message) {
        Some(401) => {
            "Log in again: run `supabase login`, or set SUPABASE_ACCESS_TOKEN to a valid token. Then run this again."
        }
        Some(403) => {
            "Your account or token lacks permission for this project: ask its owner for the role Administrator or Developer, or use a token with the scopes that the CLI lists in --help. Then run this again."
        }
        Some(404) => {
            "Check the project's reference with `supabase projects list`, and run this again."
        }
        Some(409) => {
            "Another change to the project is in progress: wait until it has finished, and run this again."
        }
        Some(429) => {
            "The Management API limits the rate of requests: wait a minute and run this again."
        }
        Some(500..) => {
            "This is a failure at Supabase (https://status.supabase.com): wait a little and run this again."
        }
        None if code.ends_with("UnexpectedStatusError") => {
            "The CLI does not report the platform's HTTP status. Check that you are logged in (`supabase login`, or SUPABASE_ACCESS_TOKEN) and have permission to change this project, look at https://status.supabase.com, and wait a minute. Then run this again."
        }
        _ if has(&["accesstoken", "access token", "unauthorized", "jwt"]) => {
            "Log in: run `supabase login`, or set SUPABASE_ACCESS_TOKEN. Then run this again."
        }
        _ if has(&["unrecognized", "unknown flag", "unknown command"]) => {
            "This version of the CLI lacks a required feature: update it (2.122 and 3.1 are tested) and run this again."
        }
        _ if has(&["network", "transport", "timeout", "econn", "enotfound"]) => {
            "Check the network and https://status.supabase.com, and run this again."
        }
        _ => "Fix the cause and run this again. Completed steps are kept.",
    }
}

/// The HTTP status in a message such as `unexpected status 403: …`.
fn http_status(message: &str) -> Option<u16> {
    let (_, rest) = message.split_once("status ")?;
    rest.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_a_remedy() {
        for (message, want) in [
            ("unexpected status 401: {}", "supabase login"),
            ("unexpected list secrets status 403: {}", "owner"),
            ("unexpected status 404: {}", "reference"),
            ("unexpected status 409: {}", "in progress"),
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
    fn a_hidden_status_gets_a_remedy_for_every_possible_cause() {
        let text = remedy(
            "SecretsSetUnexpectedStatusError",
            "Unexpected error setting project secrets: {}",
        );
        for cause in [
            "logged in",
            "permission to change",
            "status.supabase.com",
            "wait a minute",
        ] {
            assert!(text.contains(cause), "{text}");
        }
        let text = remedy(
            "SecretsListUnexpectedStatusError",
            "unexpected list secrets status 409: {}",
        );
        assert!(text.contains("Another change"), "{text}");
    }

    #[test]
    fn a_database_error_keeps_its_hint() {
        let message = "unexpected status 400: {\"message\":\"Failed to run sql query: ERROR:  P0001: cannot apply\\nHINT:  Nothing was changed.\\nCONTEXT: x\"}";
        assert_eq!(
            sql_error(message),
            Some((
                "P0001: cannot apply".into(),
                Some("Nothing was changed.".into())
            ))
        );
        assert_eq!(sql_error("unexpected status 400: no"), None);
    }

    #[test]
    fn the_reason_is_found_in_the_output() {
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
            assert_eq!(reason_line(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn json_is_found_after_other_lines() {
        assert_eq!(json(b"[\n 1\n]\n"), Some(serde_json::json!([1])));
        assert_eq!(
            json(b"Warning: x\n{\"a\":1}\n"),
            Some(serde_json::json!({"a": 1}))
        );
        assert_eq!(json(b"nothing"), None);
    }
}
