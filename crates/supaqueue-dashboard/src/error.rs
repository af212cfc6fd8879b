//! What a page says when there is nothing else to show.

use std::error::Error as _;

use axum::http::StatusCode;
use deadpool_postgres::PoolError;
use maud::{Markup, html};
use tokio_postgres::error::SqlState;

use crate::text;

/// Why a page cannot be shown, or an action not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error("the database did not answer in time")]
    TooSlow,
    #[error("Supaqueue is not installed in this database, or in another version: {0}")]
    NotInstalled(String),
    #[error("{}", .0.message)]
    Refused(Box<Refusal>),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the dashboard is read-only")]
    ReadOnly,
    /// The connection broke while a statement ran.
    #[error("it is unknown whether this was done: {0}")]
    Unsettled(String),
    /// A mistake of ours: the answer is not what the page expects.
    #[error("unexpected answer of the database: {0}")]
    Answer(String),
}

/// What Postgres says about a statement that it refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    pub(crate) code: String,
}

impl Error {
    pub(crate) fn answer(why: &str) -> Self {
        Self::Answer(why.to_owned())
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) | Self::TooSlow | Self::NotInstalled(_) | Self::Unsettled(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::ReadOnly => StatusCode::FORBIDDEN,
            Self::Answer(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(crate) fn title(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "Cannot reach the database",
            Self::TooSlow => "The database is too slow",
            Self::NotInstalled(_) => "Supaqueue is not installed",
            Self::Refused(_) => "The database refused this",
            Self::NotFound(_) => "Not found",
            Self::Invalid(_) => "Invalid request",
            Self::ReadOnly => "Read-only",
            Self::Unsettled(_) => "The connection was lost",
            Self::Answer(_) => "Unexpected answer",
        }
    }

    pub(crate) fn body(&self) -> Markup {
        html! {
            @match self {
                Self::Unreachable(why) => {
                    p { "The database does not answer." }
                    pre.message { (text::block(why)) }
                }
                Self::TooSlow => {
                    p { "A statement took more than 5 seconds. It was cancelled and changed nothing." }
                    p { "See what else runs: " code { "select pid, state, query from pg_stat_activity where state <> 'idle';" } }
                }
                Self::NotInstalled(why) => {
                    p { "This database has no Supaqueue, or another version than this program. Run " code { "supaqueue install" } " for it." }
                    pre.message { (text::block(why)) }
                }
                Self::Refused(refusal) => (refusal.show()),
                Self::NotFound(what) | Self::Invalid(what) => p { (text::inline(what)) },
                Self::ReadOnly => {
                    p { "This dashboard was started with " code { "--read-only" } ": it shows everything and changes nothing." }
                    p { "To act, start it without that option." }
                }
                Self::Unsettled(why) => {
                    p { "The connection to the database was lost while the statement ran. It was done or not, but not in part: see for yourself before you repeat it." }
                    pre.message { (text::block(why)) }
                }
                Self::Answer(why) => {
                    p { "The database answered something that this version of the dashboard does not understand. Run " code { "supaqueue doctor" } " for this database." }
                    pre.message { (text::block(why)) }
                }
            }
        }
    }
}

impl Refusal {
    pub(crate) fn show(&self) -> Markup {
        html! {
            p.error { (text::inline(&self.message)) }
            @if let Some(detail) = &self.detail { p { (text::inline(detail)) } }
            @if let Some(hint) = &self.hint { p { (text::inline(hint)) } }
            p.muted { "SQLSTATE " (self.code) }
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Self::Unreachable(root_cause(&error));
        };
        let code = db.code();
        if *code == SqlState::QUERY_CANCELED {
            return Self::TooSlow;
        }
        let is_missing = [
            SqlState::UNDEFINED_FUNCTION,
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_COLUMN,
            SqlState::INVALID_SCHEMA_NAME,
        ]
        .contains(code);
        if is_missing {
            return Self::NotInstalled(db.message().to_owned());
        }
        // Connection errors, and a server that starts, stops or has no slot left.
        if ["08", "28", "3D", "53", "57"].contains(&&code.code()[..2]) {
            return Self::Unreachable(db.message().to_owned());
        }
        Self::Refused(Box::new(Refusal {
            message: db.message().to_owned(),
            detail: db.detail().map(str::to_owned),
            hint: db.hint().map(str::to_owned),
            code: code.code().to_owned(),
        }))
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(_) => Self::Unreachable("no connection within 5 seconds".into()),
            error => Self::Unreachable(error.to_string()),
        }
    }
}

/// The message of the innermost cause: `tokio_postgres` only names the kind of failure.
fn root_cause(error: &tokio_postgres::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = cause.to_string();
        source = cause.source();
    }
    message
}
