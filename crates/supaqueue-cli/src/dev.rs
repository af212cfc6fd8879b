//! `supaqueue dev`: runs the local stack until Ctrl-C.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use supaqueue_local::{Error, ExtensionKind, LogLine, PostgresSource, Stack};
use tokio::sync::broadcast::error::RecvError;

use crate::signal::stop_requested;

/// The exit status for unusable arguments.
const BAD_INPUT: u8 = 2;

/// Starts a local Supabase-like environment with Postgres, an API gateway, edge functions and
/// Supaqueue. For development and tests; its data is deleted when it stops.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Folder of edge functions; can be repeated [default: supabase/functions, if it exists]
    #[arg(long, value_name = "DIR")]
    functions: Vec<PathBuf>,
    /// Address of a running Postgres to use instead of a temporary one
    #[arg(long, value_name = "URL", conflicts_with = "postgres_bin")]
    db_url: Option<String>,
    /// Folder with `postgres` and `initdb` to use instead of the embedded Postgres
    #[arg(long, value_name = "DIR")]
    postgres_bin: Option<PathBuf>,
    /// Port of the gateway [default: a free port]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

/// Starts the stack, prints the output of its functions, and stops it on Ctrl-C or SIGTERM.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let error = match dev(arguments).await {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    eprintln!("supaqueue dev: {error:#}");
    match error.downcast_ref() {
        Some(Error::Invalid(_) | Error::File { .. }) => ExitCode::from(BAD_INPUT),
        _ => ExitCode::FAILURE,
    }
}

async fn dev(arguments: Arguments) -> Result<()> {
    if let Some(bin) = &arguments.postgres_bin
        && !bin.join("postgres").is_file()
    {
        return Err(
            Error::Invalid(format!("{} does not contain `postgres`", bin.display())).into(),
        );
    }
    // From the start, so that Ctrl-C during startup is an orderly stop too.
    let mut stop = std::pin::pin!(stop_requested());

    let mut builder = Stack::builder().port(arguments.port.unwrap_or(0)).postgres(
        match (arguments.db_url, arguments.postgres_bin) {
            (Some(url), _) => PostgresSource::Url(url),
            (None, Some(bin)) => PostgresSource::Bin(bin),
            (None, None) => PostgresSource::Embedded,
        },
    );
    let mut functions = arguments.functions;
    let default = Path::new("supabase/functions");
    if functions.is_empty() && default.is_dir() {
        functions.push(default.to_owned());
    }
    for folder in functions {
        builder = builder.functions(folder);
    }

    let spinner = spinner();
    let stack = tokio::select! {
        stack = builder.start() => {
            spinner.finish_and_clear();
            stack?
        }
        // Dropping the future stops what has been started.
        () = &mut stop => return Ok(()),
    };
    let mut logs = stack.logs();
    print(&stack)?;
    loop {
        tokio::select! {
            () = &mut stop => break,
            line = logs.recv() => match line {
                Ok(line) => print_line(&line),
                Err(RecvError::Lagged(lost)) => eprintln!("({lost} log lines were lost)"),
                Err(RecvError::Closed) => break,
            },
        }
    }
    eprintln!("stopping");
    stack.stop().await;
    Ok(())
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        spinner.set_style(style);
    }
    spinner.set_message("starting Postgres, the gateway and the functions");
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

fn print(stack: &Stack) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut row = |name: &str, value: &str| writeln!(out, "{name:<17} {value}");
    row("Database", stack.db_url())?;
    row("Project address", stack.gateway_url())?;
    row("anon key", stack.anon_key())?;
    row("service_role key", stack.service_role_key())?;
    row("publishable key", stack.keys().publishable())?;
    row("secret key", stack.keys().secret())?;
    row("Functions", &stack.functions().join(", "))?;
    row("Postgres", stack.postgres_version())?;
    for kind in ExtensionKind::ALL {
        let version = stack.extensions().real(kind).unwrap_or("emulated");
        row(kind.extension(), version)?;
    }
    writeln!(
        out,
        "\nFor development and tests only: the gateway serves /rest/v1/rpc/* and /functions/v1/*."
    )?;
    if stack.postgres().is_some() {
        writeln!(out, "The database is deleted when it stops.")?;
    }
    writeln!(
        out,
        "Press Ctrl-C to stop. The output of the functions follows."
    )?;
    out.flush()
}

fn print_line(line: &LogLine) {
    let mut out = std::io::stdout().lock();
    // The stack keeps running if stdout is closed.
    let _ = if out.is_terminal() {
        writeln!(out, "\x1b[2m{:>16} |\x1b[0m {}", line.source, line.text)
    } else {
        writeln!(out, "{:>16} | {}", line.source, line.text)
    };
}
