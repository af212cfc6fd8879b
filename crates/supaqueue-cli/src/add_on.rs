//! `supaqueue add-on`: parts of the schema that not every project needs.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use supaqueue_files::{Part, State};

use crate::command;
use crate::problem::Problem;
use crate::project::{Project, Target, state};
use crate::prompt;
use crate::steps::Steps;

const STEPS: [&str; 4] = ["tools and login", "project", "schema", "add-on"];

/// Adds an add-on to the schema, or removes it.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Adds an add-on, or brings it up to date
    Add(Which),
    /// Removes an add-on, with what it keeps
    Remove(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// The add-on, such as job_dependencies
    name: String,
    #[command(flatten)]
    target: Target,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let (verb, which) = match &arguments.action {
        Action::Add(which) => ("add", which),
        Action::Remove(which) => ("remove", which),
    };
    let mut steps = Steps::new(
        &STEPS,
        format!(
            "supaqueue add-on {verb} {}{}",
            which.name,
            which.target.options()
        ),
    );
    command::run_steps("add-on", &mut steps, async |steps: &mut Steps| {
        change(verb, which, steps).await
    })
    .await
}

async fn change(verb: &str, which: &Which, steps: &mut Steps) -> Result<()> {
    let add_on = find(&which.name)?;
    let checked = steps.step(which.target.check()).await?;
    let project = steps.show(which.target.choose(checked).await)?;
    let yes = prompt::option(which.yes);
    steps.go_on_with(format!(
        "supaqueue add-on {verb} {}{}{yes}",
        which.name,
        project.options()
    ));
    let state = steps.step(schema(&project)).await?;
    let question = match verb {
        "add" => format!("Add {} to Supaqueue in {}?", which.name, project.name()),
        _ => format!(
            "Remove {} from Supaqueue in {}, with what it keeps?",
            which.name,
            project.name()
        ),
    };
    prompt::confirm(&question, which.yes).await?;
    steps
        .step(async {
            match verb {
                "add" => {
                    for transaction in upgrade(&state, &add_on, &project)? {
                        project.database.run(&transaction).await?;
                    }
                }
                _ => project.database.run(add_on.remove).await?,
            }
            Ok((
                (),
                match verb {
                    "add" => format!("{} is there", which.name),
                    _ => format!("{} is gone", which.name),
                },
            ))
        })
        .await
}

async fn schema(project: &Project) -> Result<(State, String)> {
    let state = state::read(&project.database).await?;
    match state.version() {
        Some(version) => Ok((state, format!("version {version}"))),
        None => Err(Problem::error(
            "Supaqueue is not installed in this project",
            format!("Run `supaqueue install{}` first.", project.options()),
        )),
    }
}

/// What adds an add-on to a schema of this program's version.
fn upgrade(state: &State, add_on: &Part, project: &Project) -> Result<Vec<String>> {
    let install = format!("Run `supaqueue install{}` first.", project.options());
    match supaqueue_files::upgrade(state, Some(add_on)) {
        Ok(upgrade)
            if upgrade
                .changes
                .iter()
                .any(|change| change.part == "supaqueue") =>
        {
            Err(Problem::error(
                "the schema is older than this add-on",
                install,
            ))
        }
        Ok(upgrade) => Ok(upgrade.transactions),
        Err(error) => Err(Problem::error(
            error.to_string(),
            "Update the program supaqueue.",
        )),
    }
}

fn find(name: &str) -> Result<Part> {
    supaqueue_files::add_on(name).ok_or_else(|| {
        let add_ons = supaqueue_files::add_ons();
        let names: Vec<&str> = add_ons.iter().map(|add_on| add_on.name).collect();
        Problem::error(
            format!("there is no add-on {name}"),
            format!("Those there are: {}.", names.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_add_on_is_refused_with_the_names_of_those_there_are() {
        let error = find("no_such").unwrap_err();
        assert!(
            Problem::remedy(&error)
                .unwrap()
                .contains("job_dependencies")
        );
    }
}
