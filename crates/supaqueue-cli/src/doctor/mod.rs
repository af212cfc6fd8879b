//! `supaqueue doctor`: checks everything that can fail silently.

mod database;
mod finding;
mod function;
mod platform;
mod report;
mod targets;

use std::process::ExitCode;

use semver::Version;
use supaqueue_files::DatabaseState;

use crate::command;
use crate::output::errln;
use crate::project::probe::SelfTest;
use crate::project::supabase_cli::OLDEST_TESTED;
use crate::project::{Candidates, Project, ProjectOptions};
use database::Checks;
use finding::Finding;
use report::Report;

/// Checks everything that can fail silently and prints a fix for each problem.
///
/// The exit status is 1 if something does not work, else 0, also if there are warnings.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    project: ProjectOptions,
    /// Write nothing: send no requests through the database, and run no job as a self-test
    #[arg(long)]
    read_only: bool,
    /// Print one JSON document, with the findings and their number by severity
    #[arg(long)]
    json: bool,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let mut doctor = Doctor {
        report: Report::new(arguments.json, arguments.project.clone()),
        is_read_only: arguments.read_only,
        project: None,
        self_test: None,
    };
    let mut is_done = false;
    let status = command::run("doctor", async {
        doctor.examine(&arguments.project).await;
        is_done = true;
        Ok(doctor.report.finish())
    })
    .await;
    if !is_done {
        doctor.report.interrupted();
    }
    doctor.clean_up().await;
    status
}

struct Doctor {
    report: Report,
    is_read_only: bool,
    project: Option<Project>,
    /// The one that is running.
    self_test: Option<SelfTest>,
}

impl Doctor {
    async fn examine(&mut self, options: &ProjectOptions) {
        if let Err(finding) = self.open(options).await {
            let rest = Finding::skipped("all other checks", "they need the project");
            return self.report.add([finding, rest]);
        }
        let Some(project) = &self.project else { return };
        let state = match project.database.state().await {
            Ok(state) => Some(state),
            Err(error) => {
                self.report.add([Finding::error("database", &error)]);
                None
            }
        };
        if let Some(state) = &state {
            self.report.add(database::installed(state));
            self.report.add(of_another(project, state));
        }
        let (findings, platform) = platform::examine(&project.deployment, state.as_ref()).await;
        self.report.add(findings);
        match project.database.query::<Checks>(Checks::QUERY).await {
            Ok(checks) => {
                self.report.add(checks.findings);
                let deployment = &project.deployment;
                let targets = targets::examine(deployment, &checks.queues, &platform).await;
                self.report.add(targets);
            }
            Err(error) => self.report.add([Finding::error("database", &error)]),
        }
        self.send(state).await;
    }

    /// Selects the project. Returns why that is not possible.
    async fn open(&mut self, options: &ProjectOptions) -> Result<(), Finding> {
        let (candidates, detail) = options
            .find()
            .await
            .map_err(|error| Finding::error("tools and login", &error))?;
        if let Candidates::Account(cli, _) = &candidates {
            self.report.add([cli_version(&cli.version)]);
        }
        self.report.add([Finding::ok("tools and login", detail)]);
        let project = options
            .select(candidates)
            .await
            .map_err(|error| Finding::error("project", &error))?;
        self.report.options = project.options.clone();
        self.report.add([Finding::ok("project", project.name())]);
        self.project = Some(project);
        Ok(())
    }

    /// The checks that write something: requests to the function, and a job.
    async fn send(&mut self, state: Option<DatabaseState>) {
        let Some(project) = &self.project else { return };
        if let Some(why) = self.cannot_send(state.as_ref()) {
            let skipped = ["the function's answers", "self-test"];
            let skipped = skipped.map(|subject| Finding::skipped(subject, why));
            return self.report.add(skipped);
        }
        let self_test = SelfTest::new();
        Report::note(&format!(
            "the next checks write to the database: requests of pg_net, and the queue {} with a job, which is deleted again; --read-only leaves them out",
            self_test.queue
        ));
        let (findings, is_accepted) = function::probed(project).await;
        self.report.add(findings);
        let is_of_another = state.is_some_and(|state| of_another(project, &state).is_some());
        let why_not = match is_accepted {
            false => Some("the function does not accept what the database sends"),
            true if is_of_another => Some("the function of another project would get the job"),
            true => None,
        };
        if let Some(why) = why_not {
            return self.report.add([Finding::skipped("self-test", why)]);
        }
        self.self_test = Some(self_test.clone());
        let finding = function::round_trip(project, &self_test).await;
        self.self_test = None;
        self.report.add([finding]);
    }

    /// Why no requests can be sent.
    fn cannot_send(&self, state: Option<&DatabaseState>) -> Option<&'static str> {
        match state {
            _ if self.is_read_only => Some("left out with --read-only"),
            None => Some("the state of the database is unknown"),
            Some(state) if state.version().is_none() || !state.has_code => {
                Some("Supaqueue is not installed")
            }
            Some(state)
                if !state.has_net
                    || !state.has_vault
                    || state.url.is_none()
                    || !state.unreadable.is_empty() =>
            {
                Some("nothing can be sent: see the problem about that")
            }
            Some(_) => None,
        }
    }

    /// Removes what an interrupted self-test has left.
    async fn clean_up(&self) {
        if let (Some(project), Some(self_test)) = (&self.project, &self.self_test)
            && let Err(error) = self_test.clean_up(&project.database).await
        {
            errln!(
                "The queue {} is left: {error:#}. A self-test deletes it in ten minutes or later.",
                self_test.queue
            );
        }
    }
}

/// A copy of a database has the URL of its original.
fn of_another(project: &Project, state: &DatabaseState) -> Option<Finding> {
    let url = state
        .url
        .as_ref()
        .filter(|url| project.is_of_another(url))?;
    Some(Finding::failed(
        "URL",
        format!(
            "the Vault has the URL of another project, which runs the jobs of this database: {url}"
        ),
        "If this is a copy of that project, cancel the jobs that must not run twice. Then run `supaqueue install`, which asks before it takes over the rest.",
    ))
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
    use super::finding::Severity;
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
