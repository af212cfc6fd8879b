//! The intact protocol: in every world, every rule holds in every reachable state.

use std::io::Write;
use std::time::Instant;

use stateright::{Checker, Model};
use supaqueue_model::properties::SITUATIONS;
use supaqueue_model::{Protocol, Size};

/// Explores a whole world, which must have at least so many states and meet all situations but `unmet`.
fn explore(name: &str, size: Size, states: usize, unmet: &[&str]) {
    let start = Instant::now();
    let protocol = Protocol { size, broken: None };
    // The exploration is unbounded. It stops early only once every property is decided, which a rule that
    // holds never is.
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
    // Not `eprintln`, which the test runner shows only for failed tests.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

const LOCK_WAIT: &str = "a transaction waits for the lock";
/// A lock is only given up where a size allows it.
const LEFT_TO_TICK: &str = "a transaction leaves its work to the tick";
const NEEDS_TWO_WORKERS: &str = "a report hands out a call that was already sent";
const UNMET_BY_ONE_JOB: [&str; 4] = [
    LEFT_TO_TICK,
    NEEDS_TWO_WORKERS,
    "a report hands out the next job",
    "a repeated report gets the same next job",
];
/// Without faults this takes two workers: a report hands out a call before its dispatch arrives.
const REFUSED: &str = "a lane starts only to be refused";
const NEED_FAULTS: [&str; 7] = [
    "a job cannot be settled when its call ends",
    "an attempt is lost",
    "a call is sent again",
    "an attempt is given back",
    "a repeated report gets the same next job",
    "a report arrives after its job was settled",
    "a call continues after its lane died",
];

#[test]
fn two_faults() {
    let unmet = [LOCK_WAIT, LEFT_TO_TICK, NEEDS_TWO_WORKERS];
    explore("two faults", Size::FAULTS, 140_000, &unmet);
}

#[test]
fn two_faults_and_two_workers() {
    let size = Size::TWO_WORKERS;
    let unmet = [LOCK_WAIT, LEFT_TO_TICK];
    explore("two faults, two workers", size, 2_500_000, &unmet);
}

#[test]
fn three_jobs() {
    let unmet = [LOCK_WAIT, LEFT_TO_TICK, NEEDS_TWO_WORKERS];
    explore("three jobs", Size::THREE_JOBS, 150_000, &unmet);
}

#[test]
fn one_job() {
    let unmet = &UNMET_BY_ONE_JOB;
    explore("one job, four faults", Size::ONE_JOB, 450_000, unmet);
}

#[test]
fn overlaps() {
    let unmet = [NEEDS_TWO_WORKERS];
    explore("overlapping transactions", Size::OVERLAPS, 100_000, &unmet);
}

#[test]
fn overlaps_of_two_workers() {
    let size = Size::OVERLAPS_OF_TWO_WORKERS;
    let unmet = [LEFT_TO_TICK];
    explore(
        "overlapping transactions, two workers",
        size,
        400_000,
        &unmet,
    );
}

#[test]
fn wake_ups() {
    let unmet = [&NEED_FAULTS[..], &[LEFT_TO_TICK]].concat();
    explore("wake-ups", Size::WAKE_UPS, 4_000_000, &unmet);
}

#[test]
fn wake_ups_given_up() {
    let size = Size::WAKE_UPS_GIVEN_UP;
    let unmet = [&NEED_FAULTS[..], &[REFUSED, NEEDS_TWO_WORKERS]].concat();
    explore("wake-ups and a lock given up", size, 40_000, &unmet);
}

#[test]
fn wake_ups_rolled_back() {
    let size = Size::WAKE_UPS_ROLLED_BACK;
    let unmet = [
        &NEED_FAULTS[..],
        &[LEFT_TO_TICK, REFUSED, NEEDS_TWO_WORKERS],
    ]
    .concat();
    explore("wake-ups and a rollback", size, 40_000, &unmet);
}
