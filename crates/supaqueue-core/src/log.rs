//! The function's log: one JSON object per line and event.
//!
//! A line never contains a payload, a header, a target's response or a key.

use crate::excerpt::one_line;
use crate::json::Object;
use crate::protocol::{Assignment, CurrentJobId, JobId};

/// The severity of a line, named like the methods of `console`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The owner has to act.
    Error,
    /// A call failed, or a request was rejected or has to be repeated.
    Warn,
    /// Each step in the life of a job.
    Info,
    /// Everything else.
    Debug,
}

impl Level {
    /// The level with that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug]
            .into_iter()
            .find(|level| level.name() == name)
    }

    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// One line. Its fields can be filtered by in the platform's log explorer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its severity.
    pub level: Level,
    /// What happened, in snake case.
    pub event: &'static str,
    /// The queue's name.
    pub queue: Option<String>,
    /// The job.
    pub job: Option<JobId>,
    /// The current job: one attempt of the job.
    pub current_job: Option<CurrentJobId>,
    /// The number of the attempt, from 1.
    pub attempt: Option<u32>,
    /// The target's HTTP status.
    pub status: Option<u16>,
    /// The duration of the call.
    pub duration_ms: Option<u32>,
    /// The number of jobs in a dispatch.
    pub count: Option<usize>,
    /// The reason, and what to do about it.
    pub message: Option<String>,
}

impl Entry {
    /// A line about the function as a whole.
    pub(crate) fn new(level: Level, event: &'static str) -> Self {
        Self {
            level,
            event,
            queue: None,
            job: None,
            current_job: None,
            attempt: None,
            status: None,
            duration_ms: None,
            count: None,
            message: None,
        }
    }

    /// A line about a job.
    pub(crate) fn of(level: Level, event: &'static str, assignment: &Assignment) -> Self {
        let mut entry = Self::new(level, event);
        entry.queue = Some(assignment.queue.name.clone());
        entry.job = Some(assignment.job.id);
        entry.current_job = Some(assignment.current_job.id);
        entry.attempt = Some(assignment.job.attempts.get());
        entry
    }

    /// Adds the reason, as one line.
    pub(crate) fn because(mut self, message: &str) -> Self {
        self.message = Some(one_line(message));
        self
    }

    /// The line as JSON.
    #[must_use]
    pub fn line(&self) -> String {
        Object::default()
            .text("level", Some(self.level.name()))
            .text("event", Some(self.event))
            .text("queue", self.queue.as_deref())
            .text("job", self.job.map(|id| id.0.to_string()).as_deref())
            .text(
                "current_job",
                self.current_job.map(|id| id.0.to_string()).as_deref(),
            )
            .plain("attempt", self.attempt)
            .plain("status", self.status)
            .plain("duration_ms", self.duration_ms)
            .plain("count", self.count)
            .text("message", self.message.as_deref())
            .end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uuid::Uuid;

    #[test]
    fn a_line_has_the_fields_that_are_set() {
        let entry = Entry::new(Level::Warn, "refused").because("two\nlines");
        assert_eq!(
            entry.line(),
            r#"{"level":"warn","event":"refused","message":"two lines"}"#
        );
        let id = Uuid::from_random([0; 16]);
        let entry = Entry {
            queue: Some("q".into()),
            job: Some(JobId(id)),
            current_job: Some(CurrentJobId(id)),
            attempt: Some(2),
            status: Some(503),
            duration_ms: Some(71),
            count: Some(4),
            ..entry
        };
        assert_eq!(
            entry.line(),
            r#"{"level":"warn","event":"refused","queue":"q","job":"00000000-0000-4000-8000-000000000000","current_job":"00000000-0000-4000-8000-000000000000","attempt":2,"status":503,"duration_ms":71,"count":4,"message":"two lines"}"#
        );
    }

    #[test]
    fn levels_have_names_and_are_ordered() {
        for (name, want) in [
            ("error", Some(Level::Error)),
            ("warn", Some(Level::Warn)),
            ("info", Some(Level::Info)),
            ("debug", Some(Level::Debug)),
            ("INFO", None),
            ("", None),
        ] {
            assert_eq!(Level::parse(name), want, "{name}");
        }
        assert!(Level::Error < Level::Debug);
    }
}
