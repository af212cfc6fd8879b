//! Support for the tests of Supaqueue as a whole: a database per test ([`Db`]), connections whose
//! statements may block ([`Session`]), and what a run asks of the database ([`protocol`]).
//!
//! `SUPAQUEUE_POSTGRES_BIN` selects another Postgres than the embedded 17.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod database;
pub mod protocol;
mod session;

use std::path::PathBuf;

pub use database::{
    Db, SECRET, TICK, TICK_IN_TRANSACTION, assert_rows, break_function, eventually, get,
    let_functions_pause, postgres, refusal, rows_read, run, try_get,
};
pub use session::{Session, Started};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .unwrap()
}

/// The seed that an environment variable sets, or one taken from the clock.
#[must_use]
pub fn seed(variable: &str) -> u64 {
    match std::env::var(variable) {
        Ok(seed) => seed
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is not a number")),
        Err(_) => std::time::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .subsec_nanos()
            .into(),
    }
}
