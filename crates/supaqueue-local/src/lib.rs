//! A local, project-like place for Supaqueue: for development, the demo and the tests.
//!
//! A [`Stack`] is the whole of it: Postgres with the roles, privileges and extensions of a hosted
//! project, a gateway on one port that answers `/rest/v1/rpc/*` and `/functions/v1/*`, edge functions
//! run by Deno, and Supaqueue installed. A [`Postgres`] is a cluster alone, with a database for each
//! test. [`StandIns`] are the workers of the extensions that Postgres lacks.
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
//! It is not a hosted project, and holds no data that matters: what it starts ends with the program
//! that started it, `kill -9` included, and leaves nothing on disk. Not stood in for: `safeupdate`,
//! the rest of PostgREST, sign-in, storage, realtime, and the runtime's limits of memory and CPU.
//! It needs a Unix: a shell holds each process.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod error;
mod extension;
mod foreign;
mod functions;
mod gateway;
mod install;
mod log;
mod own_function;
mod postgres;
mod process;
mod signal;
mod stack;
mod stand_in;

use std::path::{Path, PathBuf};

pub use error::{Error, Result};
pub use extension::{Extensions, Kind as ExtensionKind};
pub use gateway::Keys;
pub use log::LogLine;
pub use postgres::{Database, Postgres, PostgresBuilder, connect};
pub use signal::stop_requested;
pub use stack::{PostgresSource, Stack, StackBuilder};
pub use stand_in::StandIns;

/// Looks for `path` in the folder we are in and in those above it, then likewise from the package
/// being run by cargo, and from the program itself.
fn find_upwards(path: &Path) -> Option<PathBuf> {
    let starts = [
        std::env::current_dir().ok(),
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        std::env::current_exe().ok(),
    ];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|folder| folder.join(path))
        .find(|found| found.exists())
}

fn random_hex(bytes: usize) -> String {
    (0..bytes)
        .map(|_| format!("{:02x}", rand::random::<u8>()))
        .collect()
}
