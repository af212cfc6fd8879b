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
            remedy: remedy.map(|text| redact(&with_commands(text, options))),
            ..self
        }
    }
}

/// How the database says which project a command is for, which the doctor knows.
const FOR_WHICH_PROJECT: &str = " with the ref of this very project or preview branch (for a local stack --local, for any other Postgres --db-url)";

/// Replaces each `supaqueue COMMAND` in backticks, as the database says it, by the command line for a
/// project.
fn with_commands(text: &str, options: &ProjectOptions) -> String {
    let text = text.replace(FOR_WHICH_PROJECT, "");
    let parts = text.split('`').enumerate().map(|(at, part)| {
        let part = part.replace(" --project-ref <ref>", "");
        let words: Vec<&str> = part.split(' ').collect();
        match words[..] {
            ["supaqueue", command, ref more @ ..] if at % 2 == 1 => {
                let line = options.command(command);
                let line = more.iter().fold(line, |line, word| line.word(word));
                line.to_string()
            }
            _ => part,
        }
    });
    parts.collect::<Vec<_>>().join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_the_project() {
        let mut options = ProjectOptions::default();
        options.project_ref = Some("abc".into());
        let default = ProjectOptions::default().timeout;
        let check = |text: &str, want: &str| {
            let line = with_commands(text, &options);
            assert_eq!(line.replace(&format!(" --timeout {default}"), ""), want);
        };
        check(
            "Run `supaqueue remove --keep-data` and `supaqueue install`.",
            "Run `supaqueue remove --project-ref abc --keep-data` and `supaqueue install --project-ref abc`.",
        );
        check(
            "supaqueue is in `public`; run: select 1;",
            "supaqueue is in `public`; run: select 1;",
        );
        check("The `supaqueue` function", "The `supaqueue` function");
        check(
            &format!("Run `supaqueue doctor --project-ref <ref>`{FOR_WHICH_PROJECT}, please."),
            "Run `supaqueue doctor --project-ref abc`, please.",
        );
    }
}
