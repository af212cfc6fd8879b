//! What went wrong on the way without ending the run.

use std::sync::{Arc, Mutex, PoisonError};

/// A list of errors that many write to.
#[derive(Debug, Clone, Default)]
pub(super) struct Errors(Arc<Mutex<Vec<String>>>);

impl Errors {
    /// Adds one, and shows it at once.
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
