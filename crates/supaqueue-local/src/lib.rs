//! A local Supabase-like environment for Supaqueue, used by `supaqueue dev`, the demo and the tests.
//!
//! A [`Stack`] is the complete environment: Postgres with the roles, privileges and extensions of a
//! hosted project, a gateway on one port that serves `/rest/v1/rpc/*`, inserts into `/rest/v1/*` and
//! `/functions/v1/*`, edge functions run by Deno, and Supaqueue installed. A [`Postgres`] is only the cluster, with a
//! database per test. [`EmulatedExtensions`] runs the background workers of the extensions that
//! Postgres lacks. [`Migrations`] applies those of a project.
//!
//! ```no_run
//! # async fn example() -> supaqueue_local::Result<()> {
//! use supaqueue_local::Stack;
//!
//! let stack = Stack::builder().functions("supabase/functions").start().await?;
//! println!("{} {}", stack.gateway_url(), stack.db_url());
//! stack.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! The stack is for development and tests. Everything it starts ends with the program that started
//! it, even after `kill -9`, and nothing stays on disk. Not emulated: `safeupdate`, the rest of
//! PostgREST, auth, storage, realtime, and the edge runtime's memory and CPU limits. It requires
//! Unix, because a shell supervises each process.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod emulation;
mod error;
mod extension;
mod external_database;
mod folder;
mod functions;
mod gateway;
mod install;
mod log;
mod migrations;
mod postgres;
mod process;
pub mod programs;
mod serve;
mod signal;
mod stack;
mod supaqueue_function;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use emulation::EmulatedExtensions;
pub use error::{Error, Result};
pub use extension::{Extensions, Kind as ExtensionKind};
pub use gateway::Keys;
pub use log::LogLine;
pub use migrations::{Migrations, Progress};
pub use postgres::{Database, Postgres, PostgresBuilder, connect};
pub use serve::serve;
pub use signal::stop_requested;
pub use stack::{PostgresSource, Stack, StackBuilder};

fn random_hex(bytes: usize) -> String {
    (0..bytes)
        .map(|_| format!("{:02x}", rand::random::<u8>()))
        .collect()
}

/// Locks a mutex even if a thread panicked while holding it: none of ours guards an invariant that
/// a panic could break.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
