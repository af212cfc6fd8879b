use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::{Error, lock};

const KEPT_LINES: usize = 200;

/// The last lines of output of a Postgres program.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerLog(Arc<Mutex<VecDeque<String>>>);

impl ServerLog {
    pub(super) fn writer(&self) -> impl FnMut(String) + Send + 'static {
        let log = self.clone();
        move |line| {
            let mut lines = lock(&log.0);
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        lock(&self.0).iter().cloned().collect()
    }

    pub(super) fn clear(&self) {
        lock(&self.0).clear();
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        lock(&self.0).iter().any(|line| line.contains(text))
    }

    /// The error of a program that exited: its last lines.
    pub(super) fn failure(&self, program: &'static str) -> Error {
        let lines = self.lines();
        let end = lines.len().saturating_sub(8);
        Error::PostgresFailed {
            program,
            output: lines[end..].join("\n"),
        }
    }
}
