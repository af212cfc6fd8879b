//! The `supaqueue` program. On Windows, `supaqueue dev` only says what to do instead, as the local
//! stack needs Unix.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod act;
mod add_on;
mod command;
mod command_line;
mod dashboard;
#[cfg_attr(not(unix), path = "dev/unsupported.rs")]
mod dev;
mod doctor;
mod init;
mod install;
mod job;
mod live;
mod output;
mod pause;
mod project;
mod prompt;
mod redact;
mod remove;
mod replay;
mod rotate_secret;
mod signal;
mod status;
mod steps;
mod tail;
mod text;
mod user_error;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Queues for Supabase edge functions.
#[derive(Debug, Parser)]
#[command(name = "supaqueue", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Arguments),
    Init(init::Arguments),
    Install(install::Arguments),
    Remove(remove::Arguments),
    Doctor(doctor::Arguments),
    Dashboard(dashboard::Arguments),
    Status(status::Arguments),
    Job(job::Arguments),
    Tail(tail::Arguments),
    Retry(act::Retry),
    Cancel(act::Cancel),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Replay(replay::Arguments),
    RotateSecret(rotate_secret::Arguments),
    AddOn(add_on::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Dev(arguments) => dev::run(arguments).await,
        Command::Init(arguments) => init::run(arguments).await,
        Command::Install(arguments) => install::run(arguments).await,
        Command::Remove(arguments) => remove::run(arguments).await,
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Dashboard(arguments) => dashboard::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Job(arguments) => job::run(arguments).await,
        Command::Tail(arguments) => tail::run(arguments).await,
        Command::Retry(arguments) => act::retry(arguments).await,
        Command::Cancel(arguments) => act::cancel(arguments).await,
        Command::Pause(arguments) => pause::pause(arguments).await,
        Command::Resume(arguments) => pause::resume(arguments).await,
        Command::Replay(arguments) => replay::run(arguments).await,
        Command::RotateSecret(arguments) => rotate_secret::run(arguments).await,
        Command::AddOn(arguments) => add_on::run(arguments).await,
    }
}
