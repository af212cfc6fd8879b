//! Runs a command to its end or to a signal, and turns the outcome into an exit status.

use std::process::ExitCode;

use anyhow::Result;

use crate::output::errln;
use crate::signal::stop_requested;
use crate::steps::Steps;
use crate::user_error;

/// Runs a command that has no steps.
pub(crate) async fn run(name: &str, work: impl Future<Output = Result<ExitCode>>) -> ExitCode {
    tokio::select! {
        result = work => match result {
            Ok(status) => status,
            Err(error) => {
                user_error::print(&format!("supaqueue {name}"), &error);
                ExitCode::FAILURE
            }
        },
        status = stop_requested() => interrupted(name, status),
    }
}

/// Runs a command in steps, and reports on failure which of them are done.
pub(crate) async fn run_steps(
    name: &str,
    mut steps: Steps,
    work: impl AsyncFnOnce(&mut Steps) -> Result<()>,
) -> ExitCode {
    let outcome = tokio::select! {
        result = work(&mut steps) => Ok(result),
        status = stop_requested() => Err(status),
    };
    match outcome {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            steps.report(&error);
            ExitCode::FAILURE
        }
        Err(status) => {
            steps.report(&anyhow::anyhow!("interrupted"));
            interrupted(name, status)
        }
    }
}

fn interrupted(name: &str, status: u8) -> ExitCode {
    errln!("supaqueue {name}: interrupted; run it again to resume");
    ExitCode::from(status)
}
