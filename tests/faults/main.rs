//! A short form of `./scripts/chaos`, and tests that its rules detect a broken engine.
//!
//! `SUPAQUEUE_CHAOS_SEED` reproduces the random choices of a run, but not its timing.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod broken;
mod scene;
mod short;
