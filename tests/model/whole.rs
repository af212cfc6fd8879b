//! The intact protocol: in every world, every rule holds in every reachable state.

use std::collections::BTreeSet;
use std::io::Write;
use std::time::Instant;

use stateright::{Checker, Model};
use supaqueue_model::{Protocol, Size, situations};

/// A world, how many states it has at least, and the situations that it is there for.
struct World {
    name: &'static str,
    size: Size,
    states: usize,
    meets: &'static [&'static str],
}

/// Explores a whole world.
fn explore(world: &World) {
    let World { name, size, .. } = *world;
    let start = Instant::now();
    let protocol = Protocol { size, broken: None };
    // The exploration is unbounded. It stops early only once every property is decided, which a rule that
    // holds never is.
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    let mut found = checker.discoveries();
    let met: BTreeSet<_> = situations::names()
        .filter(|situation| found.remove(situation).is_some())
        .collect();
    if let Some((rule, path)) = found.into_iter().next() {
        panic!("{rule}: broken after {:#?}", path.into_actions());
    }
    for situation in world.meets {
        assert!(met.contains(situation), "not met: {situation}");
    }
    assert!(checker.is_done(), "every state was visited");
    let explored = checker.unique_state_count();
    assert!(explored >= world.states, "only {explored} states");
    let time = start.elapsed();
    let line = format!("{name}: {explored} states, all explored in {time:.1?}\n");
    // Not `eprintln`, which the test runner shows only for failed tests.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

macro_rules! worlds {
    ($($test:ident: $name:literal, $size:ident, $states:literal, $meets:expr;)*) => {
        $(
            #[test]
            fn $test() {
                explore(&World { name: $name, size: Size::$size, states: $states, meets: $meets });
            }
        )*

        #[test]
        fn every_situation_is_met_by_a_world() {
            let meets: Vec<&[&str]> = vec![$($meets),*];
            let meets: BTreeSet<&str> = meets.concat().into_iter().collect();
            assert_eq!(meets, situations::names().collect());
        }
    };
}

worlds! {
    two_faults: "two faults", FAULTS, 50_000, &[
        "all jobs are settled",
        "all workers are busy",
        "a job cannot be settled when its call ends",
        "an attempt is lost",
        "a call is sent again",
        "an attempt is given back",
        "two runs live at once",
        "a run acknowledges what it cannot have",
        "a repeated report gets the same next job",
        "a report arrives late",
        "a pulse arrives late",
        "a run is refused because it is over",
        "a call continues after its run died",
    ];
    two_workers: "two faults, two workers", TWO_WORKERS, 350_000, &[
        "a dispatch joins a run that lives",
    ];
    answers: "answers that cross", ANSWERS, 60_000, &[
        "a report hands out the next job",
    ];
    one_job: "one job, three faults", ONE_JOB, 65_000, &[];
    waits: "waits", WAITS, 45_000, &[
        "a report hands out a call that was already sent",
        "a pulse claims a job",
        "a pulse overtakes a report",
    ];
    cancelled_waits: "waits and a cancelled job", CANCELLED_WAITS, 150_000, &[
        "a run gives back a call that it was never told",
    ];
    cancels: "a cancelled job", CANCELS, 90_000, &[
        "a run aborts the call of a cancelled job",
    ];
    overlaps: "overlapping transactions", OVERLAPS, 90_000, &[
        "a transaction waits for the lock",
        "a transaction leaves its work to the tick",
    ];
    overlaps_of_two_workers: "overlapping transactions, two workers", OVERLAPS_OF_TWO_WORKERS, 350_000, &[];
    wake_ups: "wake-ups", WAKE_UPS, 140_000, &[];
    wake_ups_given_up: "wake-ups and a lock given up", WAKE_UPS_GIVEN_UP, 9_000, &[];
    wake_ups_rolled_back: "wake-ups and a rollback", WAKE_UPS_ROLLED_BACK, 11_000, &[];
    prefetch: "held calls, two faults", PREFETCH, 650_000, &[
        "a call is held ready",
        "a worker has two calls",
        "a held call is started beside a report",
        "a held call is given back with a report",
        "a held call is given back with a pulse",
        "a held call is lost",
    ];
    prefetch_of_two_workers: "held calls, two workers", PREFETCH_OF_TWO_WORKERS, 150_000, &[];
    cancelled_prefetch: "held calls and a cancelled job", CANCELLED_PREFETCH, 700_000, &[];
    prefetch_overlaps: "held calls, overlapping transactions", PREFETCH_OVERLAPS, 90_000, &[];
}
