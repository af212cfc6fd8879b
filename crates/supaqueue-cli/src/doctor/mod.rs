//! `supaqueue doctor`: checks everything that can fail silently.

mod database;
mod finding;
mod function;
mod runtime;

use std::collections::BTreeSet;
use std::process::ExitCode;

use semver::Version;

use crate::command;
use crate::project::supabase_cli::OLDEST_TESTED;
use crate::project::{Candidates, Deployment, ProjectOptions};
use finding::{Finding, Severity};

/// Checks everything that can fail silently and prints a fix for each problem.
///
/// The exit status is 1 if something does not work, else 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    project: ProjectOptions,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let mut report = Report {
        worst: Severity::Ok,
    };
    command::run("doctor", async {
        examine(&arguments.project, &mut report).await;
        Ok(match report.worst {
            Severity::Failed => ExitCode::FAILURE,
            Severity::Ok | Severity::Warning => ExitCode::SUCCESS,
        })
    })
    .await
}

/// Prints findings as they come.
struct Report {
    worst: Severity,
}

impl Report {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            finding.print();
            self.worst = self.worst.max(finding.severity);
        }
    }
}

async fn examine(options: &ProjectOptions, report: &mut Report) {
    let candidates = match options.find().await {
        Ok((candidates, detail)) => {
            if let Candidates::Account(cli, _) = &candidates {
                report.add([cli_version(&cli.version)]);
            }
            report.add([Finding::ok("tools and login", detail)]);
            candidates
        }
        Err(error) => return report.add([Finding::error("tools and login", &error)]),
    };
    let project = match options.select(candidates).await {
        Ok(project) => project,
        Err(error) => return report.add([Finding::error("project", &error)]),
    };
    report.add([Finding::ok("project", project.name())]);
    let state = match project.database.state().await {
        Ok(state) => state,
        Err(error) => return report.add([Finding::error("database", &error)]),
    };
    let options = &project.options;
    report.add(database::installed(&state, options));
    if let Some(url) = state.url.as_ref().filter(|url| project.is_of_another(url)) {
        report.add([Finding::failed(
            "URL",
            format!("the Vault has the URL of another project, which runs the jobs of this database: {url}"),
            format!("If this is a copy of that project, cancel the jobs that must not run twice. Then run `{}`, which asks before it takes over the rest.", project.command("install")),
        )]);
    }
    let mut with_jwt = BTreeSet::new();
    match &project.deployment {
        Deployment::Hosted(hosted) => {
            let (findings, functions) = function::listed(hosted, &state, options).await;
            report.add(findings);
            with_jwt = functions;
        }
        Deployment::Local(local) => {
            report.add(function::policy(local));
            with_jwt = local.supabase_dir.functions_with_jwt();
        }
        Deployment::DatabaseOnly => {}
    }
    if state.version().is_none() {
        return;
    }
    match runtime::examine(&project, &state, &with_jwt).await {
        Ok(findings) => report.add(findings),
        Err(error) => report.add([Finding::error("database", &error)]),
    }
    if !state.has_net || !state.has_vault || state.url.is_none() || !state.unreadable.is_empty() {
        // Reported above; the checks below depend on all of them.
        return;
    }
    let (findings, is_accepted) = function::probed(&project).await;
    report.add(findings);
    if is_accepted {
        report.add([function::self_test(&project).await]);
    }
}

fn cli_version(version: &Version) -> Finding {
    let subject = "Supabase CLI";
    match version.major {
        2 | 3 if *version >= OLDEST_TESTED => Finding::ok(subject, format!("version {version}")),
        2 => Finding::warning(
            subject,
            format!("version {version} is older than the oldest tested one ({OLDEST_TESTED})"),
            "Update the Supabase CLI if one of its commands fails.",
        ),
        _ => Finding::warning(
            subject,
            format!("version {version} is newer than the tested ones (2 and 3)"),
            "Update `supaqueue` if a command of the CLI fails.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untested_version_of_the_cli_is_a_warning() {
        for (major, minor, want) in [
            (2, 122, Severity::Ok),
            (3, 1, Severity::Ok),
            (2, 20, Severity::Warning),
            (4, 0, Severity::Warning),
        ] {
            let version = Version::new(major, minor, 0);
            assert_eq!(cli_version(&version).severity, want);
        }
    }
}
