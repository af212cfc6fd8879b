//! The signals that end a command in order.

#[cfg(unix)]
pub(crate) use supaqueue_local::stop_requested;

/// Waits for Ctrl-C, which from the first poll on no longer ends the program.
#[cfg(windows)]
pub(crate) async fn stop_requested() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Where it cannot be heard it does what it does by default.
        std::future::pending().await
    }
}
