use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;

/// How many lines are kept.
const KEPT_LINES: usize = 200;

/// The last lines that a program of Postgres wrote.
#[derive(Debug, Clone, Default)]
pub(super) struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    pub(super) fn writer(&self) -> impl FnMut(String) + Send + 'static {
        let log = self.clone();
        move |line| {
            let mut lines = log.0.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .cloned()
            .collect()
    }

    pub(super) fn clear(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        self.lines().iter().any(|line| line.contains(text))
    }

    pub(super) fn failure(&self, program: &'static str) -> Error {
        let lines = self.lines();
        let end = lines.len().saturating_sub(8);
        Error::PostgresFailed {
            program,
            output: lines[end..].join("\n"),
        }
    }
}
