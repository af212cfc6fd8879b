//! Errors that do not end the run.

use std::sync::{Arc, Mutex, PoisonError};

/// A shared list of errors.
#[derive(Debug, Clone, Default)]
pub(super) struct Errors(Arc<Mutex<Vec<String>>>);

impl Errors {
    /// Adds an error and prints it.
    pub(super) fn add(&self, what: &str, error: impl std::fmt::Display) {
        let text = format!("{what}: {error}");
        eprintln!("  {text}");
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    pub(super) fn all(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
