//! `supaqueue add-on`: adds and removes the optional parts of the schema.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use supaqueue_files::{DatabaseState, Part};

use crate::command;
use crate::output::errln;
use crate::project::{Project, ProjectOptions, supabase_dir};
use crate::prompt::Confirmation;
use crate::steps::Steps;
use crate::user_error::user_error;

const STEPS: [&str; 4] = ["tools and login", "project", "schema", "add-on"];

/// Adds or removes an optional part of the schema.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Adds or updates an add-on
    Add(AddOptions),
    /// Removes an add-on and its data
    Remove(Options),
}

#[derive(Debug, Args)]
struct AddOptions {
    #[command(flatten)]
    options: Options,
    /// Only write its migrations, and those of the core, to supabase/migrations, for `supabase db push`
    #[arg(long)]
    write_migration: bool,
}

#[derive(Debug, Args)]
struct Options {
    /// The add-on, such as job_dependencies
    name: String,
    #[command(flatten)]
    project: ProjectOptions,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let (verb, options) = match &arguments.action {
        Action::Add(add) if add.write_migration => {
            return command::run("add-on", async { write_migration(&add.options) }).await;
        }
        Action::Add(add) => ("add", &add.options),
        Action::Remove(options) => ("remove", options),
    };
    let command = |project: &ProjectOptions| {
        let line = project.command(&format!("add-on {verb}"));
        options.confirmation.add_to(line.word(&options.name))
    };
    let steps = Steps::new(&STEPS, command(&options.project));
    command::run_steps("add-on", steps, async |steps: &mut Steps| {
        let add_on = find(&options.name)?;
        let project = options.project.open(steps).await?;
        steps.resume_with(command(&project.options));
        change(&project, add_on, &arguments.action, options, steps).await
    })
    .await
}

/// Writes files to the user's `supabase` folder instead of changing the project.
fn write_migration(options: &Options) -> Result<ExitCode> {
    let add_on = find(&options.name)?;
    let dir = options
        .project
        .supabase_dir()
        .ok_or_else(supabase_dir::missing)?;
    let written = dir.write_migrations(Some(&add_on))?;
    for path in &written {
        errln!("✓ {path}");
    }
    match written.is_empty() {
        true => errln!("All files are up to date."),
        false => errln!("Next: `{}`", dir.push()),
    }
    Ok(ExitCode::SUCCESS)
}

async fn change(
    project: &Project,
    add_on: Part,
    action: &Action,
    options: &Options,
    steps: &mut Steps,
) -> Result<()> {
    let state = steps.step_value(schema(project)).await?;
    let (name, project_name) = (add_on.name, project.name());
    let (question, transactions, done) = match action {
        Action::Add(_) => (
            format!("Add {name} to Supaqueue in {project_name}?"),
            upgrade(&state, &add_on, project)?,
            format!("{name} added"),
        ),
        Action::Remove(_) => (
            format!("Remove {name} and its data from Supaqueue in {project_name}?"),
            vec![add_on.remove.to_owned()],
            format!("{name} removed"),
        ),
    };
    options.confirmation.ask(&question).await?;
    steps
        .step(async {
            for transaction in &transactions {
                project.database.run(transaction).await?;
            }
            Ok(done)
        })
        .await
}

async fn schema(project: &Project) -> Result<(DatabaseState, String)> {
    let state = project.database.state().await?;
    match state.version() {
        Some(version) => Ok((state, format!("version {version}"))),
        None => Err(user_error(
            "Supaqueue is not installed in this project",
            format!("Run `{}` first.", project.command("install")),
        )),
    }
}

/// The transactions that add or update an add-on, if the schema has this program's version.
fn upgrade(state: &DatabaseState, add_on: &Part, project: &Project) -> Result<Vec<String>> {
    match supaqueue_files::upgrade(state, Some(add_on)) {
        Ok(upgrade)
            if upgrade
                .changes
                .iter()
                .any(|change| change.part == "supaqueue") =>
        {
            Err(user_error(
                "the schema is older than this add-on",
                format!("Run `{}` first.", project.command("install")),
            ))
        }
        Ok(upgrade) => Ok(upgrade.transactions),
        Err(error) => Err(user_error(error.to_string(), "Update `supaqueue`.")),
    }
}

fn find(name: &str) -> Result<Part> {
    supaqueue_files::add_on(name).ok_or_else(|| {
        let names: Vec<&str> = supaqueue_files::add_ons()
            .iter()
            .map(|add_on| add_on.name)
            .collect();
        user_error(
            format!("there is no add-on {name}"),
            format!("Available add-ons: {}.", names.join(", ")),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::user_error::remedy;

    #[test]
    fn an_unknown_add_on_is_rejected_with_a_list_of_the_available_ones() {
        let error = find("no_such").unwrap_err();
        assert!(remedy(&error).unwrap().contains("job_dependencies"));
    }
}
