//! How a command ends: with a message and a status, also when it is interrupted.

use std::process::ExitCode;

use anyhow::Result;

use crate::output::tell;
use crate::problem::{Problem, redact};
use crate::signal::stop_requested;
use crate::steps::Steps;

/// Stopped by Ctrl-C, as a shell counts it.
const INTERRUPTED: u8 = 130;

/// Runs a command that has no steps to report.
pub(crate) async fn run(name: &str, work: impl Future<Output = Result<()>>) -> ExitCode {
    tokio::select! {
        result = work => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                print(name, &error);
                ExitCode::FAILURE
            }
        },
        () = stop_requested() => interrupted_exit(name),
    }
}

/// Runs a command in steps: at a failure it says what was done and what was not.
pub(crate) async fn run_steps(
    name: &str,
    steps: &mut Steps,
    work: impl AsyncFnOnce(&mut Steps) -> Result<()>,
) -> ExitCode {
    let outcome = tokio::select! {
        result = work(steps) => Some(result),
        () = stop_requested() => None,
    };
    match outcome {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => {
            steps.report(&error);
            ExitCode::FAILURE
        }
        None => {
            steps.report(&anyhow::anyhow!("interrupted"));
            interrupted_exit(name)
        }
    }
}

/// Prints an error and its remedy.
pub(crate) fn print(name: &str, error: &anyhow::Error) {
    tell!("supaqueue {name}: {}", redact(&format!("{error:#}")));
    if let Some(remedy) = Problem::remedy(error) {
        tell!("  {remedy}");
    }
}

fn interrupted_exit(name: &str) -> ExitCode {
    tell!("supaqueue {name}: interrupted; running it again goes on where it stopped");
    ExitCode::from(INTERRUPTED)
}
