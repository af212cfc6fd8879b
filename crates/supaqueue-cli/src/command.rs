//! Runs a command to its end or to Ctrl-C, and turns the outcome into an exit status.

use std::process::ExitCode;

use anyhow::Result;

use crate::output::errln;
use crate::signal::stop_requested;
use crate::steps::Steps;
use crate::user_error;

/// The status by which shells report a program stopped by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Runs a command that has no steps.
pub(crate) async fn run(name: &str, work: impl Future<Output = Result<()>>) -> ExitCode {
    tokio::select! {
        result = work => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                user_error::print(&format!("supaqueue {name}"), &error);
                ExitCode::FAILURE
            }
        },
        () = stop_requested() => interrupted(name),
    }
}

/// Runs a command in steps, and reports on failure which of them are done.
pub(crate) async fn run_steps(
    name: &str,
    mut steps: Steps,
    work: impl AsyncFnOnce(&mut Steps) -> Result<()>,
) -> ExitCode {
    let outcome = tokio::select! {
        result = work(&mut steps) => Some(result),
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
            interrupted(name)
        }
    }
}

fn interrupted(name: &str) -> ExitCode {
    errln!("supaqueue {name}: interrupted; run it again to resume");
    ExitCode::from(INTERRUPTED)
}
