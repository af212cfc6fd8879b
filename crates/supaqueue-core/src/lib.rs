//! The decisions Supaqueue makes outside Postgres.
//!
//! This crate performs no I/O and reads no clock. It answers: is this request
//! from our database ([`door`], [`signature`]), what does it ask for
//! ([`protocol`]), what does a call of the target look like ([`request`]), what
//! does the target's answer mean ([`outcome`]), what does the database's answer
//! mean ([`answer`]), how much may one run still take on ([`budget`]), and what
//! does a lane do next ([`lane`]).
//!
//! Time and randomness are parameters everywhere, so that every decision can be
//! tested, and repeated, natively.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod answer;
pub mod backoff;
pub mod budget;
pub mod config;
pub mod door;
pub mod id;
pub mod json;
pub mod lane;
pub mod log;
pub mod outcome;
pub mod protocol;
pub mod request;
pub mod signature;
pub mod text;
pub mod time;
pub mod trace;
pub mod writer;
