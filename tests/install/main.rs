//! `supaqueue install`, `remove`, `doctor`, `rotate-secret` and `add-on`, with the real Supabase CLI
//! or its recorded double, against an emulated Management API.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot continue must panic

mod add_on;
mod breaking;
mod cli;
mod connection;
mod contract;
mod dashboard;
mod doctor;
mod failures;
mod files;
mod init;
mod local;
mod management_api;
mod npm;
mod pasting;
mod program;
mod project;
#[path = "double/recording.rs"]
mod recording;
mod reference;
mod remove;
mod rotation;
mod states;
mod story;
mod teams;
mod terminal;
mod traps;
mod watching;
