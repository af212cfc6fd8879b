//! `supaqueue remove`: nothing of Supaqueue stays, unless its tables are to be kept.

use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;

use crate::command;
use crate::output::tell;
use crate::project::{Place, Project, Target};
use crate::prompt;
use crate::steps::Steps;

const STEPS: [&str; 6] = [
    "tools and login",
    "project",
    "what depends on it",
    "database",
    "function",
    "functions' secret",
];

/// Removes Supaqueue from a project: schema, secrets, tick and function.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Leave the tables with their queues and jobs; `supaqueue install` takes them up again
    #[arg(long)]
    keep_data: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let mut steps = Steps::new(
        &STEPS,
        format!("supaqueue remove{}", arguments.target.options()),
    );
    command::run_steps("remove", &mut steps, async |steps: &mut Steps| {
        remove(&arguments, steps).await
    })
    .await
}

async fn remove(arguments: &Arguments, steps: &mut Steps) -> Result<()> {
    let checked = steps.step(arguments.target.check()).await?;
    let project = steps.show(arguments.target.choose(checked).await)?;
    let keep_data = if arguments.keep_data {
        " --keep-data"
    } else {
        ""
    };
    let yes = prompt::option(arguments.yes);
    steps.go_on_with(format!(
        "supaqueue remove{}{keep_data}{yes}",
        project.options()
    ));

    let found = steps.step(look(&project, arguments.keep_data)).await?;
    if !arguments.keep_data {
        for dependent in &found.dependents {
            tell!("  also dropped: {dependent}");
        }
    }
    let what = match arguments.keep_data {
        true => "all of it but its tables",
        false => "all of it, with its queues and jobs",
    };
    prompt::confirm(
        &format!("Remove Supaqueue from {}: {what}?", project.name()),
        arguments.yes,
    )
    .await?;

    steps
        .step(database(&project, found.has_schema, arguments.keep_data))
        .await?;
    steps.step(function(&project)).await?;
    steps.step(functions_secret(&project)).await?;
    tell!("\nSupaqueue is removed from {}.", project.name());
    match &project.place {
        Place::Hosted(_) => {}
        Place::Local(local) => tell!(
            "Left to you: delete {} and its entry in config.toml.",
            local.folder.path().join("functions/supaqueue").display()
        ),
        Place::Direct => tell!(
            "Left to you: delete the function supaqueue, and take SUPAQUEUE_SECRET from the functions' environment."
        ),
    }
    Ok(())
}

/// What a database has that goes, or would go, too.
#[derive(Deserialize)]
struct Found {
    has_schema: bool,
    /// The foreign keys, views and triggers of others that point into the schema.
    dependents: Vec<String>,
}

async fn look(project: &Project, keep_data: bool) -> Result<(Found, String)> {
    let found: Found = project
        .database
        .query(include_str!("dependents.sql"))
        .await?;
    let detail = match found.dependents.len() {
        _ if keep_data => "the tables stay, and what points to them".to_owned(),
        0 => "nothing else".to_owned(),
        count => format!("{count} objects that are not Supaqueue's"),
    };
    Ok((found, detail))
}

async fn database(
    project: &Project,
    has_schema: bool,
    keep_data: bool,
) -> Result<((), &'static str)> {
    let sql = match keep_data {
        true => include_str!("keep_data.sql"),
        false => supaqueue_files::REMOVE,
    };
    project.database.run(sql).await?;
    Ok((
        (),
        match (has_schema, keep_data) {
            (false, _) => "there was no schema",
            (true, true) => "functions, triggers, secrets and tick removed; the tables stay",
            (true, false) => "schema, secrets and tick removed",
        },
    ))
}

async fn function(project: &Project) -> Result<((), &'static str)> {
    Ok((
        (),
        match &project.place {
            Place::Hosted(hosted) if hosted.delete_function().await? => "deleted",
            Place::Hosted(_) => "there was none",
            Place::Local(_) | Place::Direct => "left to you, see below",
        },
    ))
}

async fn functions_secret(project: &Project) -> Result<((), &'static str)> {
    let was_there = match &project.place {
        Place::Hosted(hosted) => hosted.unset_secret().await?,
        Place::Local(local) => local.unset_secret()?,
        Place::Direct => return Ok(((), "left to you, see below")),
    };
    Ok((
        (),
        if was_there {
            "removed"
        } else {
            "there was none"
        },
    ))
}
