//! The whole path: a job in Postgres, the supaqueue function as WebAssembly in Deno, a target
//! function, and the report that settles the job.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod calls_in_flight;
mod headers;
mod http;
mod order;
mod outcome;
mod path;
mod payload;
mod readme;
mod run;
mod security;
mod side_by_side;
mod stack;
