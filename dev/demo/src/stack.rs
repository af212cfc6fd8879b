//! Runs a demo on a local stack.

use std::time::{Duration, Instant};

use anyhow::Result;
use supaqueue_local::{Stack, stop_requested};

use super::progress::Spinner;

/// The folder of the target functions.
const FUNCTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/functions");

/// How a demo ended.
pub(super) enum Outcome {
    /// Every job succeeded, with no more calls in flight than workers.
    Success,
    Failure,
    /// By a signal, with the exit status for it.
    Interrupted(u8),
}

/// Starts the stack, does the work until it ends or is interrupted, and stops the stack in any case.
/// The work gets the time that the start took.
pub(super) async fn with_stack(
    work: impl AsyncFnOnce(&Stack, Duration) -> Result<Outcome>,
) -> Result<Outcome> {
    let mut stop = std::pin::pin!(stop_requested());
    let spinner = Spinner::new("starting Postgres, the gateway and the functions");
    let begin = Instant::now();
    let stack = tokio::select! {
        stack = Stack::builder().functions(FUNCTIONS).start() => stack?,
        // Dropping the future also stops everything that has started.
        status = &mut stop => return Ok(Outcome::Interrupted(status)),
    };
    let start_time = begin.elapsed();
    drop(spinner);
    let outcome = tokio::select! {
        outcome = work(&stack, start_time) => outcome,
        status = &mut stop => Ok(Outcome::Interrupted(status)),
    };
    stack.stop().await;
    outcome
}
