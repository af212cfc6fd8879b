//! `supaqueue dev`: runs the local stack until Ctrl-C.

mod programs;
mod screen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use supaqueue_dashboard::{Access, ConfigConnectImpl, Dashboard, Options};
use supaqueue_local::{Error, Migrations, PostgresSource, Stack};
use tokio::sync::broadcast::error::RecvError;
use tokio_postgres::NoTls;

use crate::output::{errln, spinner};
use crate::signal::stop_requested;
use crate::user_error;

use screen::{Log, print_stack};

/// The exit status for invalid input, which is also clap's.
const INVALID_INPUT: u8 = 2;

/// Where the Supabase CLI keeps migrations and seeds.
const SUPABASE: &str = "supabase";

/// Where `supabase functions new` puts functions.
const DEFAULT_FUNCTIONS: &str = "supabase/functions";

/// Starts a local stack for development and tests: Postgres with Supaqueue installed, a gateway, and
/// your functions. Applies the migrations and seeds in `supabase`, and new ones while it runs.
///
/// Its data is deleted when it stops.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A folder of functions; may be repeated [default: supabase/functions, if it exists]
    #[arg(long, value_name = "DIR")]
    functions: Vec<PathBuf>,
    /// Use a running Postgres on this machine instead of starting one. What is created in it stays; one with an installation of Supaqueue is refused
    #[arg(long, value_name = "URL", conflicts_with = "postgres_bin")]
    db_url: Option<String>,
    /// Use the `postgres` and `initdb` in this folder instead of those that npm installed
    #[arg(long, value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    /// The gateway's port [default: a free one]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

/// Starts the stack, prints the functions' logs, and stops on Ctrl-C or SIGTERM.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let error = match dev(arguments).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    user_error::print("supaqueue dev", &error);
    match error.downcast_ref() {
        Some(Error::Invalid(_) | Error::File { .. }) => ExitCode::from(INVALID_INPUT),
        _ => ExitCode::FAILURE,
    }
}

async fn dev(arguments: Arguments) -> Result<()> {
    if let Some(bin) = &arguments.postgres_bin
        && !bin.join("postgres").is_file()
    {
        return Err(Error::Invalid(format!("{} contains no `postgres`", bin.display())).into());
    }
    // One future for startup and operation, so that Ctrl-C shuts down cleanly during both.
    let mut stop = std::pin::pin!(stop_requested());

    let postgres = match (arguments.db_url, arguments.postgres_bin) {
        (Some(url), _) => PostgresSource::Url(url),
        (None, Some(bin)) => PostgresSource::Bin(bin),
        (None, None) => PostgresSource::Embedded,
    };
    tokio::select! {
        provided = programs::provide(&postgres) => provided?,
        _ = &mut stop => return Ok(()),
    }
    let mut builder = Stack::builder()
        .port(arguments.port.unwrap_or(0))
        .postgres(postgres);
    let mut functions = arguments.functions;
    if functions.is_empty() && Path::new(DEFAULT_FUNCTIONS).is_dir() {
        functions.push(DEFAULT_FUNCTIONS.into());
    }
    for folder in functions {
        builder = builder.functions(folder);
    }

    let spinner = spinner("starting Postgres, the gateway and the functions");
    let stack = tokio::select! {
        stack = builder.start() => {
            spinner.finish_and_clear();
            stack?
        }
        // Dropping the future stops everything that has started.
        _ = &mut stop => return Ok(()),
    };
    let mut logs = stack.logs();
    let mut migrations = Migrations::new(SUPABASE, stack.database());
    let progress = tokio::select! {
        progress = migrations.advance() => progress.unwrap_or_default(),
        _ = &mut stop => {
            stack.stop().await;
            return Ok(());
        }
    };
    let dashboard = dashboard(&stack).await?;
    print_stack(&stack, dashboard.link(), &progress);
    let mut dashboard = std::pin::pin!(dashboard.serve());
    let log = Log::of(&stack);
    log.print_progress(&progress);
    let mut migrations = migrations.watch();
    loop {
        tokio::select! {
            _ = &mut stop => break,
            () = &mut dashboard => break,
            Some(progress) = migrations.recv() => {
                for file in &progress.applied {
                    log.print_migration(&format!("applied {file}"));
                }
                log.print_progress(&progress);
            }
            line = logs.recv() => match line {
                Ok(line) => log.print(&line),
                Err(RecvError::Lagged(lost)) => errln!("({lost} log lines were dropped)"),
                Err(RecvError::Closed) => break,
            },
        }
    }
    errln!("stopping");
    stack.stop().await;
    Ok(())
}

async fn dashboard(stack: &Stack) -> Result<Dashboard> {
    let options = Options {
        project: "local stack".into(),
        access: Access::Token { port: 0 },
        is_read_only: false,
    };
    let connect = ConfigConnectImpl { tls: NoTls };
    Ok(Dashboard::bind(options, stack.db_url().parse()?, connect).await?)
}
