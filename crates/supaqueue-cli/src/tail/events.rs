//! What has happened to jobs, from what is seen of them again and again.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// How long a failed attempt is remembered: a job that is retried brings it along each time it is seen.
const MEMORY: SignedDuration = SignedDuration::from_mins(10);

/// A job as it is seen.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Job {
    pub(super) id: String,
    status: Kind,
    attempts: u32,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    http_status: Option<i32>,
    duration_ms: Option<i64>,
    /// The state of its call.
    pub(super) call: Option<String>,
    errors: Vec<Attempt>,
}

/// A failed attempt.
#[derive(Debug, Clone, Deserialize)]
struct Attempt {
    attempt: Option<u32>,
    at: Option<Timestamp>,
    status: Option<i32>,
    message: Option<String>,
}

/// What has happened; also read from the status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// A call began.
    #[serde(alias = "in_progress")]
    Started,
    /// An attempt failed that is followed by another.
    #[serde(alias = "pending", alias = "waiting")]
    Retry,
    Successful,
    Failed,
    Cancelled,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Retry => "retry",
            Self::Successful => "successful",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Something that has happened to a job. `--json` prints it: names stay.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    pub(super) id: String,
    #[serde(rename = "event")]
    pub(super) kind: Kind,
    pub(super) attempt: u32,
    pub(super) http_status: Option<i32>,
    pub(super) duration_ms: Option<i64>,
    pub(super) message: Option<String>,
}

/// What has been told.
pub(super) struct Events {
    begin: Timestamp,
    /// Of which job, what, and in which attempt, with its time.
    told: HashMap<(String, Kind, u32), Timestamp>,
}

impl Events {
    /// Tells what happens from `begin` on.
    pub(super) fn new(begin: Timestamp) -> Self {
        Self {
            begin,
            told: HashMap::new(),
        }
    }

    /// What is new of these jobs, in order. They are all that have a call, and all that have ended since `since`.
    pub(super) fn next(&mut self, jobs: Vec<Job>, since: Timestamp, now: Timestamp) -> Vec<Event> {
        let oldest = now.checked_sub(MEMORY).unwrap_or(Timestamp::MIN);
        let called = jobs.iter().filter(|job| job.call.is_some());
        let called: HashSet<String> = called.map(|job| job.id.clone()).collect();
        let mut new = Vec::new();
        for job in jobs {
            self.look_at(job, oldest, &mut new);
        }
        // What cannot come again is forgotten.
        self.told.retain(|(id, kind, _), at| match kind {
            Kind::Started => called.contains(id),
            Kind::Retry => *at >= oldest,
            _ => *at >= since.min(oldest),
        });
        new.sort_by_key(|event: &Event| event.at);
        new
    }

    fn look_at(&mut self, job: Job, oldest: Timestamp, new: &mut Vec<Event>) {
        let is_over = job.finished_at.is_some();
        for error in &job.errors {
            let (Some(at), Some(attempt)) = (error.at, error.attempt) else {
                continue;
            };
            let is_last = attempt == job.attempts;
            if is_last && job.status == Kind::Failed {
                // The end says it, also after the job was retried by hand.
                self.told.insert((job.id.clone(), Kind::Retry, attempt), at);
            } else if at >= oldest {
                self.tell(
                    new,
                    Event {
                        at,
                        id: job.id.clone(),
                        kind: Kind::Retry,
                        attempt,
                        http_status: error.status,
                        duration_ms: job.duration_ms.filter(|_| is_last),
                        message: error.message.clone(),
                    },
                );
            }
        }
        if let (Some(at), Some("started")) = (job.started_at, job.call.as_deref())
            && !is_over
        {
            self.tell(
                new,
                Event {
                    at,
                    id: job.id.clone(),
                    kind: Kind::Started,
                    attempt: job.attempts,
                    http_status: None,
                    duration_ms: None,
                    message: None,
                },
            );
        }
        if let Some(at) = job.finished_at {
            let has_called = job.status != Kind::Cancelled;
            let message = job.errors.last().and_then(|error| error.message.clone());
            self.tell(
                new,
                Event {
                    at,
                    id: job.id,
                    kind: job.status,
                    attempt: job.attempts,
                    http_status: job.http_status.filter(|_| has_called),
                    duration_ms: job.duration_ms.filter(|_| has_called),
                    message: message.filter(|_| job.status == Kind::Failed),
                },
            );
        }
    }

    /// Adds what has not been told. What a job goes through again after a retry by hand has another time.
    fn tell(&mut self, new: &mut Vec<Event>, event: Event) {
        let what = (event.id.clone(), event.kind, event.attempt);
        if event.at >= self.begin && self.told.insert(what, event.at) != Some(event.at) {
            new.push(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn job(fields: Value) -> Job {
        let mut job = json!({"id": "a", "status": "pending", "attempts": 1, "errors": []});
        job.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        serde_json::from_value(job).unwrap()
    }

    fn told(events: &mut Events, job: &Job, second: i64) -> Vec<(&'static str, u32)> {
        let new = events.next(vec![job.clone()], at(second - 2), at(second));
        new.iter()
            .map(|event| (event.kind.word(), event.attempt))
            .collect()
    }

    #[test]
    fn each_event_is_told_once() {
        let mut events = Events::new(at(0));
        let running = job(json!({"status": "in_progress", "call": "started", "started_at": at(1)}));
        assert_eq!(told(&mut events, &running, 2), [("started", 1)]);
        assert_eq!(told(&mut events, &running, 3), []);
        let error = json!({"attempt": 1, "at": at(3), "status": 500, "message": "status 500"});
        let retried = job(json!({"errors": [error]}));
        assert_eq!(told(&mut events, &retried, 4), [("retry", 1)]);
        assert_eq!(told(&mut events, &retried, 5), []);
        let second = json!({"attempt": 2, "at": at(6), "status": 500, "message": "status 500"});
        let failed = job(
            json!({"status": "failed", "attempts": 2, "errors": [error, second], "finished_at": at(6)}),
        );
        assert_eq!(told(&mut events, &failed, 7), [("failed", 2)]);
        assert_eq!(told(&mut events, &failed, 8), []);
        // By hand, with all its attempts.
        let again =
            job(json!({"status": "successful", "errors": [error, second], "finished_at": at(9)}));
        assert_eq!(told(&mut events, &again, 10), [("successful", 1)]);
    }

    #[test]
    fn what_was_before_is_not_told_and_nothing_is_kept_for_ever() {
        let mut events = Events::new(at(0));
        let old = job(json!({"status": "successful", "finished_at": at(-1)}));
        assert_eq!(told(&mut events, &old, 1), []);
        for second in 1..100 {
            let id = second.to_string();
            let ended = job(json!({"id": id, "status": "cancelled", "finished_at": at(second)}));
            assert_eq!(told(&mut events, &ended, second), [("cancelled", 1)]);
        }
        assert_eq!(events.next(Vec::new(), at(10_000), at(10_000)), []);
        assert!(events.told.is_empty());
    }
}
