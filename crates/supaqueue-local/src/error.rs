use std::path::PathBuf;

/// What the local stack cannot do, and why.
///
/// Messages name the remedy where there is one, so that a command line can print them as they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No Postgres was found, or the one named is not complete.
    #[error(
        "no Postgres found: {0}; run ./scripts/setup, or name a folder that holds `postgres` and `initdb` in SUPAQUEUE_POSTGRES_BIN"
    )]
    NoPostgres(String),
    /// No Deno was found, or the one named does not run.
    #[error("no Deno found: {0}; run ./scripts/setup, or name the program in SUPAQUEUE_DENO")]
    NoDeno(String),
    /// A program of Postgres ended with an error; `output` is what it wrote.
    #[error("{program} failed: {output}")]
    PostgresFailed {
        /// The program: `initdb` or `postgres`.
        program: &'static str,
        /// The end of what it wrote.
        output: String,
    },
    /// Something did not happen in time.
    #[error("{0} within {1} s")]
    TooSlow(String, u64),
    /// A statement was refused, or the connection failed.
    #[error("{doing}: {}", describe(.cause))]
    Database {
        /// What was being done, as a sentence that begins with "cannot".
        doing: String,
        /// The answer of Postgres.
        cause: tokio_postgres::Error,
    },
    /// A file or folder could not be read or written.
    #[error("{doing} {path}: {cause}")]
    File {
        /// What was being done: "cannot read", "cannot copy to".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The answer of the operating system.
        cause: std::io::Error,
    },
    /// A process could not be started.
    #[error("cannot start {program}: {cause}")]
    Process {
        /// The program.
        program: String,
        /// The answer of the operating system.
        cause: std::io::Error,
    },
    /// What was asked for cannot be done.
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

/// `tokio_postgres::Error` displays as "db error" alone; the server's own words are one level down.
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
