//! Everything at once, at random: inserters, lanes that live and die, ticks, users
//! who change the number of workers, pause and cancel. Then everything is counted.
//!
//! `SUPAQUEUE_RACE_SEED` repeats a run's choices (not its timing).

mod inserter;
mod lane;
mod ledger;
mod user;

use std::sync::Arc;
use std::time::{Duration, Instant};

use supaqueue_tests::Db;
use tokio::task::JoinSet;

use crate::broken::break_function;
use crate::claim::{Claim, all_is_consistent, claim};
use crate::random::Random;
use ledger::Ledger;

/// The queues, and how many workers each has at most.
const QUEUES: [(&str, u32); 5] = [
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("six", 6),
];
/// Connections of each kind.
const INSERTERS: u64 = 6;
const LANES: u64 = 16;
const USERS: u64 = 2;
/// How long a storm may last.
const LIMIT: Duration = Duration::from_secs(100);

/// A storm with about that many jobs. Watched, it looks at the database while it goes on, not only
/// at its end.
async fn storm(db: &Db, seed: u64, jobs: u64, is_watched: bool) -> Claim {
    for (queue, workers) in QUEUES {
        db.queue(queue, workers).await;
    }
    db.run("update supaqueue.queue set max_attempts = 4, backoff_base_ms = 2, backoff_max_ms = 20")
        .await;
    // What is sent is taken from current_job, not from the requests.
    db.run("update supaqueue.setting set max_dispatches = 3, dispatch_lease_ms = 1000")
        .await;

    let random = Random::new(seed);
    let ledger = Arc::new(Ledger::new(QUEUES));
    let deadline = Instant::now() + LIMIT;
    let mut inserters = JoinSet::new();
    let mut others = JoinSet::new();
    for number in 0..INSERTERS {
        let (client, ledger) = (db.connect().await, ledger.clone());
        inserters.spawn(inserter::insert(
            client,
            random.part(number),
            ledger,
            jobs / INSERTERS,
        ));
    }
    for number in 0..LANES {
        let (client, ledger) = (db.connect().await, ledger.clone());
        others.spawn(lane::run(client, random.part(100 + number), ledger));
    }
    for number in 0..USERS {
        let client = db.connect().await;
        others.spawn(user::interfere(
            client,
            random.part(200 + number),
            ledger.clone(),
        ));
        others.spawn(user::tick(db.connect().await, ledger.clone()));
    }

    while let Some(ended) = inserters.join_next().await {
        ended.unwrap();
    }
    ledger.no_more_jobs();
    while db
        .get("select exists (select from supaqueue.job where status in ('pending', 'in_progress'))")
        .await
        == "t"
        && ledger.wrong().is_empty()
    {
        let left = "select s.name, s.workers, s.busy_workers, s.pending, s.in_progress from supaqueue.queue_status s";
        if is_watched && let Err(wrong) = all_is_consistent(db.client()).await {
            ledger.is_wrong(wrong);
        }
        if Instant::now() > deadline {
            ledger.stop();
            return Err(format!(
                "jobs are left after {LIMIT:?}:\n{}",
                db.get(left).await
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ledger.stop();
    while let Some(ended) = others.join_next().await {
        ended.unwrap();
    }

    claim!(ledger.wrong().is_empty(), "{}", ledger.wrong());
    all_is_consistent(db.client()).await?;
    db.run("select supaqueue.tick()").await;
    all_is_consistent(db.client()).await?;
    claim!(
        db.get("select count(*) from supaqueue.current_job").await == "0",
        "current jobs are left:\n{}",
        db.get("select * from supaqueue.current_job").await
    );
    ledger.matches(db.client()).await
}

/// The seed that the environment names, or one of the clock.
fn seed() -> u64 {
    match std::env::var("SUPAQUEUE_RACE_SEED") {
        Ok(seed) => seed.parse().expect("SUPAQUEUE_RACE_SEED is a number"),
        Err(_) => std::time::UNIX_EPOCH
            .elapsed()
            .unwrap()
            .subsec_nanos()
            .into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_jobs_end_as_they_should() {
    let seed = seed();
    let outcome = storm(&Db::new().await, seed, 3000, true).await;
    assert_eq!(outcome, Ok(()), "with SUPAQUEUE_RACE_SEED={seed}");
}

/// A storm over an engine whose function was changed finds that out, here by what its lanes count
/// and what is left in the end.
async fn storm_over_broken(function: &str, from: &str, to: &str) -> String {
    let db = Db::new().await;
    break_function(&db, function, from, to).await;
    storm(&db, seed(), 600, false).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_calls_of_two_lanes() {
    let found = storm_over_broken("acknowledge", "call.acknowledged_at is not null", "false").await;
    // The second lane's report is refused, where its call did not even overlap the first's.
    let words = ["two lanes at once", "was refused"];
    assert!(
        words.iter().any(|words| found.contains(words)),
        "it found something else: {found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_calls_above_the_number_of_workers() {
    let found = storm_over_broken("start_jobs", "set locked = true", "set locked = w.locked").await;
    // Broken so, the engine was also seen to deadlock first.
    let words = ["at once, more than", "deadlock detected"];
    assert!(
        words.iter().any(|words| found.contains(words)),
        "it found something else: {found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_a_wrong_count() {
    let found = storm_over_broken(
        "before_write_job_tg_fn",
        "coalesce(new.finished_at, clock_timestamp())",
        "null",
    )
    .await;
    assert!(
        found.contains("is counted as"),
        "it found something else: {found}"
    );
}
