//! Shows findings: as text while they come, with the problems at the end, or as one JSON document.

use std::process::ExitCode;

use console::{Style, Term};
use serde::Serialize;

use super::finding::{Finding, Severity};
use crate::output::{errln, outln};
use crate::project::ProjectOptions;
use crate::text::{INDENT, width, with_remedy, wrap};

/// What was found so far.
pub(super) struct Report {
    is_json: bool,
    /// The project that remedies name.
    pub(super) options: ProjectOptions,
    findings: Vec<Finding>,
}

/// What `--json` prints. Scripts read it: names stay.
#[derive(Serialize)]
struct Document<'a> {
    findings: &'a [Finding],
    summary: &'a Summary,
}

/// The number of findings of each severity.
#[derive(Debug, Default, Serialize)]
struct Summary {
    ok: usize,
    skipped: usize,
    warning: usize,
    failed: usize,
}

impl Report {
    pub(super) fn new(is_json: bool, options: ProjectOptions) -> Self {
        Self {
            is_json,
            options,
            findings: Vec::new(),
        }
    }

    /// Adds findings, and prints those that are no problems.
    pub(super) fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            let finding = finding.for_project(&self.options);
            if !self.is_json && finding.severity <= Severity::Skipped {
                print(&finding);
            }
            self.findings.push(finding);
        }
    }

    /// Says something that is not a finding, to stderr.
    pub(super) fn note(text: &str) {
        let term = Term::stderr();
        errln!("{:INDENT$}{}", "note", wrap(text, width(&term), INDENT));
    }

    /// Prints the problems that were found before the doctor was interrupted.
    pub(super) fn interrupted(&self) {
        if !self.is_json {
            self.print_problems();
        }
    }

    /// Prints the rest. Returns the exit status.
    pub(super) fn finish(&self) -> ExitCode {
        let summary = self.summary();
        match self.is_json {
            true => {
                let findings = &self.findings;
                let document = serde_json::to_string_pretty(&Document {
                    findings,
                    summary: &summary,
                });
                outln!("{}", document.unwrap_or_default());
            }
            false => {
                self.print_problems();
                outln!("\n{}", summary.text());
            }
        }
        match summary.failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }

    fn print_problems(&self) {
        let problems = self
            .findings
            .iter()
            .filter(|finding| finding.severity > Severity::Skipped);
        for (at, finding) in problems.enumerate() {
            if at == 0 {
                outln!();
            }
            print(finding);
        }
    }

    fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        for finding in &self.findings {
            *match finding.severity {
                Severity::Ok => &mut summary.ok,
                Severity::Skipped => &mut summary.skipped,
                Severity::Warning => &mut summary.warning,
                Severity::Failed => &mut summary.failed,
            } += 1;
        }
        summary
    }
}

impl Summary {
    fn text(&self) -> String {
        let warnings = match self.warning {
            1 => "warning",
            _ => "warnings",
        };
        let numbers = [
            (self.failed, "failed"),
            (self.warning, warnings),
            (self.ok, "ok"),
            (self.skipped, "skipped"),
        ];
        let parts: Vec<String> = numbers
            .iter()
            .filter(|(number, _)| *number > 0)
            .map(|(number, word)| format!("{number} {word}"))
            .collect();
        parts.join(", ")
    }
}

/// Prints a finding, with the lines broken if they are for a terminal.
fn print(finding: &Finding) {
    let Finding {
        severity,
        subject,
        message,
        remedy,
    } = finding;
    let style = match severity {
        Severity::Ok => Style::new().green(),
        Severity::Skipped => Style::new().dim(),
        Severity::Warning => Style::new().yellow(),
        Severity::Failed => Style::new().red(),
    };
    let message = format!("{subject}: {message}");
    let width = width(&Term::stdout());
    outln!(
        "{}",
        with_remedy(severity.word(), &style, &message, remedy.as_deref(), width)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_there_is() {
        let summary = Summary {
            ok: 3,
            warning: 1,
            ..Summary::default()
        };
        assert_eq!(summary.text(), "1 warning, 3 ok");
        let summary = Summary {
            failed: 1,
            warning: 2,
            ..Summary::default()
        };
        assert_eq!(summary.text(), "1 failed, 2 warnings");
    }
}
