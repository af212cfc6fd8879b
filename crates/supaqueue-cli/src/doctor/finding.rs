//! One line of the doctor's report.

use crate::output::say;
use crate::problem::{Problem, redact};

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could.
    Warning,
    /// It does not work.
    Failed,
}

/// One thing that can be wrong, and whether it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) subject: &'static str,
    pub(super) what: String,
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            subject,
            what: what.into(),
            remedy: String::new(),
        }
    }

    pub(super) fn warning(
        subject: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Warning,
            subject,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    pub(super) fn failed(
        subject: &'static str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            level: Level::Failed,
            subject,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// A check that could not be made.
    pub(super) fn error(subject: &'static str, error: &anyhow::Error) -> Self {
        let remedy = Problem::remedy(error).unwrap_or(
            "Run this again; if it stays so, see that the programs supaqueue and supabase are up to date.",
        );
        Self::failed(subject, format!("{error:#}"), remedy)
    }

    /// Prints it.
    pub(super) fn print(&self) {
        let level = match self.level {
            Level::Ok => "ok     ",
            Level::Warning => "warning",
            Level::Failed => "failed ",
        };
        say!("{level}  {}: {}", self.subject, redact(&self.what));
        if !self.remedy.is_empty() {
            say!("         → {}", redact(&self.remedy));
        }
    }
}
