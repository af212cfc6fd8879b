//! What an answer of `end_current_job`, through PostgREST, means.

use serde::Deserialize;

use crate::json;
use crate::outcome::retry_after_ms;
use crate::protocol::Answer;
use crate::time::Timestamp;

/// What came back from the database.
#[derive(Clone, Debug)]
pub enum DatabaseAnswer {
    /// The function ran and said this.
    Said(Answer),
    /// Nothing is wrong with what we said; it may be said again.
    TryAgain {
        /// What went wrong.
        reason: String,
        /// Not before so many milliseconds.
        after_ms: Option<u32>,
    },
    /// There is no `end_current_job`: the schema was removed, or never installed.
    Missing,
    /// It would be rejected again.
    Rejected(String),
}

/// What is read of PostgREST's error. `details` and `hint` are not: they may quote what we sent.
#[derive(Deserialize, Default)]
struct ApiError {
    code: Option<String>,
    message: Option<String>,
}

/// PostgREST's code for a function that its schema cache does not have.
const NO_SUCH_FUNCTION: &str = "PGRST202";

/// What an answer with this status, `retry-after` and body means.
pub fn read(status: u16, retry_after: Option<&str>, body: &str, now: Timestamp) -> DatabaseAnswer {
    if (200..300).contains(&status) {
        return match json::from_str(body) {
            Ok(answer) => DatabaseAnswer::Said(answer),
            Err(error) => try_again(format!("the answer was not understood: {error}")),
        };
    }
    let error: ApiError = json::from_str(body).unwrap_or_default();
    let code = error.code.unwrap_or_default();
    if code == NO_SUCH_FUNCTION {
        return DatabaseAnswer::Missing;
    }
    let reason = format!(
        "status {status} {code} {}",
        error.message.unwrap_or_default()
    );
    let reason = reason.trim_end().to_owned();
    match status {
        // 409 is two transactions that met: the next time they do not.
        408 | 409 | 425 | 429 | 500.. => DatabaseAnswer::TryAgain {
            reason,
            after_ms: retry_after.and_then(|value| retry_after_ms(value, now)),
        },
        _ => DatabaseAnswer::Rejected(reason),
    }
}

/// No answer, or none that can be relied on: it may be said again.
pub fn try_again(reason: String) -> DatabaseAnswer {
    DatabaseAnswer::TryAgain {
        reason,
        after_ms: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgrest_says() {
        let missing = r#"{"code":"PGRST202","message":"Could not find the function","details":"x","hint":null}"#;
        let timeout = r#"{"code":"57014","message":"canceling statement due to statement timeout","details":null,"hint":null}"#;
        let json = r#"{"code":"22P05","message":"unsupported Unicode escape sequence","details":"secret","hint":null}"#;
        let cases = [
            (
                200,
                None,
                r#"{"accepted":true,"state":"settled","next":null}"#,
                "said true none",
            ),
            (
                200,
                None,
                r#"{"accepted":false,"state":"refused","reason":"gone","next":null}"#,
                "said false gone",
            ),
            (
                200,
                None,
                "<html>",
                "again none: the answer was not understood: expected struct Answer at byte 0",
            ),
            (
                204,
                None,
                "",
                "again none: the answer was not understood: expected more at byte 0",
            ),
            (404, None, missing, "missing"),
            (404, None, "", "rejected: status 404"),
            (
                500,
                None,
                timeout,
                "again none: status 500 57014 canceling statement due to statement timeout",
            ),
            (503, Some("2"), "", "again 2000: status 503"),
            (429, Some("x"), "{}", "again none: status 429"),
            (408, None, "", "again none: status 408"),
            (
                409,
                None,
                r#"{"code":"23505"}"#,
                "again none: status 409 23505",
            ),
            (
                400,
                None,
                json,
                "rejected: status 400 22P05 unsupported Unicode escape sequence",
            ),
            (
                401,
                None,
                r#"{"message":"Invalid API key"}"#,
                "rejected: status 401  Invalid API key",
            ),
            (302, None, "", "rejected: status 302"),
        ];
        for (status, retry_after, body, want) in cases {
            let got = match read(status, retry_after, body, Timestamp::from_ms(0)) {
                DatabaseAnswer::Said(answer) => {
                    format!(
                        "said {} {}",
                        answer.accepted,
                        answer.reason.unwrap_or("none".into())
                    )
                }
                DatabaseAnswer::TryAgain { reason, after_ms } => {
                    format!(
                        "again {}: {reason}",
                        after_ms.map_or("none".into(), |ms| ms.to_string())
                    )
                }
                DatabaseAnswer::Missing => "missing".into(),
                DatabaseAnswer::Rejected(reason) => format!("rejected: {reason}"),
            };
            assert_eq!(got, want, "{status} {body}");
        }
    }
}
