//! The signals that stop a command gracefully.

#[cfg(unix)]
pub(crate) use supaqueue_local::stop_requested;

/// Waits for Ctrl-C, which no longer terminates the program once this has been polled. Returns the
/// exit status for it.
#[cfg(windows)]
pub(crate) async fn stop_requested() -> u8 {
    if tokio::signal::ctrl_c().await.is_err() {
        // The handler could not be installed, so Ctrl-C keeps its default effect.
        std::future::pending().await
    }
    130
}
