//! The dashboard lets in whom it should, and does what it shows.
#![allow(clippy::unwrap_used)]

mod actions;
mod client;
mod database;
mod failures;
mod job;
mod jobs;
mod login;
mod operations;
mod pipelines;
mod security;
