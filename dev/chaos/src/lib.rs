//! Chaos tests: injects faults under load and checks that Supaqueue keeps its promises.
//!
//! A [`Scene`] is a local stack with a faulty [`proxy`] in front of its gateway. Dispatches from the
//! database, calls of the database by the supaqueue function and calls of target functions all pass
//! through the proxy. The proxy also plays the targets, so that its [`log`] is exactly what they saw.
//! [`run()`] puts the scene under load, injects one [`fault`] after another, and checks every job
//! against the [`rule`]s, using the inserters' [`ledger`], the targets' log and the tables.
//!
//! Random choices derive from a seed, which is printed on failure. A seed reproduces the choices of a
//! run, but not its timing.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

use std::sync::{Mutex, MutexGuard, PoisonError};

pub mod fault;
pub mod ledger;
mod load;
pub mod log;
pub mod proxy;
pub mod random;
mod report;
pub mod rule;
mod run;
mod scene;
mod wait;

pub use fault::Fault;
pub use report::{Report, Row};
pub use rule::{Rule, Violation};
pub use run::{Plan, run};
pub use scene::{Pace, QUEUES, Scene};

/// A failure of the test harness itself. A broken promise is a [`Violation`] instead.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Locks a mutex, even if a thread has panicked while holding it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
