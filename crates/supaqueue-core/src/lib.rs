//! The decisions Supaqueue makes outside Postgres.
//!
//! This crate performs no I/O and reads no clock: time and randomness are
//! parameters, so every decision can be tested, and reproduced, natively.
//! `supaqueue-edge` carries the decisions out.
//!
//! | question | module |
//! |---|---|
//! | which settings does the environment hold? | [`config`] |
//! | is an inbound request from our database, and what do we reply? | [`inbound`], [`signature`] |
//! | what do dispatches, pulses and reports look like? | [`protocol`] |
//! | what does a run do next? | [`run`] |
//! | how much work may it still take on? | [`budget`] |
//! | how does that become requests, and how are answers read? | [`isolate`] |
//! | what does the call of a target function look like? | `target`, `trace` |
//! | what does the end of that call mean for its job? | `outcome`, `retry_after` |
//! | what if the call of a job is made again elsewhere? | [`replay`] |
//! | how is the database called, and what does its response mean? | [`database`], `backoff` |
//! | what is a request or a response, seen from here? | [`fetch`] |
//! | what is logged? | [`log`] |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backoff;
pub mod budget;
pub mod config;
pub mod database;
mod excerpt;
pub mod fetch;
pub mod inbound;
pub mod isolate;
pub mod json;
pub mod log;
pub mod outcome;
pub mod protocol;
pub mod replay;
mod retry_after;
pub mod run;
pub mod signature;
mod target;
pub mod time;
pub mod trace;
mod uuid;
