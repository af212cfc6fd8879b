//! The life of a job as spans of time: what it waited for, its attempts, its end.

use jiff::Timestamp;
use serde_json::Value;

/// What a job did during a span.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// Not due yet: its `run_at`, or a retry's backoff.
    Delay,
    /// Due, or held, without a call.
    Wait,
    /// A call that failed.
    Failed,
    /// A call that succeeded.
    Successful,
    /// A call without an outcome: it is under way, or was cancelled.
    Call,
}

/// A part of a job's life.
#[derive(Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    /// The number of the attempt, of a call.
    pub(crate) attempt: Option<i64>,
    pub(crate) from: Timestamp,
    /// None: it has not ended.
    pub(crate) to: Option<Timestamp>,
    /// False: the call began some time in the span, and nobody knows when.
    pub(crate) is_exact: bool,
}

impl Span {
    fn new(kind: Kind, from: Timestamp, to: Timestamp) -> Self {
        Self {
            kind,
            attempt: None,
            from,
            to: Some(to),
            is_exact: true,
        }
    }

    /// How long it took, or has taken until now.
    pub(crate) fn ms(&self, now: Timestamp) -> i64 {
        (self.to.unwrap_or(now).as_millisecond() - self.from.as_millisecond()).max(0)
    }
}

/// The spans of a job, as `supaqueue.show_job` describes it, in the order of time and without gaps.
pub(crate) fn spans(job: &Value, attempts: &[Value], now: Timestamp) -> Vec<Span> {
    let status = job["status"].as_str().unwrap_or_default();
    let Some(created) = time(&job["created_at"]) else {
        return Vec::new();
    };
    let started = time(&job["started_at"]);
    let mut life = Life {
        spans: Vec::new(),
        until: created,
    };
    // One without a message is the last, and did not fail.
    let failed = match attempts {
        [failed @ .., last] if last["message"].is_null() => failed,
        attempts => attempts,
    };
    for (i, attempt) in failed.iter().enumerate() {
        let Some(end) = time(&attempt["at"]) else {
            continue;
        };
        let is_last = i + 1 == failed.len();
        let start = time(&attempt["started_at"])
            .or(started.filter(|_| is_last))
            .filter(|start| *start <= end);
        life.wait(start, time(&attempt["run_at"]));
        life.call(Kind::Failed, attempt["attempt"].as_i64(), start, Some(end));
    }
    // The start of an attempt that is not among the failed ones.
    let start = started.filter(|start| failed.is_empty() || *start > life.until);
    let number = job["attempts"].as_i64();
    let due = time(&job["run_at"]);
    let end = time(&job["finished_at"]);
    match (status, start) {
        ("successful", _) => {
            life.wait(start, due);
            life.call(Kind::Successful, number, start, end);
        }
        ("in_progress" | "cancelled" | "failed", Some(_)) => {
            life.wait(start, due);
            life.call(Kind::Call, number, start, end);
        }
        // Settling its last attempt is no wait.
        ("failed", None) if !failed.is_empty() => {}
        ("cancelled" | "failed", None) => life.wait(end, due),
        _ => {
            life.wait(Some(now), due);
            match life.spans.last_mut() {
                Some(last) if last.attempt.is_none() && last.to == Some(now) => {
                    last.to = due.filter(|due| *due > now)
                }
                _ => life.spans.push(Span {
                    to: due.filter(|due| *due > now),
                    ..Span::new(Kind::Wait, now, now)
                }),
            }
        }
    }
    life.spans
}

struct Life {
    spans: Vec<Span>,
    /// The end of the last span.
    until: Timestamp,
}

impl Life {
    /// Waits until `end`, first for `due` if that lies in between.
    fn wait(&mut self, end: Option<Timestamp>, due: Option<Timestamp>) {
        let Some(end) = end.filter(|end| *end > self.until) else {
            return;
        };
        let due = due.unwrap_or(self.until).clamp(self.until, end);
        if due > self.until {
            self.spans.push(Span::new(Kind::Delay, self.until, due));
        }
        if end > due {
            self.spans.push(Span::new(Kind::Wait, due, end));
        }
        self.until = end;
    }

    fn call(
        &mut self,
        kind: Kind,
        attempt: Option<i64>,
        start: Option<Timestamp>,
        end: Option<Timestamp>,
    ) {
        let end = end.map(|end| end.max(self.until));
        self.spans.push(Span {
            kind,
            attempt,
            from: self.until,
            to: end,
            is_exact: start.is_some(),
        });
        self.until = end.unwrap_or(self.until);
    }
}

/// The widths of the spans in a bar, which add up to `width`: by their duration, and none so small that it is not seen.
pub(crate) fn widths(spans: &[Span], now: Timestamp, width: f64) -> Vec<f64> {
    let least = (width / 50.0).min(width / 2.0 / spans.len() as f64);
    let total: i64 = spans.iter().map(|span| span.ms(now)).sum();
    let share = |span: &Span| {
        if total > 0 {
            span.ms(now) as f64 / total as f64
        } else {
            1.0 / spans.len() as f64
        }
    };
    spans
        .iter()
        .map(|span| least + (width - least * spans.len() as f64) * share(span))
        .collect()
}

/// A time of the database in JSON. None: there is none, or it is infinite.
fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    /// 10:00 and some seconds.
    fn at(second: i64) -> Timestamp {
        "2026-11-30T10:00:00Z".parse::<Timestamp>().unwrap()
            + jiff::SignedDuration::from_secs(second)
    }

    fn text(second: i64) -> String {
        at(second).to_string().replace('Z', "+00:00")
    }

    /// The spans of a job inserted at 0, a minute later, as `wait 0-2`.
    fn check(mut job: Value, attempts: &[Value], want: &str) {
        job["created_at"] = json!(text(0));
        let mut attempts = attempts.to_vec();
        if job["attempts"] != attempts.len()
            && job["status"] != "pending"
            && !job["started_at"].is_null()
        {
            attempts.push(json!({"attempt": job["attempts"], "at": job["finished_at"], "started_at": job["started_at"]}));
        }
        let spans = spans(&job, &attempts, at(60));
        let second = |time: Timestamp| time.as_second() - at(0).as_second();
        let found: Vec<_> = spans
            .iter()
            .map(|span| {
                let number = span
                    .attempt
                    .map_or(String::new(), |number| format!(" {number}"));
                let about = if span.is_exact { "" } else { "about " };
                let end = span.to.map_or(String::new(), |end| second(end).to_string());
                format!("{:?}{number} {about}{}-{end}", span.kind, second(span.from))
            })
            .collect();
        assert_eq!(found.join(", "), want, "{job} {attempts:?}");
    }

    #[test]
    fn a_job_waits_is_called_and_ends() {
        let job = |status: &str, run_at, started: Option<i64>, finished: Option<i64>| {
            json!({
                "status": status, "attempts": started.map_or(0, |_| 1), "run_at": text(run_at),
                "started_at": started.map(text), "finished_at": finished.map(text)
            })
        };
        check(
            job("successful", 0, Some(2), Some(5)),
            &[],
            "Wait 0-2, Successful 1 2-5",
        );
        check(
            job("successful", 0, Some(0), Some(5)),
            &[],
            "Successful 1 0-5",
        );
        check(
            job("successful", 10, Some(12), Some(15)),
            &[],
            "Delay 0-10, Wait 10-12, Successful 1 12-15",
        );
        check(
            job("in_progress", 0, Some(2), None),
            &[],
            "Wait 0-2, Call 1 2-",
        );
        check(job("pending", 0, None, None), &[], "Wait 0-");
        check(job("pending", 90, None, None), &[], "Delay 0-90");
        check(job("cancelled", 0, None, Some(4)), &[], "Wait 0-4");
        check(
            job("cancelled", 0, Some(2), Some(4)),
            &[],
            "Wait 0-2, Call 1 2-4",
        );
        check(
            json!({"status": "waiting", "run_at": "infinity"}),
            &[],
            "Wait 0-",
        );
    }

    #[test]
    fn retries_have_waits_between_them() {
        let failed =
            |attempt: i64, end| json!({"attempt": attempt, "at": text(end), "message": "no"});
        let exact = |attempt: i64, start, end| json!({"attempt": attempt, "at": text(end), "started_at": text(start), "message": "no"});
        let job = |status: &str, run_at, started, finished: Option<i64>| {
            json!({
                "status": status, "attempts": 3, "run_at": text(run_at), "started_at": text(started),
                "finished_at": finished.map(text)
            })
        };
        check(
            job("failed", 20, 21, Some(24)),
            &[exact(1, 1, 3), exact(2, 8, 9), failed(3, 23)],
            "Wait 0-1, Failed 1 1-3, Wait 3-8, Failed 2 8-9, Wait 9-21, Failed 3 21-23",
        );
        check(
            job("successful", 20, 21, Some(23)),
            &[failed(1, 3), failed(2, 9)],
            "Failed 1 about 0-3, Failed 2 about 3-9, Delay 9-20, Wait 20-21, Successful 3 21-23",
        );
        check(
            job("pending", 90, 1, None),
            &[exact(1, 1, 3)],
            "Wait 0-1, Failed 1 1-3, Delay 3-90",
        );
        check(
            job("pending", 30, 1, None),
            &[exact(1, 1, 3)],
            "Wait 0-1, Failed 1 1-3, Delay 3-30, Wait 30-",
        );
        check(
            job("in_progress", 30, 31, None),
            &[exact(1, 1, 3), exact(2, 8, 9)],
            "Wait 0-1, Failed 1 1-3, Wait 3-8, Failed 2 8-9, Delay 9-30, Wait 30-31, Call 3 31-",
        );
        check(
            job("cancelled", 5, 6, Some(8)),
            &[failed(1, 3)],
            "Failed 1 about 0-3, Delay 3-5, Wait 5-6, Call 3 6-8",
        );
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_negative_spans() {
        let job = json!({"created_at": text(10), "status": "successful", "started_at": text(5), "finished_at": text(3)});
        assert!(
            spans(&job, &[], at(0))
                .iter()
                .all(|span| span.ms(at(0)) >= 0)
        );
        assert_eq!(spans(&json!({}), &[], at(0)), []);
    }

    #[test]
    fn a_short_call_can_be_seen_beside_a_long_wait() {
        let spans = [
            Span::new(Kind::Wait, at(0), at(1_000_000)),
            Span::new(Kind::Successful, at(0), at(0)),
        ];
        let widths = widths(&spans, at(0), 1000.0);
        assert!(widths[1] >= 20.0, "{widths:?}");
        assert!(
            (widths.iter().sum::<f64>() - 1000.0).abs() < 0.001,
            "{widths:?}"
        );
        let many: Vec<_> = (0..2000)
            .map(|_| Span::new(Kind::Wait, at(0), at(0)))
            .collect();
        assert!((super::widths(&many, at(0), 1000.0).iter().sum::<f64>() - 1000.0).abs() < 0.001);
        assert_eq!(super::widths(&[], at(0), 1000.0), [0.0; 0]);
    }
}
