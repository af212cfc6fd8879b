//! Errors that tell the user how to fix them.

use std::fmt::{self, Display};

use crate::output::errln;
use crate::redact::redact;

#[derive(Debug)]
struct UserError {
    message: String,
    remedy: String,
}

impl Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for UserError {}

/// An error with a remedy.
pub(crate) fn user_error(message: impl Display, remedy: impl Display) -> anyhow::Error {
    anyhow::Error::new(UserError {
        message: redact(&message.to_string()),
        remedy: redact(&remedy.to_string()),
    })
}

/// The remedy of an error, if it or one of its causes has one.
pub(crate) fn remedy(error: &anyhow::Error) -> Option<&str> {
    error
        .chain()
        .find_map(|cause| cause.downcast_ref::<UserError>())
        .map(|error| error.remedy.as_str())
}

/// Prints an error after a prefix, and its remedy on the next line.
pub(crate) fn print(prefix: &str, error: &anyhow::Error) {
    errln!("{prefix}: {}", redact(&format!("{error:#}")));
    if let Some(remedy) = remedy(error) {
        errln!("  {remedy}");
    }
}
