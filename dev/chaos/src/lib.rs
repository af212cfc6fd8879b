//! Faults under load: what Supaqueue promises, checked while everything fails.
//!
//! A [`Scene`] is a local stack with a faulty [`proxy`] before its gateway: the database's dispatches,
//! the supaqueue function's calls of the database and its calls of target functions all pass through
//! it. The targets are answered by the proxy itself, so that its [`log`] is what they saw, exactly.
//! [`run()`] puts the scene under load, injects one [`fault`] after another, and holds every job
//! against the [`rule`]s: from the inserters' [`ledger`], the targets' log and the tables.
//!
//! Choices come from a seed that a failure prints. It repeats the choices, not the timing.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod fault;
pub mod ledger;
mod load;
pub mod log;
pub mod proxy;
pub mod random;
pub mod rule;
mod run;
mod scene;
mod table;

pub use fault::Fault;
pub use rule::{Rule, Violation};
pub use run::{Plan, run};
pub use scene::{Pace, QUEUES, Scene};
pub use table::{Report, Row};

/// What keeps the harness itself from going on; what it finds is a [`Violation`].
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
