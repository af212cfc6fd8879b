//! `supaqueue install`: installs or upgrades Supaqueue and changes only what differs.

mod embedded;
mod extensions;
mod plan;
mod steps;
mod verification;

use std::process::ExitCode;

use anyhow::Result;

use crate::command;
use crate::command_line::CommandLine;
use crate::output::errln;
use crate::project::{Deployment, Project, ProjectOptions, supabase_dir};
use crate::prompt::Confirmation;
use crate::steps::Steps;
pub(crate) use embedded::embedded_function;
use steps::Installation;

/// Installs or upgrades Supaqueue in a project, changing only what differs.
///
/// The schema and the function come from this program. The secret is generated in the project's
/// Vault and passed on to its functions; it never appears in a command line, a statement or a log.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    project: ProjectOptions,
    /// The project's URL as its database reaches it, such as `https://queue.example.com` [default: the platform's]
    #[arg(long, value_name = "URL")]
    project_url: Option<String>,
    /// For a gateway that requires an apikey: store this key in the Vault, or the project's own anon key if KEY is omitted
    #[arg(long, value_name = "KEY", num_args = 0..=1, default_missing_value = "")]
    anon_key: Option<String>,
    /// Run the jobs of a database that has another project's URL, as a copy has; the other project may run them, too
    #[arg(long)]
    take_over_jobs: bool,
    /// Only write the migrations to supabase/migrations, for `supabase db push`
    #[arg(long)]
    write_migration: bool,
    /// Only write the function to supabase/functions/supaqueue, and its entry to config.toml
    #[arg(long)]
    write_function: bool,
    /// Print the steps without running them
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Arguments {
    /// The command as it was given, for a project.
    fn command(&self, project: &ProjectOptions) -> CommandLine {
        let line = project
            .command("install")
            .option("--project-url", self.project_url.as_ref());
        let line = match self.anon_key.as_deref() {
            None => line,
            Some("") => line.word("--anon-key"),
            // A user may pass a secret key by mistake.
            Some(_) => line.secret("--anon-key", "ANON_KEY"),
        };
        let line = line.flag("--take-over-jobs", self.take_over_jobs);
        self.confirmation.add_to(line)
    }
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    if arguments.dry_run {
        plan::print(&arguments);
        return ExitCode::SUCCESS;
    }
    if arguments.write_migration || arguments.write_function {
        return command::run("install", async {
            write_files(&arguments)?;
            Ok(ExitCode::SUCCESS)
        })
        .await;
    }
    let steps = Steps::new(&plan::STEPS, arguments.command(&arguments.project));
    command::run_steps("install", steps, async |steps: &mut Steps| {
        install(&arguments, steps).await
    })
    .await
}

async fn install(arguments: &Arguments, steps: &mut Steps) -> Result<()> {
    let project = arguments.project.open(steps).await?;
    steps.resume_with(arguments.command(&project.options));
    let question = format!("Install Supaqueue in {}?", project.name());
    arguments.confirmation.ask(&question).await?;

    let mut installation = Installation::new(project).await?;
    installation.check_jobs(arguments).await?;
    steps.step(installation.secret()).await?;
    steps.step(installation.functions_secret()).await?;
    steps
        .step(installation.project_url(
            arguments.project_url.as_deref(),
            arguments.anon_key.as_deref(),
        ))
        .await?;
    steps.step(installation.migrations()).await?;
    steps.step(installation.vault()).await?;
    steps.step(installation.function()).await?;
    steps.step(installation.tick()).await?;
    steps.step(installation.verify()).await?;
    errln!(
        "\nSupaqueue {} is installed in {}.",
        env!("CARGO_PKG_VERSION"),
        installation.project.name()
    );
    for next_step in installation
        .next_steps()
        .into_iter()
        .chain(write_migrations(&installation.project)?)
    {
        errln!("Next step: {next_step}");
    }
    Ok(())
}

/// What to do where the user's migrations lack the schema: what is built from them would have none of it.
fn write_migrations(project: &Project) -> Result<Option<String>> {
    let is_self_hosted = matches!(project.deployment, Deployment::DatabaseOnly);
    let Some(dir) = project.options.supabase_dir().filter(|_| !is_self_hosted) else {
        return Ok(None);
    };
    if dir.migrations()?.is_empty() || dir.missing_migrations(None)?.is_empty() {
        return Ok(None);
    }
    Ok(Some(format!(
        "add the schema to your migrations, or preview branches and `supabase db reset` come up without it: `{}`",
        dir.supaqueue("install --write-migration")
    )))
}

/// Writes files to the user's `supabase` folder instead of changing the project.
fn write_files(arguments: &Arguments) -> Result<()> {
    let dir = arguments
        .project
        .supabase_dir()
        .ok_or_else(supabase_dir::missing)?;
    let mut written = Vec::new();
    let mut next = Vec::new();
    if arguments.write_migration {
        written.extend(dir.write_migrations(None)?);
        next.push(format!("`{}`", dir.push()));
    }
    if arguments.write_function {
        written.extend(dir.write_function()?);
        let deploy = dir.supabase("functions deploy supaqueue");
        next.push(format!("`{deploy}`"));
    }
    for path in &written {
        errln!("✓ {path}");
    }
    if written.is_empty() {
        errln!("All files are up to date.");
    }
    errln!(
        "Next: {}, then `{}` for the secret, the URL and the tick.",
        next.join(" and "),
        arguments.project.command("install")
    );
    Ok(())
}
