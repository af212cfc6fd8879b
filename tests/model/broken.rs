//! Tests the model itself: with one part taken out of the protocol, the rule that needs it breaks, in a world
//! where it holds otherwise (see `whole.rs`).

use stateright::{Checker, HasDiscoveries, Model};
use supaqueue_model::properties::{
    ATTEMPTS, CALLS_IN_FLIGHT, COUNTERS, EXPLAINED, NOT_STUCK, ONE_CALL, REPLAY, SAME_ANSWER,
    SETTLED, WAKE_UP,
};
use supaqueue_model::{Broken, Protocol, Size};

fn breaks(broken: Broken, size: Size, rules: &[&'static str]) {
    let protocol = Protocol {
        size,
        broken: Some(broken),
    };
    for rule in rules {
        let only_that = HasDiscoveries::AnyOf([*rule].into());
        let checker = protocol.checker().finish_when(only_that).spawn_bfs().join();
        assert!(
            checker.discovery(rule).is_some(),
            "{broken:?} does not break: {rule}"
        );
    }
}

#[test]
fn without_the_fence_a_late_report_unsettles_a_job() {
    breaks(Broken::NoFence, Size::FAULTS, &[SETTLED, COUNTERS]);
}

#[test]
fn without_acknowledgement_a_repeated_dispatch_runs() {
    let rules = [REPLAY, ONE_CALL, CALLS_IN_FLIGHT, EXPLAINED];
    breaks(Broken::NoAcknowledgement, Size::FAULTS, &rules);
}

#[test]
fn with_acknowledgements_accepted_twice_a_repeated_dispatch_runs() {
    let rules = [REPLAY, ONE_CALL, CALLS_IN_FLIGHT, ATTEMPTS];
    breaks(Broken::AcknowledgementTakenTwice, Size::FAULTS, &rules);
}

#[test]
fn without_leases_a_job_is_stuck() {
    breaks(Broken::NoLease, Size::FAULTS, &[NOT_STUCK]);
}

#[test]
fn with_leases_shorter_than_calls_a_job_is_called_twice_at_once() {
    let rules = [ONE_CALL, CALLS_IN_FLIGHT];
    breaks(Broken::LeaseShorterThanCall, Size::FAULTS, &rules);
}

#[test]
fn without_the_queues_lock_a_wake_up_is_lost() {
    breaks(Broken::NoLock, Size::WAKE_UPS, &[WAKE_UP]);
}

#[test]
fn a_repeated_report_with_another_next_job_gets_another_answer() {
    let rules = [SAME_ANSWER, COUNTERS];
    breaks(Broken::RepetitionGetsAnotherJob, Size::THREE_JOBS, &rules);
}

#[test]
fn a_repeated_report_without_its_next_job_gets_another_answer() {
    breaks(Broken::RepetitionForgetsNext, Size::FAULTS, &[SAME_ANSWER]);
}

#[test]
fn a_repeated_report_with_the_rest_of_a_lease_lets_a_job_be_called_twice_at_once() {
    let rules = [ONE_CALL, CALLS_IN_FLIGHT];
    breaks(Broken::RepetitionKeepsLease, Size::FAULTS, &rules);
}

#[test]
fn a_sent_call_that_is_handed_out_unacknowledged_is_called_twice_at_once() {
    let rules = [ONE_CALL, CALLS_IN_FLIGHT, EXPLAINED];
    breaks(Broken::SentCallIsNotAcknowledged, Size::TWO_WORKERS, &rules);
}

#[test]
fn without_a_note_a_lock_given_up_loses_a_wake_up() {
    let size = Size::WAKE_UPS_GIVEN_UP;
    breaks(Broken::GivesUpSilently, size, &[WAKE_UP]);
}

#[test]
fn without_a_note_a_job_that_could_not_be_settled_is_stuck() {
    let rules = [COUNTERS, NOT_STUCK];
    breaks(Broken::OutcomeIsNotNoted, Size::FAULTS, &rules);
}

#[test]
fn attempts_are_miscounted_if_sending_again_spends_one() {
    let rules = [COUNTERS, ATTEMPTS];
    breaks(Broken::SendingSpendsAttempt, Size::FAULTS, &rules);
}

#[test]
fn a_rolled_back_transaction_leaves_its_wake_up_to_the_tick() {
    let size = Size::WAKE_UPS_ROLLED_BACK;
    breaks(Broken::RollbackCounts, size, &[WAKE_UP]);
}
