//! `supaqueue install`: everything that a project needs, and nothing that it has already.

mod embedded;
mod plan;
mod steps;
mod verification;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::command;
use crate::output::tell;
use crate::project::working_folder;
use crate::project::{Project, Target};
use crate::prompt;
use crate::steps::Steps;
pub(crate) use embedded::embedded_function;
use steps::Installation;

/// Installs Supaqueue in a project, or upgrades it: only what differs is done.
///
/// The schema comes from this program, as does the function. A secret is made in the project's
/// Vault and given to its functions; it never appears in a command line, a statement or a log.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// The project's address for its own database, such as `https://queue.example.com`; the default is that of the platform
    #[arg(long, value_name = "URL")]
    project_url: Option<String>,
    /// For a gateway that asks for an apikey: put one into the Vault, the project's own anon key if none is given here
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    anon_key: Option<String>,
    /// Only write the migrations into supabase/migrations, for `supabase db push`
    #[arg(long)]
    write_migration: bool,
    /// Only write the function into supabase/functions/supaqueue, with its entry in config.toml
    #[arg(long)]
    write_function: bool,
    /// Print every step and send nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

impl Arguments {
    /// The options about the project's address, as they were given.
    fn address_options(&self) -> String {
        let url = self.project_url.as_ref();
        let url = url.map_or_else(String::new, |url| format!(" --project-url {url}"));
        let key = match self.anon_key.as_deref() {
            None => "",
            Some("") => " --anon-key",
            Some(_) => " --anon-key …",
        };
        url + key
    }
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    if arguments.dry_run {
        plan::print(&arguments);
        return ExitCode::SUCCESS;
    }
    if arguments.write_migration || arguments.write_function {
        return command::run("install", write(&arguments)).await;
    }
    let mut steps = Steps::new(
        &plan::STEPS,
        format!("supaqueue install{}", arguments.target.options()),
    );
    command::run_steps("install", &mut steps, async |steps: &mut Steps| {
        install(&arguments, steps).await
    })
    .await
}

async fn install(arguments: &Arguments, steps: &mut Steps) -> Result<()> {
    let target = &arguments.target;
    let checked = steps.step(target.check()).await?;
    let project: Project = steps.show(target.choose(checked).await)?;
    steps.go_on_with(format!(
        "supaqueue install{}{}{}",
        project.options(),
        arguments.address_options(),
        prompt::option(arguments.yes)
    ));
    prompt::confirm(
        &format!("Install Supaqueue in {}?", project.name()),
        arguments.yes,
    )
    .await?;

    let mut installation = Installation::new(project);
    steps.step(installation.secret()).await?;
    steps.step(installation.functions_secret()).await?;
    steps
        .step(installation.address(
            arguments.project_url.as_deref(),
            arguments.anon_key.as_deref(),
        ))
        .await?;
    steps.step(installation.migrations()).await?;
    steps.step(installation.vault()).await?;
    steps.step(installation.function()).await?;
    steps.step(installation.tick()).await?;
    steps.step(installation.verify()).await?;
    tell!(
        "\nSupaqueue {} is installed in {}.",
        env!("CARGO_PKG_VERSION"),
        installation.project.name()
    );
    for left in installation.left_to_do() {
        tell!("Left to you: {left}");
    }
    Ok(())
}

/// Writes files into the user's folder, for those who bring them to the project themselves.
async fn write(arguments: &Arguments) -> Result<()> {
    let Some(folder) = arguments.target.working_folder() else {
        return Err(working_folder::missing());
    };
    let mut written = Vec::new();
    if arguments.write_migration {
        written.extend(folder.write_migrations(plan::stamp(std::time::SystemTime::now()))?);
    }
    if arguments.write_function {
        written.extend(folder.write_function()?);
    }
    for path in &written {
        tell!("✓ {path}");
    }
    if written.is_empty() {
        tell!("Everything is there already.");
    }
    let mut next = Vec::new();
    if arguments.write_migration {
        next.push("`supabase db push`");
    }
    if arguments.write_function {
        next.push("`supabase functions deploy supaqueue`");
    }
    if next.is_empty() {
        bail!("there is nothing to write");
    }
    tell!(
        "Next: {}, then `supaqueue install` for the secret, the address and the tick.",
        next.join(" and ")
    );
    Ok(())
}
