//! The targets, such as `chaos-quick`, and their faults.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::http::HeaderMap;

use super::Shared;
use super::http::{Answer, Cut, answer};
use crate::lock;
use crate::log::OpenCall;
use crate::random::chance;

/// The percentage of calls that hit a fault.
const PERCENT: u8 = 40;
/// How many calls per second the rate-limited target accepts.
const RATE: u32 = 8;
/// How long a call hangs, which is longer than any timeout.
const HANGS_FOR: Duration = Duration::from_secs(600);

/// A fault of the targets.
#[derive(Debug, Clone, Copy, Default)]
pub enum TargetFault {
    /// None besides the failures that some targets always have.
    #[default]
    None,
    /// They do not answer.
    Hangs,
    /// They cut the connection, without an answer or in the middle of one.
    Cuts,
    /// They answer byte by byte, for two seconds.
    Drips,
    /// They answer with 100 MB.
    Floods,
}

/// The rate limit of a target: the start of the current second, and the calls in it.
#[derive(Debug, Default)]
pub(super) struct RateLimit(Mutex<Option<(Instant, u32)>>);

impl RateLimit {
    /// Counts a call. Returns whether the limit allows it.
    fn allow(&self) -> bool {
        let mut window = lock(&self.0);
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
        let mut rng = self.seed.rng(&format!("{job} {attempt}"));
        let time = match kind {
            "quick" => rng.u64(..20),
            "slow" => rng.u64(200..800),
            // Long enough for several to be in memory at once.
            "large" => rng.u64(200..400),
            _ => rng.u64(5..55),
        };
        tokio::time::sleep(Duration::from_millis(time)).await;

        // Marked in a header because bodies are not read here.
        let is_doomed = headers.contains_key("chaos-is-doomed");
        let fault = self.faults().target;
        if !is_doomed && chance(&mut rng, PERCENT) {
            self.count_hit(!matches!(fault, TargetFault::None));
            match fault {
                TargetFault::None => {}
                TargetFault::Hangs => tokio::time::sleep(HANGS_FOR).await,
                TargetFault::Cuts if chance(&mut rng, 50) => return Err(Cut),
                TargetFault::Cuts => return stream_answer(call, CUT),
                TargetFault::Drips => return stream_answer(call, DRIP),
                TargetFault::Floods => return stream_answer(call, FLOOD),
            }
        }
        let fails = is_doomed || kind == "failing" && chance(&mut rng, 25);
        let status = match kind {
            "limited" if !self.rate_limit.allow() => 429,
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

/// A body that is sent as equal chunks with pauses, and may be cut off after the last one.
#[derive(Clone, Copy)]
struct Chunks {
    chunk: &'static [u8],
    number: u32,
    pause: Duration,
    is_cut: bool,
}

const CUT: Chunks = Chunks {
    chunk: b"{\"half\": ",
    number: 1,
    pause: Duration::from_millis(10),
    is_cut: true,
};

const DRIP: Chunks = Chunks {
    chunk: b".",
    number: 40,
    pause: Duration::from_millis(50),
    is_cut: false,
};

const FLOOD: Chunks = Chunks {
    chunk: &[b'x'; 100_000],
    number: 1000,
    pause: Duration::ZERO,
    is_cut: false,
};

/// Answers 200 and streams the body. The call ends with the last chunk, or when the caller disconnects.
fn stream_answer(call: OpenCall, chunks: Chunks) -> Result<Answer, Cut> {
    call.answer(200);
    let frames = stream::unfold(Some((call, 0)), move |state| async move {
        let (call, sent) = state?;
        if sent < chunks.number {
            tokio::time::sleep(chunks.pause).await;
            let frame = Frame::data(Bytes::from_static(chunks.chunk));
            return Some((Ok(frame), Some((call, sent + 1))));
        }
        if chunks.is_cut {
            return Some((Err(Cut), None));
        }
        call.end();
        None
    });
    let mut answer = answer(200, "")?;
    *answer.body_mut() = StreamBody::new(frames).boxed_unsync();
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_limit_allows_a_number_of_calls_per_second() {
        let limit = RateLimit::default();
        let allowed = (0..100).filter(|_| limit.allow()).count();
        // More than the limit if a new second begins in between.
        assert!(allowed >= RATE as usize && allowed < 100, "{allowed}");
    }
}
