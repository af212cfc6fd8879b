//! Users who insert jobs in every possible way.

use std::sync::Arc;

use tokio_postgres::Client;

use super::QUEUES;
use super::ledger::Ledger;
use crate::random::Random;
use supaqueue_tests::try_get;

/// Inserts about `jobs` jobs and records those that were committed.
pub(super) async fn insert(client: Client, mut random: Random, ledger: Arc<Ledger>, jobs: u64) {
    let mut left = i64::try_from(jobs).unwrap();
    while left > 0 && !ledger.has_ended() {
        match transaction(&client, &mut random).await {
            Ok(ids) => {
                ledger.inserted(&ids);
                left -= i64::try_from(ids.lines().count()).unwrap();
            }
            Err(error) => ledger.violation(format!("an insert failed: {error}")),
        }
    }
}

/// Runs one transaction; returns the ids of the jobs that it committed.
async fn transaction(client: &Client, random: &mut Random) -> Result<String, String> {
    let queue = queue(random);
    match random.below(10) {
        0..4 => try_get(client, &one(queue, random)).await,
        4 => try_get(client, &many(queue, 1 + random.below(40))).await,
        5 => {
            let statements: Vec<_> = (0..4).map(|_| one(self::queue(random), random)).collect();
            try_get(client, &format!("begin; {}; commit", statements.join("; "))).await
        }
        6 => {
            try_get(client, &format!("begin; {}; rollback", many(queue, 5))).await?;
            Ok(String::new())
        }
        7 => savepoints(client, random).await,
        8 => {
            // Long enough for others to begin and end meanwhile.
            let ids = try_get(client, &format!("begin; {}", many(queue, 5))).await?;
            for _ in 0..random.below(10) {
                try_get(client, "select pg_sleep(0.003)").await?;
            }
            try_get(client, "commit").await?;
            Ok(ids)
        }
        _ => {
            try_get(
                client,
                &format!(
                    "begin isolation level repeatable read; {}; commit",
                    many(queue, 5)
                ),
            )
            .await
        }
    }
}

/// Inserts after savepoints, some of which are rolled back.
async fn savepoints(client: &Client, random: &mut Random) -> Result<String, String> {
    try_get(client, "begin").await?;
    let mut kept = Vec::new();
    for _ in 0..3 {
        try_get(client, "savepoint here").await?;
        let ids = try_get(client, &many(queue(random), 1 + random.below(3))).await?;
        if random.percent(50) {
            try_get(client, "rollback to savepoint here").await?;
        } else {
            kept.push(ids);
        }
    }
    try_get(client, "commit").await?;
    Ok(kept.join("\n"))
}

fn queue(random: &mut Random) -> &'static str {
    random.pick(&QUEUES).0
}

fn one(queue: &str, random: &mut Random) -> String {
    format!(
        "select supaqueue.enqueue('{queue}', priority => {}, timeout_ms => {})",
        random.below(3),
        random.pick(&["null", "30000", "90000"])
    )
}

fn many(queue: &str, jobs: u64) -> String {
    format!("select supaqueue.enqueue_many('{queue}', array_fill('{{}}'::jsonb, array[{jobs}]))")
}
