//! One finding of the doctor.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::project::ProjectOptions;
use crate::redact::redact;
use crate::user_error;

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Works.
    Ok,
    /// Was not checked.
    Skipped,
    /// Works, but not as well as it could.
    Warning,
    /// Does not work.
    Failed,
}

impl Severity {
    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// The result of one check. The database's come as JSON; `--json` writes them in the same form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finding {
    pub(super) subject: Cow<'static, str>,
    pub(super) severity: Severity,
    pub(super) message: String,
    /// Only of warnings and failures.
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(subject: &'static str, message: impl Into<String>) -> Self {
        Self::new(Severity::Ok, subject, message, None)
    }

    /// A check that was not made, and why.
    pub(super) fn skipped(subject: &'static str, why: impl Into<String>) -> Self {
        Self::new(Severity::Skipped, subject, why, None)
    }

    pub(super) fn warning(
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Warning, subject, message, Some(remedy.into()))
    }

    pub(super) fn failed(
        subject: &'static str,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Severity::Failed, subject, message, Some(remedy.into()))
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
        remedy: Option<String>,
    ) -> Self {
        Self {
            subject: subject.into(),
            severity,
            message: message.into(),
            remedy,
        }
    }

    /// Without secrets, and with the commands of this program as they are for this project.
    pub(super) fn for_project(self, options: &ProjectOptions) -> Self {
        let remedy = self.remedy.as_deref();
        Self {
            message: redact(&self.message),
            remedy: remedy.map(|text| redact(&options.with_commands(text))),
            ..self
        }
    }
}
