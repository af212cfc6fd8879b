//! `supaqueue doctor`: everything that can silently be wrong, each with its remedy.

mod database;
mod finding;
mod function;
mod running;

use std::process::ExitCode;

use crate::command;
use crate::project::cli::Version;
use crate::project::state;
use crate::project::{Checked, Place, Project, Target};
use finding::{Finding, Level};

/// Checks everything that can silently be wrong, and says what to do about it.
///
/// The exit status is 1 when something does not work, else 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let mut report = Report { worst: Level::Ok };
    let status = command::run("doctor", async {
        examine(&arguments.target, &mut report).await;
        Ok(())
    })
    .await;
    match report.worst {
        Level::Failed => ExitCode::FAILURE,
        Level::Ok | Level::Warning => status,
    }
}

/// What was found so far; printed as it is found.
struct Report {
    worst: Level,
}

impl Report {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            finding.print();
            self.worst = self.worst.max(finding.level);
        }
    }
}

async fn examine(target: &Target, report: &mut Report) {
    let checked = match target.check().await {
        Ok((checked, detail)) => {
            if let Checked::Hosted(cli, _) = &checked {
                report.add([cli_version(cli.version)]);
            }
            report.add([Finding::ok("tools and login", detail)]);
            checked
        }
        Err(error) => return report.add([Finding::error("tools and login", &error)]),
    };
    let project: Project = match target.choose(checked).await {
        Ok((project, detail)) => {
            report.add([Finding::ok("project", detail)]);
            project
        }
        Err(error) => return report.add([Finding::error("project", &error)]),
    };
    let state = match state::read(&project.database).await {
        Ok(state) => state,
        Err(error) => return report.add([Finding::error("database", &error)]),
    };
    let options = project.options();
    report.add(database::installed(&state, &options));
    if let Place::Hosted(hosted) = &project.place {
        report.add(function::listed(hosted, &state, &options).await);
    }
    if !state.has_net || !state.has_vault || state.version.is_none() || state.url.is_none() {
        // Each of these was named above, and nothing below can be asked without them.
        return;
    }
    match running::examine(&project.database, &state).await {
        Ok(findings) => report.add(findings),
        Err(error) => report.add([Finding::error("database", &error)]),
    }
    let (findings, is_accepted) = function::seen(&project, &options).await;
    report.add(findings);
    if is_accepted {
        report.add([function::self_test(&project).await]);
    }
}

fn cli_version(version: Version) -> Finding {
    let subject = "Supabase CLI";
    match version.major {
        2 | 3 if version >= Version::OLDEST_TESTED => {
            Finding::ok(subject, format!("version {version}"))
        }
        2 => Finding::warning(
            subject,
            format!(
                "version {version} is older than what is tested ({})",
                Version::OLDEST_TESTED
            ),
            "Update the Supabase CLI if a command of it fails.",
        ),
        _ => Finding::warning(
            subject,
            format!("version {version} is newer than what is tested (2 and 3)"),
            "Update the program supaqueue if a command of the CLI fails.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_of_the_cli_that_is_not_tested_is_a_warning() {
        for (major, minor, want) in [
            (2, 122, Level::Ok),
            (3, 1, Level::Ok),
            (2, 20, Level::Warning),
            (4, 0, Level::Warning),
        ] {
            assert_eq!(
                cli_version(Version {
                    major,
                    minor,
                    patch: 0
                })
                .level,
                want
            );
        }
    }
}
