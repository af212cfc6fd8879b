//! The add-on job dependencies. File = subject, test = claim.
//!
//! Jobs are driven as a run of the supaqueue function would drive them: by pulses and reports.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod database;
mod enqueue;
mod failure;
mod installation;
mod keys;
mod pipeline;
mod plans;
mod race;
mod random;
mod readme;
mod refusal;
mod release;
mod results;
mod wide;
