//! The whole protocol: in every world, every rule holds in every state that can be reached.

use std::io::Write;
use std::time::Instant;

use stateright::{Checker, Model};
use supaqueue_model::properties::SITUATIONS;
use supaqueue_model::{Protocol, Size};

/// Explores a world to its end, which has to have so many states at least, and meet all situations but some.
fn explore(name: &str, size: Size, states: usize, unmet: &[&str]) {
    let start = Instant::now();
    let protocol = Protocol { size, broken: None };
    // Nothing bounds the exploration, and it ends before its end only if every property is found out, so
    // not while one of the rules holds.
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    let mut found = checker.discoveries();
    for situation in SITUATIONS {
        let is_met = found.remove(situation).is_some();
        assert_eq!(is_met, !unmet.contains(&situation), "{situation}");
    }
    if let Some((rule, path)) = found.into_iter().next() {
        panic!("{rule}: broken after {:#?}", path.into_actions());
    }
    assert!(checker.is_done(), "every state was visited");
    let explored = checker.unique_state_count();
    assert!(explored >= states, "only {explored} states");
    let time = start.elapsed();
    let line = format!("{name}: {explored} states, all explored in {time:.1?}\n");
    // Not `eprintln`: the test runner shows that of failed tests only.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

const ALONE: &str = "a transaction waits for the lock";
const OF_TWO_WORKERS: &str = "a report hands out a call that was sent";
const OF_ONE_JOB: [&str; 4] = [
    ALONE,
    OF_TWO_WORKERS,
    "a report hands out the next job",
    "a repeated report is handed the same next job",
];
/// Without a fault it takes two workers: a report hands out a call, and then its dispatch comes.
const REFUSED: &str = "a lane comes when it has to be refused";
const OF_FAULTS: [&str; 6] = [
    "an attempt is lost",
    "a call is sent again",
    "an attempt is given back",
    "a repeated report is handed the same next job",
    "a report comes when it is settled already",
    "a call goes on after its lane died",
];

#[test]
fn two_mishaps() {
    let unmet = [ALONE, OF_TWO_WORKERS];
    explore("two mishaps", Size::MISHAPS, 140_000, &unmet);
}

#[test]
fn two_mishaps_and_two_workers() {
    explore(
        "two mishaps, two workers",
        Size::TWO_WORKERS,
        2_500_000,
        &[ALONE],
    );
}

#[test]
fn three_jobs() {
    let unmet = [ALONE, OF_TWO_WORKERS];
    explore("three jobs", Size::THREE_JOBS, 150_000, &unmet);
}

#[test]
fn one_job() {
    explore("one job, four mishaps", Size::ONE_JOB, 450_000, &OF_ONE_JOB);
}

#[test]
fn overlaps() {
    let unmet = [OF_TWO_WORKERS];
    explore("overlapping transactions", Size::OVERLAPS, 100_000, &unmet);
}

#[test]
fn overlaps_of_two_workers() {
    let size = Size::OVERLAPS_OF_TWO_WORKERS;
    explore("overlapping transactions, two workers", size, 400_000, &[]);
}

#[test]
fn wake_ups() {
    explore("wake-ups", Size::WAKE_UPS, 4_000_000, &OF_FAULTS);
}

#[test]
fn wake_ups_rolled_back() {
    let size = Size::WAKE_UPS_ROLLED_BACK;
    let unmet = [&OF_FAULTS[..], &[REFUSED, OF_TWO_WORKERS]].concat();
    explore("wake-ups and a rollback", size, 40_000, &unmet);
}
