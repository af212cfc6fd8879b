//! The signals that end a command in order.

/// Waits for Ctrl-C, SIGTERM or SIGHUP, which from the first poll on no longer end the program.
#[cfg(unix)]
pub(crate) async fn stop_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Where it cannot be heard it does what it does by default.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

/// Waits for Ctrl-C, which from the first poll on no longer ends the program.
#[cfg(windows)]
pub(crate) async fn stop_requested() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Where it cannot be heard it does what it does by default.
        std::future::pending().await
    }
}
