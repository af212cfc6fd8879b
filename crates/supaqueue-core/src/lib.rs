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
//! | what does a dispatch, an acknowledgement or a report look like? | [`protocol`] |
//! | what does a lane do next? | [`lane`] |
//! | how much work may the lanes of a run still start? | [`run`], `budget` |
//! | what does the call of a target function look like? | `target`, `trace` |
//! | what does the end of that call mean for its job? | `outcome`, `retry_after` |
//! | how is `end_current_job` called, and what does its response mean? | `database`, `backoff` |
//! | what is a request or a response, seen from here? | [`fetch`] |
//! | what is logged? | [`log`] |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod backoff;
mod budget;
pub mod config;
mod database;
mod excerpt;
pub mod fetch;
pub mod inbound;
pub mod json;
pub mod lane;
pub mod log;
mod outcome;
pub mod protocol;
mod retry_after;
pub mod run;
pub mod signature;
mod target;
pub mod time;
mod trace;
mod uuid;
