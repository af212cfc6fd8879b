//! The dashboard lets in whom it should, and does what it shows.
#![allow(clippy::unwrap_used)]

mod actions;
mod client;
mod database;
mod login;
mod security;
