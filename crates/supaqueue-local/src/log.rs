//! The lines that functions and stand-ins write.

use tokio::sync::broadcast;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Who wrote it: a function's name, or the extension that a stand-in stands in for.
    pub source: String,
    /// The line, without its end.
    pub text: String,
}

/// Where lines go. A reader that lags behind by more than a few thousand lines loses the oldest.
#[derive(Debug, Clone)]
pub(crate) struct LogSink(broadcast::Sender<LogLine>);

impl Default for LogSink {
    fn default() -> Self {
        Self(broadcast::channel(4096).0)
    }
}

impl LogSink {
    pub(crate) fn write(&self, source: &str, text: impl Into<String>) {
        // Nobody may be listening.
        let _ = self.0.send(LogLine {
            source: source.to_owned(),
            text: text.into(),
        });
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<LogLine> {
        self.0.subscribe()
    }
}
