//! Schedules: when they are due, what they insert, and what they do when something is in the way.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod due;
mod overlap;
mod refused;
mod times;
mod warm;

use supaqueue_tests::Db;

/// A database with the queue `q`, which no worker serves: jobs stay as they are inserted.
async fn database() -> Db {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db
}

/// Moves the next time of all schedules back, as if the database had been off since then.
async fn turn_off_for(db: &Db, time: &str) {
    db.run(&format!(
        "update supaqueue.schedule set next_at = next_at - interval '{time}'"
    ))
    .await;
}

/// Makes all schedules due now, at a time that was not due before: a time is served once.
async fn make_due(db: &Db) {
    db.run("update supaqueue.schedule set next_at = clock_timestamp()")
        .await;
}
