//! The functions in the database, called through the Data API (PostgREST), and what the end of such
//! a call means.

use crate::config::Settings;
use crate::fetch::{BodyEnd, Failure, Request, Response};
use crate::json;
use crate::protocol::{PulseRequest, ReportRequest, RpcResult, RunId, reports_json};
use crate::retry_after::retry_after_ms;
use crate::time::{Timestamp, saturate_to_integer};

/// More than the largest answer: a pulse's records, or a report's next job.
const ANSWER_LIMIT: usize = 16_000_000;
/// PostgREST's code for a function that its schema cache does not contain.
const NO_SUCH_FUNCTION: &str = "PGRST202";

/// What the end of a call means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The function returned this.
    Returned(RpcResult),
    /// The same call may succeed later.
    Unreachable {
        /// What went wrong.
        reason: String,
        /// When to retry at the earliest, in milliseconds from now.
        after_ms: Option<u32>,
    },
    /// Postgres refused what was sent, for this reason, and would again.
    Refused(String),
}

impl Verdict {
    /// Why the database did not do what was asked, as far as is known.
    pub(crate) fn problem(&self) -> Option<&str> {
        match self {
            Self::Returned(result) => result.reason.as_deref().filter(|_| !result.accepted),
            Self::Unreachable { reason, .. } | Self::Refused(reason) => Some(reason),
        }
    }
}

/// The parts of a PostgREST error that are used. `details` and `hint` may quote what was sent.
#[derive(Default)]
struct ApiError {
    code: Option<String>,
    message: Option<String>,
}

json::object!(ApiError { code, message });

/// The call of `supaqueue_pulse`.
pub(crate) fn pulse(settings: &Settings, run: RunId, pulse: &PulseRequest) -> Request {
    request(settings, "supaqueue_pulse", pulse.json(run))
}

/// The call of `end_current_job`, or of `end_current_jobs` for several reports.
pub(crate) fn report(settings: &Settings, run: RunId, reports: &[&ReportRequest]) -> Request {
    if let [report] = reports {
        return request(settings, "end_current_job", report.json(run));
    }
    request(settings, "end_current_jobs", reports_json(run, reports))
}

fn request(settings: &Settings, function: &str, arguments: String) -> Request {
    let mut request = Request {
        url: format!("{}/rest/v1/rpc/{function}", settings.url),
        headers: Vec::new(),
        body: arguments.into(),
        within_ms: 0,
        limit: ANSWER_LIMIT,
    };
    request.set("content-type", &"application/json");
    // Without it, PostgREST looks in the first schema that the project exposes.
    request.set("content-profile", &"public");
    let key = &settings.service_role;
    // The API's gateway wants either form in `apikey`; a legacy key is also the bearer token.
    match (&key.sb, &key.jwt) {
        (None, Some(jwt)) => {
            request.set("apikey", jwt);
            request.set("authorization", &format_args!("Bearer {jwt}"));
        }
        (sb, _) => request.set("apikey", &sb.as_deref().unwrap_or_default()),
    }
    request
}

/// What `end_current_jobs` returned for each report, in their order: None for one that has to be sent by
/// itself. Empty if all have to.
pub(crate) fn results(end: Result<Response, Failure>) -> Vec<Option<RpcResult>> {
    let Ok(response) = end else {
        return Vec::new();
    };
    if !(200..300).contains(&response.status) || response.body_end != BodyEnd::Complete {
        return Vec::new();
    }
    json::from_str(&String::from_utf8_lossy(&response.body)).unwrap_or_default()
}

/// What the end of a call means.
pub(crate) fn verdict(end: Result<Response, Failure>, now: Timestamp) -> Verdict {
    let response = match end {
        Ok(response) => response,
        Err(Failure::Aborted) => return unreachable("no answer in time".into()),
        Err(Failure::Network(reason)) => return unreachable(reason),
        Err(Failure::RateLimited { retry_after_ms }) => {
            return Verdict::Unreachable {
                reason: "rate limit of the runtime".into(),
                after_ms: Some(saturate_to_integer(retry_after_ms)),
            };
        }
    };
    match response.body_end {
        BodyEnd::Complete => {
            let text = String::from_utf8_lossy(&response.body);
            let retry_after = response.retry_after.as_deref();
            answered(response.status, retry_after, &text, now)
        }
        BodyEnd::Truncated => unreachable("the answer is too long".into()),
        BodyEnd::Aborted => unreachable("the answer was cut off".into()),
        BodyEnd::Failed(reason) => unreachable(reason),
    }
}

fn answered(status: u16, retry_after: Option<&str>, body: &str, now: Timestamp) -> Verdict {
    if (200..300).contains(&status) {
        return match json::from_str(body) {
            Ok(result) => Verdict::Returned(result),
            Err(error) => unreachable(format!("the answer was not understood: {error}")),
        };
    }
    let error: ApiError = json::from_str(body).unwrap_or_default();
    let code = error.code.unwrap_or_default();
    if code == NO_SUCH_FUNCTION {
        return unreachable(
            "the Data API does not know Supaqueue's functions: apply its migration (`supaqueue install` for this project), \
             or delete this function; if it was installed just now, run: notify pgrst, 'reload schema'"
                .into(),
        );
    }
    let message = error.message.unwrap_or_default();
    let reason = format!("status {status} {code} {message}");
    let reason = reason.trim_end().to_owned();
    if status == 413 || is_about_content(&code) {
        return Verdict::Refused(reason);
    }
    Verdict::Unreachable {
        reason,
        after_ms: retry_after.and_then(|value| retry_after_ms(value, now)),
    }
}

/// Whether a SQLSTATE is about the values that were sent: class 22 (data exception), and 54 (a program
/// limit: JSON nested too deep, for example). The rest may be over later, rights included.
fn is_about_content(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("22") || code.starts_with("54"))
}

/// The same call may succeed later, at any time.
pub(crate) fn unreachable(reason: String) -> Verdict {
    Verdict::Unreachable {
        reason,
        after_ms: None,
    }
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
