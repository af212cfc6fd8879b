//! The signals that request an orderly shutdown.

/// Waits for Ctrl-C, SIGTERM or SIGHUP. From the first poll on, these no longer kill the program.
pub async fn stop_requested() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind: SignalKind| async move {
        match signal(kind) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            // Without a handler, the signal keeps its default effect.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}
