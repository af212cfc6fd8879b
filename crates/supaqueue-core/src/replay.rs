//! A job's call made once more, outside a run, as `supaqueue replay` makes it: the same request to another
//! address, and what its answer would mean. Nothing is reported.

use crate::config::ProjectKey;
use crate::fetch::{Failure, Request, Response};
use crate::json;
use crate::outcome::{Outcome, outcome};
use crate::protocol::{Assignment, Auth};
use crate::signature::Keys;
use crate::target::{CannotCall, add_signature, authorize, unsigned};
use crate::time::Timestamp;
use crate::trace::Trace;

/// As much of an answer as the function reads by default, in bytes.
const RESULT_LIMIT: usize = 262_144;

/// A job with its queue.
#[derive(Debug)]
pub struct Replay(Assignment);

/// What an answer means for the job.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The job would be successful.
    Successful,
    /// The attempt would have failed.
    Failed {
        /// Why, as one line.
        message: String,
        /// Whether there would be no retry, however many attempts are left.
        is_final: bool,
        /// When a retry would come at the earliest, in milliseconds, if the answer says so.
        retry_after_ms: Option<u32>,
    },
}

impl Replay {
    /// Reads `{"current_job": …, "job": …, "queue": …}`, as a run gets it.
    ///
    /// # Errors
    /// What was expected of the text instead.
    pub fn read(record: &str) -> Result<Self, json::Error> {
        json::from_str(record).map(Self)
    }

    /// Whether the function would send one of the project's keys with the call.
    #[must_use]
    pub fn has_project_key(&self) -> bool {
        self.0.queue.auth != Auth::None
    }

    /// The request to a function at `address`, to which the job's path is added. `random` makes the trace. A
    /// project key replaces the one that the function would send; without `keys` nothing is signed.
    ///
    /// # Errors
    /// Why nobody could make this call.
    pub fn request(
        &self,
        address: &str,
        keys: Option<&Keys>,
        key: Option<&ProjectKey>,
        random: u128,
        now: Timestamp,
    ) -> Result<Request, String> {
        let trace = Trace::new(None, random.to_be_bytes());
        let span = (random >> 64) as u64;
        let mut request = unsigned(&self.0, address.to_owned(), RESULT_LIMIT, trace, span, now)
            .map_err(|reason| match reason {
                CannotCall::Ever(reason) | CannotCall::Yet(reason) => reason,
            })?;
        if let Some(key) = key {
            authorize(&mut request, key);
        }
        if let Some(keys) = keys {
            add_signature(&mut request, &self.0, keys, now);
        }
        Ok(request)
    }

    /// What the end of the call means.
    #[must_use]
    pub fn verdict(&self, end: Result<Response, Failure>, now: Timestamp) -> Verdict {
        let Outcome::Settled {
            is_successful,
            report,
        } = outcome(end, &self.0.queue.final_statuses, self.0.timeout_ms(), now)
        else {
            // Only the edge runtime holds requests back.
            return Verdict::Failed {
                message: "no call was made".into(),
                is_final: false,
                retry_after_ms: None,
            };
        };
        if is_successful {
            return Verdict::Successful;
        }
        Verdict::Failed {
            message: report.error.map(|error| error.message).unwrap_or_default(),
            is_final: report.is_final == Some(true),
            retry_after_ms: report.retry_after_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{
        "current_job": {"id": "0af76519-16cd-43dd-8448-eb211c80319c"},
        "job": {
            "id": "0af76519-16cd-43dd-8448-eb211c80319c", "payload": {"n": 1.10}, "attempts": 2,
            "headers": {"X-Mine": "b", "webhook-id": "forged", "authorization": "Bearer mine"}, "path": "a?b=c", "timeout_ms": 500
        },
        "queue": {
            "id": "0af76519-16cd-43dd-8448-eb211c80319d", "name": "q", "edge_function_name": "hello", "path": null,
            "auth": "service_role", "default_headers": {"x-mine": "a"}, "timeout_ms": 60000, "final_statuses": [418]
        }
    }"#;
    const NOW: Timestamp = Timestamp::from_ms(1_700_000_000_000);

    fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
        let mut headers = request.headers.iter();
        headers.find_map(|(known, value)| (known == name).then_some(value.as_str()))
    }

    #[test]
    fn without_keys_the_call_is_the_functions_but_for_key_and_signature() {
        let replay = Replay::read(RECORD).unwrap();
        assert!(replay.has_project_key());
        let request = replay
            .request("http://127.0.0.1:9/x", None, None, 7, NOW)
            .unwrap();
        assert_eq!(request.url, "http://127.0.0.1:9/x/a?b=c");
        assert_eq!(&*request.body, r#"{"n": 1.10}"#);
        assert_eq!(request.within_ms, 500);
        assert_eq!(header(&request, "x-mine"), Some("b"));
        assert_eq!(header(&request, "supaqueue-attempt"), Some("2"));
        for name in ["authorization", "apikey", "webhook-id", "webhook-signature"] {
            assert_eq!(header(&request, name), None, "{name}");
        }
        let keys = Keys::parse("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let key = ProjectKey {
            jwt: Some("jwt".into()),
            sb: None,
        };
        let request = replay
            .request("http://x", Some(&keys), Some(&key), 7, NOW)
            .unwrap();
        assert_eq!(header(&request, "authorization"), Some("Bearer jwt"));
        assert_eq!(
            header(&request, "webhook-id"),
            Some("call_0af76519-16cd-43dd-8448-eb211c80319c")
        );
        assert!(
            header(&request, "webhook-signature")
                .unwrap()
                .starts_with("v1,")
        );
    }

    #[test]
    fn the_verdict_is_that_of_a_run() {
        let replay = Replay::read(RECORD).unwrap();
        let answer = |status, supaqueue_retry: Option<&str>| {
            let response = Response {
                status,
                supaqueue_retry: supaqueue_retry.map(str::to_owned),
                retry_after: Some("2".into()),
                ..Response::default()
            };
            replay.verdict(Ok(response), NOW)
        };
        let failed = |message: &str, is_final, retry_after_ms| Verdict::Failed {
            message: message.into(),
            is_final,
            retry_after_ms,
        };
        assert_eq!(answer(204, None), Verdict::Successful);
        assert_eq!(answer(500, None), failed("status 500", false, None));
        assert_eq!(answer(418, None), failed("status 418", true, None));
        assert_eq!(answer(500, Some("no")), failed("status 500", true, None));
        assert_eq!(answer(429, None), failed("status 429", false, Some(2000)));
        assert_eq!(
            replay.verdict(Err(Failure::Aborted), NOW),
            failed("no answer within 500 ms", false, None)
        );
    }
}
