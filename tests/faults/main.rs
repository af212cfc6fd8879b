//! The promises while everything fails: the short form of `./scripts/chaos`, and tests of that.
//!
//! `SUPAQUEUE_CHAOS_SEED` repeats a run's choices (not its timing).
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod broken;
mod scene;
mod short;
