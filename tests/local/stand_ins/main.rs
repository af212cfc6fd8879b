//! The stand-ins behave as the extensions that they stand in for (the facts are pg_net 0.20.4's,
//! supabase_vault 0.3.1's and pg_cron 1.6's).
#![allow(clippy::unwrap_used)]

mod cron;
mod net;
mod server;
mod vault;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use supaqueue_local::{Database, Postgres};
use tokio::sync::OnceCell;

static POSTGRES: OnceCell<Arc<Postgres>> = OnceCell::const_new();

/// A database of its own for each test.
async fn database() -> Database {
    let start = async || Arc::new(Postgres::builder().start().await.unwrap());
    POSTGRES
        .get_or_init(start)
        .await
        .create_database()
        .await
        .unwrap()
}

/// Waits until `is_so`, for ten seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What `sql` answers, as text.
async fn one(client: &tokio_postgres::Client, sql: &str) -> String {
    client
        .query_one(&format!("select coalesce(({sql})::text, 'null')"), &[])
        .await
        .unwrap()
        .get(0)
}
