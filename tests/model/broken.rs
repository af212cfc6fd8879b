//! Tests the model itself: with one part taken out of the protocol, the rule that needs it breaks, in a world
//! where it holds otherwise (see `whole.rs`).

use stateright::{Checker, HasDiscoveries, Model};
use supaqueue_model::properties::{
    ATTEMPTS, CALLED_ONCE, CALLS_IN_FLIGHT, COUNTERS, EXPLAINED, KNOWN, NOT_REFUSED, NOT_STUCK,
    ONE_CALL, OWNED, PAUSE, SAME_ANSWER, WAKE_UP,
};
use supaqueue_model::{Broken, Protocol, Size};

fn breaks(broken: Broken, size: Size, rules: &[&'static str]) {
    let protocol = Protocol {
        size,
        broken: Some(broken),
    };
    let all = HasDiscoveries::AllOf(rules.iter().copied().collect());
    let checker = protocol.checker().finish_when(all).spawn_bfs().join();
    for rule in rules {
        assert!(
            checker.discovery(rule).is_some(),
            "{broken:?} does not break: {rule}"
        );
    }
}

/// Rule 1 of the protocol: the lease belongs to the run, and each tick takes back the calls of a run that is over.
#[test]
fn without_leases_a_job_is_stuck() {
    breaks(Broken::NoLease, Size::FAULTS, &[NOT_STUCK]);
}

#[test]
fn calls_that_are_taken_back_only_when_their_run_ends_let_a_job_be_stuck() {
    let size = Size {
        failures: 0,
        open: 2,
        ..Size::FAULTS
    };
    breaks(Broken::TakesBackOnce, size, &[NOT_STUCK]);
}

#[test]
fn with_leases_shorter_than_deadlines_a_job_is_called_twice_at_once() {
    let rules = [ONE_CALL, CALLS_IN_FLIGHT, OWNED];
    breaks(Broken::LeaseShorterThanDeadline, Size::FAULTS, &rules);
}

#[test]
fn without_a_deadline_a_job_is_called_twice_at_once() {
    let rules = [ONE_CALL, CALLS_IN_FLIGHT, OWNED];
    breaks(Broken::NoDeadline, Size::FAULTS, &rules);
}

#[test]
fn with_calls_that_outlive_their_abort_a_job_is_called_twice_at_once() {
    let rules = [ONE_CALL, CALLS_IN_FLIGHT, OWNED];
    breaks(Broken::AbortsLate, Size::FAULTS, &rules);
}

#[test]
fn a_cancelled_job_that_frees_its_worker_lets_more_calls_run_than_workers() {
    let rules = [CALLS_IN_FLIGHT, OWNED];
    breaks(Broken::CancellingEndsCall, Size::CANCELS, &rules);
}

#[test]
fn with_acknowledgements_of_started_calls_a_repeated_dispatch_runs() {
    let rules = [CALLED_ONCE, ONE_CALL, CALLS_IN_FLIGHT, OWNED];
    breaks(Broken::AcknowledgementTakesStarted, Size::FAULTS, &rules);
}

#[test]
fn with_acknowledgements_that_end_started_calls_more_calls_run_than_workers() {
    let rules = [CALLS_IN_FLIGHT, OWNED];
    breaks(Broken::AcknowledgementEndsCancelled, Size::CANCELS, &rules);
}

#[test]
fn without_the_fence_a_late_report_settles_a_job_again() {
    breaks(Broken::NoFence, Size::FAULTS, &[COUNTERS, EXPLAINED]);
}

#[test]
fn a_repeated_report_with_another_next_job_gets_another_answer() {
    let size = Size {
        jobs: 3,
        faults: 1,
        ..Size::FAULTS
    };
    breaks(
        Broken::RepetitionGetsAnotherJob,
        size,
        &[SAME_ANSWER, KNOWN],
    );
}

#[test]
fn a_repeated_report_without_its_next_job_gets_another_answer() {
    breaks(Broken::RepetitionForgetsNext, Size::FAULTS, &[SAME_ANSWER]);
}

#[test]
fn a_repeated_report_that_is_refused_ends_a_run_that_lives() {
    breaks(Broken::RepetitionIsRefused, Size::FAULTS, &[NOT_REFUSED]);
}

#[test]
fn a_repeated_pulse_without_its_claims_leaves_a_call_unknown() {
    breaks(Broken::RepetitionForgetsClaims, Size::WAITS, &[KNOWN]);
}

#[test]
fn a_late_pulse_that_claims_leaves_a_call_unknown() {
    breaks(Broken::LatePulseClaims, Size::CANCELLED_WAITS, &[KNOWN]);
}

#[test]
fn a_pulse_that_tells_what_a_report_hands_out_has_a_job_called_twice() {
    let size = Size {
        faults: 0,
        renewals: 1,
        ..Size::ANSWERS
    };
    let rules = [ONE_CALL, CALLS_IN_FLIGHT, CALLED_ONCE];
    breaks(Broken::PulseRetells, size, &rules);
}

#[test]
fn a_pulse_that_takes_back_what_it_does_not_name_frees_a_worker_in_use() {
    let size = Size {
        faults: 0,
        renewals: 1,
        ..Size::ANSWERS
    };
    let rules = [ONE_CALL, CALLS_IN_FLIGHT, OWNED];
    breaks(Broken::PulseTakesBackOmitted, size, &rules);
}

#[test]
fn a_pulse_that_claims_for_busy_workers_lets_more_calls_run_than_workers() {
    let size = Size {
        waits: 1,
        faults: 0,
        ..Size::ANSWERS
    };
    breaks(Broken::PulseClaimsBusyWorker, size, &[CALLS_IN_FLIGHT]);
}

#[test]
fn a_pulse_that_tells_of_cancelled_calls_on_their_way_ends_what_is_called_then() {
    breaks(Broken::PulseTellsUnnamed, Size::CANCELS, &[OWNED]);
}

#[test]
fn a_sent_call_that_is_handed_out_unstarted_is_called_twice_at_once() {
    let size = Size {
        faults: 1,
        failures: 1,
        ..Size::TWO_WORKERS
    };
    let rules = [CALLS_IN_FLIGHT, ONE_CALL];
    breaks(Broken::SentCallIsNotStarted, size, &rules);
}

#[test]
fn a_next_job_beside_a_held_one_lets_more_calls_run_than_workers() {
    breaks(Broken::NextBesideHeld, Size::PREFETCH, &[CALLS_IN_FLIGHT]);
}

#[test]
fn attempts_are_miscounted_if_giving_a_held_call_back_spends_one() {
    breaks(Broken::GivingBackSpends, Size::PREFETCH, &[COUNTERS]);
}

#[test]
fn a_job_that_is_held_without_end_is_called_without_end() {
    let size = Size {
        failures: 2,
        delays: 0,
        runs: 1,
        ..Size::PREFETCH
    };
    breaks(Broken::HeldForever, size, &[ATTEMPTS]);
}

#[test]
fn a_worker_whose_last_two_calls_end_at_once_unseen_is_stuck() {
    let size = Size::PREFETCH_OVERLAPS;
    breaks(Broken::OtherIsNotLocked, size, &[COUNTERS, NOT_STUCK]);
}

#[test]
fn a_pause_that_a_run_does_not_notice_is_ignored() {
    breaks(Broken::PauseIsHidden, Size::PREFETCH, &[PAUSE]);
}

#[test]
fn without_the_queues_lock_a_wake_up_is_lost() {
    breaks(Broken::NoLock, Size::WAKE_UPS, &[WAKE_UP]);
}

#[test]
fn without_a_note_a_lock_given_up_loses_a_wake_up() {
    let size = Size::WAKE_UPS_GIVEN_UP;
    breaks(Broken::GivesUpSilently, size, &[WAKE_UP]);
}

#[test]
fn a_rolled_back_transaction_leaves_its_wake_up_to_the_tick() {
    let size = Size::WAKE_UPS_ROLLED_BACK;
    breaks(Broken::RollbackCounts, size, &[WAKE_UP]);
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
