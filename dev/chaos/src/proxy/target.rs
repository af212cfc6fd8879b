//! The targets, `chaos-quick` and so on, and what goes wrong with them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::HeaderMap;

use super::Shared;
use super::http::{Answer, Cut, answer};
use crate::log::OpenCall;

/// So many of 100 calls go wrong.
const PERCENT: u64 = 40;
/// How many calls a second the target with a rate limit takes.
const RATE: u32 = 8;
/// How long a call hangs: longer than any caller waits.
const HANGS_FOR: Duration = Duration::from_secs(600);

/// What goes wrong with calls of targets.
#[derive(Debug, Clone, Copy, Default)]
pub enum TargetFault {
    /// Nothing but what the target does by itself.
    #[default]
    None,
    /// No answer.
    Hangs,
    /// The connection is cut, without an answer or in the midst of it.
    Cuts,
    /// The answer comes byte by byte, for two seconds.
    Drips,
    /// The answer is 100 MB long.
    Floods,
}

/// What the targets remember.
#[derive(Debug, Default)]
pub(super) struct Targets(Mutex<Option<(Instant, u32)>>);

impl Targets {
    /// Whether a target with a rate limit takes one more call now.
    fn has_room(&self) -> bool {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, taken) = window
            .filter(|(since, _)| since.elapsed() < Duration::from_secs(1))
            .unwrap_or((Instant::now(), 0));
        *window = Some((since, taken + 1));
        taken < RATE
    }
}

impl Shared {
    pub(super) async fn call_target(&self, kind: &str, headers: &HeaderMap) -> Result<Answer, Cut> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let (Some(queue), Some(job), Some(attempt)) = (
            text("supaqueue-queue"),
            text("supaqueue-job-id"),
            text("supaqueue-attempt").and_then(|attempt| attempt.parse().ok()),
        ) else {
            return answer(400, r#"{"message":"not a call of a job"}"#);
        };
        let call = self.log.begin(queue, job, attempt);
        let mut random = self.random.part(&format!("{job} {attempt}"));
        let time = match kind {
            "quick" => random.below(20),
            "slow" => 200 + random.below(600),
            _ => 5 + random.below(50),
        };
        tokio::time::sleep(Duration::from_millis(time)).await;

        // A doomed job says so in its headers, which its queue does not: bodies are not read here.
        let is_doomed = headers.contains_key("chaos-is-doomed");
        let fault = self.faults().target;
        if !is_doomed && random.percent(PERCENT) {
            self.meet(!matches!(fault, TargetFault::None));
            match fault {
                TargetFault::None => {}
                TargetFault::Hangs => tokio::time::sleep(HANGS_FOR).await,
                TargetFault::Cuts if random.percent(50) => return Err(Cut),
                TargetFault::Cuts => return in_parts(call, cut_in_the_midst()),
                TargetFault::Drips => return in_parts(call, dripping()),
                TargetFault::Floods => return in_parts(call, flooding()),
            }
        }
        let fails = is_doomed || kind == "failing" && random.percent(25);
        let status = match kind {
            "limited" if !self.targets.has_room() => 429,
            _ if fails => 500,
            _ => 200,
        };
        call.answer(status);
        call.end();
        let mut answer = answer(status, format!(r#"{{"job":"{job}","attempt":{attempt}}}"#))?;
        if status == 429 {
            let second = HeaderValue::from_static("1");
            answer.headers_mut().insert(RETRY_AFTER, second);
        }
        Ok(answer)
    }
}

/// A body as a list of parts, each after a time. The last may be missing: then it is cut there.
struct Parts {
    part: Bytes,
    number: u32,
    pause: Duration,
    is_cut: bool,
}

fn cut_in_the_midst() -> Parts {
    Parts {
        part: Bytes::from_static(b"{\"half\": "),
        number: 1,
        pause: Duration::from_millis(10),
        is_cut: true,
    }
}

fn dripping() -> Parts {
    Parts {
        part: Bytes::from_static(b"."),
        number: 40,
        pause: Duration::from_millis(50),
        is_cut: false,
    }
}

fn flooding() -> Parts {
    Parts {
        part: Bytes::from_static(&[b'x'; 100_000]),
        number: 1000,
        pause: Duration::ZERO,
        is_cut: false,
    }
}

/// Answers 200 with a body in parts. The call is over when the last has left, or nobody wants it.
fn in_parts(call: OpenCall, parts: Parts) -> Result<Answer, Cut> {
    call.answer(200);
    let frames = stream::unfold(Some((call, 0)), move |sent| {
        let part = parts.part.clone();
        let Parts {
            number,
            pause,
            is_cut,
            ..
        } = parts;
        async move {
            let (call, sent) = sent?;
            if sent < number {
                tokio::time::sleep(pause).await;
                return Some((Ok(Frame::data(part)), Some((call, sent + 1))));
            }
            if is_cut {
                return Some((Err(Cut), None));
            }
            call.end();
            None
        }
    });
    let mut answer = answer(200, "")?;
    *answer.body_mut() = StreamBody::new(frames).boxed_unsync();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_with_a_rate_limit_takes_so_many_calls_at_once() {
        let targets = Targets::default();
        let taken = (0..100).filter(|_| targets.has_room()).count();
        // A second may end meanwhile.
        assert!(taken >= RATE as usize && taken < 100, "{taken}");
    }
}
