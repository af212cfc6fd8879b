//! The lines that the owner reads in the platform's log: one JSON object per event.
//!
//! A line never holds a payload, a header, a target's answer or a key.

use crate::protocol::{Assignment, CurrentJobId, JobId};
use crate::text::one_line;
use crate::writer::Object;

/// How much a line matters. The names are those of the methods of `console`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The owner has to do something.
    Error,
    /// A call failed, or something had to be said twice.
    Warn,
    /// The life of each job.
    Info,
    /// What else there is to say.
    Debug,
}

impl Level {
    /// The level of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Error, Self::Warn, Self::Info, Self::Debug]
            .into_iter()
            .find(|level| level.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// One line. Its fields are those that the platform's log explorer filters by.
#[derive(Clone, Debug)]
pub struct Entry {
    /// How much it matters.
    pub level: Level,
    /// What happened, in snake case.
    pub event: &'static str,
    /// The queue's name.
    pub queue: Option<String>,
    /// The job.
    pub job: Option<JobId>,
    /// The attempt's id in the database.
    pub current_job: Option<CurrentJobId>,
    /// Which attempt, from 1.
    pub attempt: Option<u32>,
    /// The target's HTTP status.
    pub status: Option<u16>,
    /// How long the call took.
    pub duration_ms: Option<u32>,
    /// How many: the jobs of a dispatch.
    pub count: Option<usize>,
    /// Why, and what to do about it.
    pub message: Option<String>,
}

impl Entry {
    /// A line about the function as a whole.
    pub fn new(level: Level, event: &'static str) -> Self {
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
    pub fn of(level: Level, event: &'static str, assignment: &Assignment) -> Self {
        Self {
            queue: Some(assignment.queue.name.clone()),
            job: Some(assignment.job.id),
            current_job: Some(assignment.current_job.id),
            attempt: Some(assignment.job.attempts.get()),
            ..Self::new(level, event)
        }
    }

    /// With a reason, cut to one line.
    pub fn because(self, message: &str) -> Self {
        Self {
            message: Some(one_line(message)),
            ..self
        }
    }

    /// The line as JSON.
    pub fn line(&self) -> String {
        Object::new()
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

    #[test]
    fn a_line_holds_what_is_known() {
        let line = Entry::new(Level::Warn, "refused")
            .because("two\nlines")
            .line();
        assert_eq!(
            line,
            r#"{"level":"warn","event":"refused","message":"two lines"}"#
        );
    }

    #[test]
    fn levels_have_names_and_an_order() {
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
