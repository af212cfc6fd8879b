//! `supaqueue init`: writes what Supaqueue needs into the user's `supabase` folder.

mod first_queue;
mod plan;

use std::process::ExitCode;

use anyhow::Result;

use crate::command;
use crate::command_line::CommandLine;
use crate::output::errln;
use crate::project::file_set;
use crate::project::supabase_dir::{self, SupabaseDir};
use crate::prompt::{self, Confirmation};
use crate::user_error::user_error;
use first_queue::{FirstQueue, workers};
use plan::Plan;

/// Writes Supaqueue into a project's `supabase` folder: migrations, the supaqueue function, and a first queue.
///
/// It changes no database and sends nothing. Files that are there stay as they are, so it can be run again at any time.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The edge function that the queue calls; a sample is written if it does not exist [default: the only one, or hello]
    #[arg(long, value_name = "NAME", value_parser = first_queue::function)]
    function: Option<String>,
    /// The queue's name [default: the function's]
    #[arg(long, value_name = "NAME", value_parser = first_queue::queue)]
    queue: Option<String>,
    /// The queue's number of workers: how many calls may run at once [default: 2]
    #[arg(long, value_name = "N", value_parser = workers)]
    workers: Option<u16>,
    /// The folder that contains the project's `supabase` folder [default: this folder or a parent]
    #[arg(long, value_name = "DIR")]
    workdir: Option<std::path::PathBuf>,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    command::run("init", async {
        init(&arguments).await?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

async fn init(arguments: &Arguments) -> Result<()> {
    let dir = SupabaseDir::find(arguments.workdir.as_deref()).ok_or_else(supabase_dir::missing)?;
    if !arguments.confirmation.is_given() && !prompt::is_interactive() {
        return Err(user_error(
            "cannot prompt: stdin is not a terminal",
            "Run this again with --yes; --function, --queue and --workers answer its questions.",
        ));
    }
    let queue = FirstQueue::choose(arguments, &dir).await?;
    let plan = Plan::new(&dir, queue.as_ref(), jiff::Timestamp::now())?;
    let names = plan.files.names();
    if names.is_empty() {
        errln!("Nothing was changed: all files are there.");
        plan.print_kept();
        return Ok(());
    }
    if !arguments.confirmation.is_given() {
        errln!("\nFiles to write:");
        for name in &names {
            errln!("  {name}");
        }
        prompt::confirm("Write them?").await?;
    }
    plan.files.write()?;
    for name in &names {
        errln!("✓ {name}");
    }
    plan.print_kept();
    print_next(&dir, queue.as_ref());
    Ok(())
}

/// What brings the files into a project.
fn print_next(dir: &SupabaseDir, queue: Option<&FirstQueue>) {
    errln!("\nNext, to bring them into a project:");
    if dir.linked_project().is_none() {
        errln!("  {}", dir.supabase("link"));
    }
    errln!("  {}", dir.push());
    errln!("  {}", dir.supaqueue("install"));
    if let Some(queue) = queue {
        let deploy = dir.supabase("functions deploy");
        errln!("  {}", deploy.word(&queue.function));
        errln!("Then run a job, for example from the SQL editor:");
        errln!("  {}", queue.enqueue());
    }
    // The local stack needs Unix.
    let place = if cfg!(windows) { " in WSL," } else { "" };
    errln!("To try them on this machine first,{place} without Docker or an account:");
    errln!("  {}", CommandLine::supaqueue("dev"));
    errln!("For the local stack of `supabase start`, instead:");
    errln!("  {}", dir.supabase("migration up"));
    errln!("  {}", dir.supaqueue("install --local"));
}

/// Lines about files that were not written although they differ.
fn kept(path: &std::path::Path, remedy: impl std::fmt::Display) -> String {
    format!("Kept {}: {remedy}", file_set::name(path))
}
