//! `supaqueue install`, `remove`, `doctor`, `rotate-secret` and `add-on`, with the real Supabase
//! CLI, against a Management API on loopback that does what the real one does.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod add_on;
mod breaking;
mod cli;
mod failures;
mod files;
mod local;
mod management_api;
mod program;
mod project;
mod reference;
mod remove;
mod rotation;
mod states;
mod story;
mod terminal;
mod upgrade;
