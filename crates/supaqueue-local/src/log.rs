//! Log lines of functions and emulated extensions.

use tokio::sync::broadcast;

/// One log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The function or emulated extension that wrote it.
    pub source: String,
    /// The line, without its line ending.
    pub text: String,
}

/// Broadcasts log lines. A subscriber that falls more than 4096 lines behind loses the oldest.
#[derive(Debug, Clone)]
pub(crate) struct LogSink(broadcast::Sender<LogLine>);

impl Default for LogSink {
    fn default() -> Self {
        Self(broadcast::channel(4096).0)
    }
}

impl LogSink {
    pub(crate) fn write(&self, source: &str, text: impl Into<String>) {
        // Fails only when there are no subscribers.
        let _ = self.0.send(LogLine {
            source: source.to_owned(),
            text: text.into(),
        });
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.0.subscribe()
    }
}
