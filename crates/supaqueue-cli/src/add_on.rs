//! `supaqueue add-on`: parts of the schema that not every project needs.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use include_dir::{Dir, include_dir};

use crate::command;
use crate::problem::Problem;
use crate::project::Target;
use crate::project::state::State;
use crate::prompt;
use crate::steps::Steps;

static ADD_ONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sql/add-ons");

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
    let sql = sql(&which.name, verb)?;
    let checked = steps.step(which.target.check()).await?;
    let project = steps.show(which.target.choose(checked))?;
    steps.go_on_with(format!(
        "supaqueue add-on {verb} {}{}",
        which.name,
        project.options()
    ));
    steps
        .step(async {
            let state = State::read(&project.database).await?;
            match state.version {
                Some(version) => Ok(((), format!("version {version}"))),
                None => Err(Problem::error(
                    "Supaqueue is not installed in this project",
                    format!("Run `supaqueue install{}` first.", project.options()),
                )),
            }
        })
        .await?;
    let question = match verb {
        "add" => format!("Add {} to Supaqueue in {}?", which.name, project.name()),
        _ => format!(
            "Remove {} from Supaqueue in {}, with what it keeps?",
            which.name,
            project.name()
        ),
    };
    prompt::confirm(&question, which.yes)?;
    steps
        .step(async {
            project.database.run(sql).await?;
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

/// The statements that add or remove an add-on.
fn sql(name: &str, verb: &str) -> Result<&'static str> {
    ADD_ONS
        .get_file(format!("{name}/{verb}.sql"))
        .and_then(|file| file.contents_utf8())
        .ok_or_else(|| {
            let names: Vec<_> = ADD_ONS
                .dirs()
                .filter_map(|folder| folder.path().to_str())
                .collect();
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
    fn job_dependencies_can_be_added_and_removed() {
        assert!(
            sql("job_dependencies", "add")
                .unwrap()
                .contains("job_dependencies")
        );
        assert!(
            sql("job_dependencies", "remove")
                .unwrap()
                .contains("job_dependencies")
        );
    }

    #[test]
    fn an_unknown_add_on_is_refused_with_the_names_of_those_there_are() {
        let error = sql("no_such", "add").unwrap_err();
        assert!(
            Problem::remedy(&error)
                .unwrap()
                .contains("job_dependencies")
        );
    }
}
