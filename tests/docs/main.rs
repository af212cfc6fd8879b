//! The documentation is true: links resolve, the files and tests it names exist, its examples run,
//! and the reference agrees with the database.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod examples;
mod guarantees;
mod links;
mod page;
mod performance;
mod reference;
