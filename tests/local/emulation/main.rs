//! The emulated extensions behave like pg_net 0.20.4, supabase_vault 0.3.1 and pg_cron 1.6.
#![allow(clippy::unwrap_used)]

mod cron;
mod net;
mod server;
mod vault;

use std::future::Future;
use std::time::{Duration, Instant};

use supaqueue_local::{Database, Postgres};
use supaqueue_tests::try_get;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// A new database for each test.
async fn database() -> Database {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    let start = async || Postgres::builder().start().await.unwrap();
    let postgres = POSTGRES.get_or_init(start).await;
    postgres.create_database().await.unwrap()
}

/// A connection as `postgres` to a new database.
async fn connect() -> Client {
    database().await.connect().await.unwrap()
}

/// Asserts that `condition` stays true for as long as `time`.
async fn stays<F: Future<Output = bool>>(time: Duration, mut condition: impl FnMut() -> F) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert!(condition().await, "it does not stay true for {time:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asserts that a statement fails with this SQLSTATE.
async fn assert_error(client: &Client, sql: &str, state: &str) {
    let result = try_get(client, sql).await;
    let is_expected = |error: &String| error.starts_with(state);
    assert!(result.as_ref().is_err_and(is_expected), "{sql}: {result:?}");
}
