//! Everything concurrently and at random: inserters, runs that live and die, ticks, and users who
//! change the number of workers, pause, cancel and settle by hand. At the end every job is accounted
//! for.
//!
//! `SUPAQUEUE_RACE_SEED` repeats a run's choices, not its timing.

mod inserter;
mod isolate;
mod ledger;
mod run;
mod user;

use std::sync::Arc;
use std::time::{Duration, Instant};

use supaqueue_tests::protocol::server_is_old;
use supaqueue_tests::{Db, break_function, let_functions_pause, seed};
use tokio::task::JoinSet;

use crate::invariants::{Check, ensure, state_is_consistent};
use crate::random::Random;
use isolate::{Heart, Isolate, LANES};
use ledger::Ledger;

/// The queues and their maximal number of workers.
const QUEUES: [(&str, u32); 5] = [
    ("one", 1),
    ("two", 2),
    ("three", 3),
    ("four", 4),
    ("six", 6),
];
/// Number of connections of each kind.
const INSERTERS: u64 = 6;
const ISOLATES: u64 = 5;
const USERS: u64 = 2;
/// Environment variable with the seed.
const SEED: &str = "SUPAQUEUE_RACE_SEED";
/// A storm is stuck if no job ends for so long. The whole may take longer on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a storm of about `jobs` jobs. If `is_watched`, invariants are also checked while it runs.
async fn storm(db: &Db, seed: u64, jobs: u64, is_watched: bool) -> Check {
    for (queue, workers) in QUEUES {
        db.queue(queue, workers).await;
    }
    db.run("update supaqueue.queue set max_attempts = 4, backoff_base_ms = 2, backoff_max_ms = 20")
        .await;
    server_is_old(db).await;
    // The runs find their dispatches in current_job: requests go nowhere.
    db.run("update supaqueue.setting set max_dispatches = 3, dispatch_lease_ms = 1000")
        .await;

    let random = Random::new(seed);
    let ledger = Arc::new(Ledger::new(QUEUES));
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
    for number in 0..ISOLATES {
        let isolate = Arc::new(Isolate::new(ledger.clone()));
        let random = random.part(100 + number);
        for lane in 1..=LANES {
            let random = random.part(lane as u64);
            others.spawn(isolate::lane(isolate.clone(), db.connect().await, random));
        }
        let heart = Heart {
            isolate,
            client: db.connect().await,
            other: db.connect().await,
            random,
            dispatched: Vec::new(),
        };
        others.spawn(heart.beat());
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
    let (mut ended, mut since) = (String::new(), Instant::now());
    while db
        .get(
            "select exists (select from supaqueue.job where status in ('pending', 'in_progress'))
               or exists (select from supaqueue.current_job)",
        )
        .await
        == "t"
        && ledger.violations().is_empty()
    {
        let left = "select s.name, s.workers, s.busy_workers, s.pending, s.in_progress from supaqueue.queue_status s";
        if is_watched && let Err(wrong) = state_is_consistent(db.client()).await {
            ledger.violation(wrong);
        }
        let ended_by_now = db
            .get("select count(*) from supaqueue.job where ended_as is not null")
            .await;
        if ended_by_now != ended {
            (ended, since) = (ended_by_now, Instant::now());
        } else if since.elapsed() > LIMIT {
            ledger.stop();
            return Err(format!(
                "no job ended for {LIMIT:?}:\n{}",
                db.get(left).await
            ));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ledger.stop();
    while let Some(ended) = others.join_next().await {
        ended.unwrap();
    }

    ensure!(ledger.violations().is_empty(), "{}", ledger.violations());
    state_is_consistent(db.client()).await?;
    db.tick().await;
    state_is_consistent(db.client()).await?;
    ensure!(
        db.get("select count(*) from supaqueue.current_job").await == "0",
        "current jobs are left:\n{}",
        db.get("select * from supaqueue.current_job").await
    );
    ledger.matches(db.client()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_of_a_storm_ends_as_its_calls_did() {
    let seed = seed(SEED);
    let outcome = storm(&Db::new().await, seed, 3000, true).await;
    assert_eq!(outcome, Ok(()), "with {SEED}={seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_functions_that_pause_ends_in_the_same_way() {
    let seed = seed(SEED);
    let db = Db::new().await;
    let_functions_pause(&db).await;
    let outcome = storm(&db, seed, 600, true).await;
    assert_eq!(outcome, Ok(()), "with {SEED}={seed}");
}

/// Runs a storm on an engine with a broken function; returns what it finds.
async fn storm_on_broken_engine(function: &str, from: &str, to: &str) -> String {
    let db = Db::new().await;
    break_function(db.client(), function, from, to).await;
    storm(&db, seed(SEED), 600, false).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_a_call_that_two_runs_get() {
    let found = storm_on_broken_engine("lock_sent_calls", "and c.state = 'sent'", "").await;
    // If the two calls do not overlap, the first run misses its own.
    let words = [
        "two lanes at once",
        "is gone",
        "got other calls",
        "has ended",
    ];
    assert!(
        words.iter().any(|words| found.contains(words)),
        "the storm found something else: {found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_more_calls_than_workers() {
    let found = storm_on_broken_engine(
        "start_jobs",
        "set_locked(free_workers, true)",
        "set_locked(free_workers, false)",
    )
    .await;
    // An engine broken in this way may also deadlock first.
    let words = ["at once, more than", "deadlock detected"];
    assert!(
        words.iter().any(|words| found.contains(words)),
        "the storm found something else: {found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_a_wrong_count() {
    let found = storm_on_broken_engine(
        "before_write_job_tg_fn",
        "coalesce(new.finished_at, clock_timestamp())",
        "null",
    )
    .await;
    assert!(
        found.contains("is counted as"),
        "the storm found something else: {found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_a_run_that_ends_while_it_lives() {
    let found = storm_on_broken_engine("end_runs", "and o.lease_until < at for", "for").await;
    assert!(
        found.contains("of a live run"),
        "the storm found something else: {found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_finds_calls_that_stay_after_they_were_reported_together() {
    let ended = "delete from supaqueue.current_job c where c.id = any (calls);";
    let found = storm_on_broken_engine("replace_calls", ended, "").await;
    let words = [
        "got another answer",
        "at once, more than",
        "two lanes at once",
    ];
    assert!(
        words.iter().any(|words| found.contains(words)),
        "the storm found something else: {found}"
    );
}
