//! Polling with a deadline.

use std::time::{Duration, Instant};

use crate::Result;

/// Polls until `condition` holds. Returns whether it did within `timeout`.
pub(crate) async fn poll(
    interval: Duration,
    timeout: Duration,
    mut condition: impl AsyncFnMut() -> Result<bool>,
) -> Result<bool> {
    let deadline = Instant::now() + timeout;
    while !condition().await? {
        if Instant::now() > deadline {
            return Ok(false);
        }
        tokio::time::sleep(interval).await;
    }
    Ok(true)
}
