//! Every run ends: no state can be reached twice in one run. With "nothing is stuck" that makes: whatever
//! happens, all jobs are settled in the end.

use std::collections::HashMap;

use stateright::Model;
use supaqueue_model::{Protocol, Size, State};

/// A state of the run that is being walked, and its successors that are still to be walked.
struct Frame {
    state: State,
    successors: Vec<State>,
}

fn frame(protocol: &Protocol, state: State) -> Frame {
    let successors = protocol.next_states(&state);
    Frame { state, successors }
}

/// Walks all runs, depth first; returns how many states there are. Panics at a circle.
fn every_run_ends(size: Size) -> usize {
    let protocol = Protocol { size, broken: None };
    // True: the run that is being walked came through it.
    let mut seen = HashMap::new();
    let mut run = Vec::new();
    for state in protocol.init_states() {
        seen.insert(state.clone(), true);
        run.push(frame(&protocol, state));
    }
    while let Some(last) = run.last_mut() {
        let Some(next) = last.successors.pop() else {
            seen.insert(last.state.clone(), false);
            run.pop();
            continue;
        };
        match seen.get(&next) {
            Some(true) => panic!("a run comes back to {next:#?}"),
            Some(false) => {}
            None => {
                seen.insert(next.clone(), true);
                run.push(frame(&protocol, next));
            }
        }
    }
    seen.len()
}

#[test]
fn every_run_of_two_jobs_ends() {
    assert!(every_run_ends(Size::MISHAPS) > 140_000);
}

#[test]
fn every_run_with_overlapping_transactions_ends() {
    assert!(every_run_ends(Size::OVERLAPS) > 100_000);
}
