//! The engine in Postgres: folder = subject, file = part of it, test = claim.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod constraints;
mod dispatch;
mod enqueue;
mod explain;
mod life;
mod migrations;
mod order;
mod plans;
mod privileges;
mod reclaim;
mod report;
mod retention;
mod status;
mod upgrade;
mod workers;
