//! The add-on job dependencies: file = part of it, test = claim.
//!
//! Jobs are driven as a lane of the supaqueue function would: by reports.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod document;
mod failure;
mod house;
mod picture;
mod plans;
mod race;
mod random;
mod readme;
mod refusal;
mod release;
mod removal;
mod results;
#[path = "../race/session.rs"]
#[allow(dead_code)] // shared with the races of the engine, which use all of it
mod session;
