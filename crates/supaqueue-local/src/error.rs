use std::path::PathBuf;

use crate::programs::{DENO_VARIABLE, POSTGRES_VARIABLE, Program, remedy};

/// Why the local stack could not do something.
///
/// Messages include the remedy where one is known, so a command-line program can print them as is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Postgres was not found, or the installation is incomplete.
    #[error(
        "cannot run Postgres: {0}; {remedy}, or set {POSTGRES_VARIABLE} to a folder that contains `postgres` and `initdb`",
        remedy = remedy(&[Program::Postgres])
    )]
    NoPostgres(String),
    /// Deno was not found, or does not run.
    #[error(
        "cannot run Deno: {0}; {remedy}, or set {DENO_VARIABLE} to a Deno executable",
        remedy = remedy(&[Program::Deno])
    )]
    NoDeno(String),
    /// A Postgres program exited with an error.
    #[error("{program} failed: {output}")]
    PostgresFailed {
        /// The program: `initdb` or `postgres`.
        program: &'static str,
        /// The last lines of its output.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{0} within {1} s")]
    TooSlow(String, u64),
    /// A statement was rejected, or the connection failed.
    #[error("{doing}: {}", describe(.cause))]
    Database {
        /// What was attempted: a clause that begins with "cannot".
        doing: String,
        /// The error from Postgres or the connection.
        cause: tokio_postgres::Error,
    },
    /// A file or folder could not be read or written.
    #[error("{doing} {path}: {cause}")]
    File {
        /// What was attempted: "cannot read", "cannot write".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error from the operating system.
        cause: std::io::Error,
    },
    /// A process could not be started.
    #[error("cannot start {program}: {cause}")]
    Process {
        /// The program.
        program: String,
        /// The error from the operating system.
        cause: std::io::Error,
    },
    /// The request cannot be fulfilled.
    #[error("{0}")]
    Invalid(String),
}

/// `Result` with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn database(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |cause| Self::Database {
            doing: doing.into(),
            cause,
        }
    }

    pub(crate) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::File {
            doing,
            path: path.into(),
            cause,
        }
    }
}

/// `tokio_postgres::Error` displays as just "db error"; the server's message is in the error below it.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => {
            let mut text = format!("{} ({})", db.message(), db.code().code());
            for (label, part) in [
                ("", db.detail()),
                ("hint: ", db.hint()),
                ("at ", db.where_()),
            ] {
                if let Some(part) = part {
                    text.push_str(&format!("\n  {label}{part}"));
                }
            }
            text
        }
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
