//! `supaqueue remove`: removes Supaqueue from a project, optionally except for its tables.

use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;

use crate::command;
use crate::command_line::CommandLine;
use crate::output::{count, errln};
use crate::project::{Deployment, Project, ProjectOptions};
use crate::prompt::Confirmation;
use crate::steps::Steps;

const STEPS: [&str; 6] = [
    "tools and login",
    "project",
    "dependent objects",
    "database",
    "function",
    "functions' secret",
];

/// Removes Supaqueue from a project: schema, secrets, tick and function.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    project: ProjectOptions,
    /// Keep the tables with their queues and jobs, for a later `supaqueue install`
    #[arg(long)]
    keep_data: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Arguments {
    /// The command as it was given, for a project.
    fn command(&self, project: &ProjectOptions) -> CommandLine {
        let line = project
            .command("remove")
            .flag("--keep-data", self.keep_data);
        self.confirmation.add_to(line)
    }
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let steps = Steps::new(&STEPS, arguments.command(&arguments.project));
    command::run_steps("remove", steps, async |steps: &mut Steps| {
        remove(&arguments, steps).await
    })
    .await
}

async fn remove(arguments: &Arguments, steps: &mut Steps) -> Result<()> {
    let project = arguments.project.open(steps).await?;
    steps.resume_with(arguments.command(&project.options));

    let installed = steps
        .step_value(find_installed(&project, arguments.keep_data))
        .await?;
    if !arguments.keep_data {
        for dependent in &installed.dependents {
            errln!("  also dropped: {dependent}");
        }
    }
    let what = match arguments.keep_data {
        true => "everything except its tables",
        false => "everything, including queues and jobs",
    };
    let question = format!("Remove Supaqueue from {}: {what}?", project.name());
    arguments.confirmation.ask(&question).await?;

    steps
        .step(clean_database(
            &project,
            installed.has_schema,
            arguments.keep_data,
        ))
        .await?;
    steps.step(delete_function(&project)).await?;
    steps.step(unset_secret(&project)).await?;
    errln!("\nSupaqueue is removed from {}.", project.name());
    match &project.deployment {
        Deployment::Hosted(_) => {}
        Deployment::Local(local) => errln!(
            "Next step: delete {} and its entry in config.toml.",
            local
                .supabase_dir
                .path()
                .join("functions/supaqueue")
                .display()
        ),
        Deployment::DatabaseOnly => errln!(
            "Next step: delete the function supaqueue, and SUPAQUEUE_SECRET in the functions' environment."
        ),
    }
    Ok(())
}

/// What a database contains that may be dropped.
#[derive(Deserialize)]
struct Installed {
    has_schema: bool,
    /// Foreign keys, views and triggers of others that depend on the schema.
    dependents: Vec<String>,
}

async fn find_installed(project: &Project, keep_data: bool) -> Result<(Installed, String)> {
    let installed: Installed = project
        .database
        .query(include_str!("dependents.sql"))
        .await?;
    let detail = match installed.dependents.len() {
        _ if keep_data => "kept, like the tables".to_owned(),
        0 => "none".to_owned(),
        found => count(found, "object"),
    };
    Ok((installed, detail))
}

async fn clean_database(
    project: &Project,
    has_schema: bool,
    keep_data: bool,
) -> Result<&'static str> {
    let sql = match keep_data {
        true => include_str!("keep_data.sql"),
        false => supaqueue_files::REMOVE,
    };
    project.database.run(sql).await?;
    Ok(match (has_schema, keep_data) {
        (false, _) => "there was no schema",
        (true, true) => "functions, triggers, secrets and tick removed; tables kept",
        (true, false) => "schema, secrets and tick removed",
    })
}

async fn delete_function(project: &Project) -> Result<&'static str> {
    Ok(match &project.deployment {
        Deployment::Hosted(hosted) if hosted.delete_function().await? => "deleted",
        Deployment::Hosted(_) => "there was none",
        Deployment::Local(_) | Deployment::DatabaseOnly => "left to you, see below",
    })
}

async fn unset_secret(project: &Project) -> Result<&'static str> {
    let existed = match &project.deployment {
        Deployment::Hosted(hosted) => hosted.unset_secret().await?,
        Deployment::Local(local) => local.unset_secret()?,
        Deployment::DatabaseOnly => return Ok("left to you, see below"),
    };
    Ok(match existed {
        true => "removed",
        false => "there was none",
    })
}
