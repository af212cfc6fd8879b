//! The engine in Postgres. File = subject, test = claim.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod api;
mod constraints;
mod dispatch;
mod enqueue;
mod explain;
mod filter;
mod isolation;
mod job;
mod key_model;
mod keys;
mod lease;
mod migrations;
mod on_conflict;
mod operation;
mod order;
mod plans;
mod prefetch;
mod privileges;
mod problem;
mod pulse;
mod queue_status;
mod remedies;
mod report;
mod restore;
mod result;
mod retention;
mod run_now;
mod settings;
mod show_job;
mod tick;
mod upgrade;
mod users;
mod workers;
