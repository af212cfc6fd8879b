//! Every execution ends: none reaches the same state twice. Together with "nothing is stuck", all jobs are
//! settled in the end, no matter what happens.

use std::collections::HashMap;

use stateright::Model;
use supaqueue_model::{Protocol, Size, State};

/// A state on the current path, and its successors that are not explored yet.
struct Frame {
    state: State,
    successors: Vec<State>,
}

fn frame(protocol: &Protocol, state: State) -> Frame {
    let successors = protocol.next_states(&state);
    Frame { state, successors }
}

/// Explores all executions depth first; returns the number of states. Panics at a cycle.
fn explore(size: Size) -> usize {
    let protocol = Protocol { size, broken: None };
    // True if the state is on the current path.
    let mut seen = HashMap::new();
    let mut path = Vec::new();
    for state in protocol.init_states() {
        seen.insert(state.clone(), true);
        path.push(frame(&protocol, state));
    }
    while let Some(last) = path.last_mut() {
        let Some(next) = last.successors.pop() else {
            seen.insert(last.state.clone(), false);
            path.pop();
            continue;
        };
        match seen.get(&next) {
            Some(true) => panic!("an execution returns to {next:#?}"),
            Some(false) => {}
            None => {
                seen.insert(next.clone(), true);
                path.push(frame(&protocol, next));
            }
        }
    }
    seen.len()
}

#[test]
fn every_execution_of_two_jobs_ends() {
    assert!(explore(Size::FAULTS) > 50_000);
}

#[test]
fn every_execution_with_waits_ends() {
    assert!(explore(Size::WAITS) > 45_000);
}

#[test]
fn every_execution_with_overlapping_transactions_ends() {
    assert!(explore(Size::PREFETCH_OVERLAPS) > 90_000);
}
