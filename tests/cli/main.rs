//! The commands that look at queues and act on jobs, with a database of their own. The test plays the
//! supaqueue function and pg_cron.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot continue must panic

mod act;
mod job;
mod program;
mod replay;
mod status;
mod tail;
