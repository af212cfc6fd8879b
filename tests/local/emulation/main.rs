//! The emulated extensions behave like pg_net 0.20.4, supabase_vault 0.3.1 and pg_cron 1.6.
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

/// A new database for each test.
async fn database() -> Database {
    let start = async || Arc::new(Postgres::builder().start().await.unwrap());
    POSTGRES
        .get_or_init(start)
        .await
        .create_database()
        .await
        .unwrap()
}

/// Polls `condition` for up to ten seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The result of `sql` as text.
async fn one(client: &tokio_postgres::Client, sql: &str) -> String {
    client
        .query_one(&format!("select coalesce(({sql})::text, 'null')"), &[])
        .await
        .unwrap()
        .get(0)
}
