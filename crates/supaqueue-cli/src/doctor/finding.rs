//! One finding of the doctor.

use crate::output::outln;
use crate::redact::redact;
use crate::user_error;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    /// Works.
    Ok,
    /// Works, but not as well as it could.
    Warning,
    /// Does not work.
    Failed,
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) subject: &'static str,
    pub(super) message: String,
    /// Empty if there is nothing to do.
    pub(super) remedy: String,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Ok, subject, message, "")
    }

    pub(super) fn warning(
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, subject, message, remedy)
    }

    pub(super) fn failed(
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Failed, subject, message, remedy)
    }

    /// A check that failed to run.
    pub(super) fn error(subject: &'static str, error: &anyhow::Error) -> Self {
        let remedy = user_error::remedy(error).unwrap_or(
            "Run this again. If the error persists, check that `supaqueue` and `supabase` are up to date.",
        );
        Self::failed(subject, format!("{error:#}"), remedy)
    }

    fn new(
        severity: Severity,
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            severity,
            subject,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    /// Prints the finding to stdout.
    pub(super) fn print(&self) {
        let severity = match self.severity {
            Severity::Ok => "ok     ",
            Severity::Warning => "warning",
            Severity::Failed => "failed ",
        };
        outln!("{severity}  {}: {}", self.subject, redact(&self.message));
        if !self.remedy.is_empty() {
            outln!("         → {}", redact(&self.remedy));
        }
    }
}
