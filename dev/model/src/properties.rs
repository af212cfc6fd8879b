//! The rules of the protocol, and situations that an exploration must meet.

use stateright::Property;

use crate::database::{Job, Status};
use crate::lane::{Lane, Origin, Phase};
use crate::protocol::Protocol;
use crate::size::{Broken, MAX_ATTEMPTS};
use crate::state::State;
use crate::transaction::Step;

/// A queue never has more calls in flight than workers.
pub const CALLS_IN_FLIGHT: &str = "calls in flight never exceed the workers";
/// No two lanes call the target for the same job at once.
pub const ONE_CALL: &str = "no job is called twice at once";
/// Of the lanes that a dispatch starts, at most one calls the target.
pub const REPLAY: &str = "a repeated dispatch runs nothing";
/// A job runs at most once per attempt, and has no more attempts than allowed.
pub const ATTEMPTS: &str = "attempts are limited, and each run spends one";
/// A job runs again only after a failure or a lost attempt that is recorded on it.
pub const EXPLAINED: &str = "every run beyond the first is explained";
/// A repeated report gets the same next job, or is refused once that one is over.
pub const SAME_ANSWER: &str = "a repeated report gets the same answer";
/// A successful or failed job keeps its status.
pub const SETTLED: &str = "settled jobs stay settled";
/// Committed jobs, workers and current jobs agree with each other.
pub const COUNTERS: &str = "counters agree";
/// When no transaction is open, no new job is pending while a worker is free. Needs no tick.
pub const WAKE_UP: &str = "no wake-up is lost";
/// When nothing more happens, all jobs are settled and all workers are free. Needs the tick.
pub const NOT_STUCK: &str = "nothing is stuck";

/// Situations that every exploration of the intact protocol meets, if its size allows.
pub const SITUATIONS: [&str; 14] = [
    "all jobs are settled",
    "all workers are busy",
    "a report hands out the next job",
    "a report hands out a call that was already sent",
    "a transaction waits for the lock",
    "a transaction leaves its work to the tick",
    "a job cannot be settled when its call ends",
    "an attempt is lost",
    "a call is sent again",
    "an attempt is given back",
    "a lane starts only to be refused",
    "a repeated report gets the same next job",
    "a report arrives after its job was settled",
    "a call continues after its lane died",
];

type Rule = fn(&Protocol, &State) -> bool;

pub(crate) fn all() -> Vec<Property<Protocol>> {
    let rules: [(&'static str, Rule); 10] = [
        (CALLS_IN_FLIGHT, |m, s| {
            in_flight(s) <= usize::from(m.size.workers)
        }),
        (ONE_CALL, |_, s| {
            (0..s.db.jobs.len()).all(|job| calls_of(s, job) <= 1)
        }),
        (REPLAY, |_, s| s.net.values().all(|sent| sent.called <= 1)),
        (ATTEMPTS, attempts_are_bounded),
        (EXPLAINED, |_, s| {
            each_job(s, |job, runs| runs <= 1 + job.failed + job.lost)
        }),
        (SAME_ANSWER, |_, s| !s.witness.has_other_answer),
        (SETTLED, settled_jobs_stay_settled),
        (COUNTERS, counters_agree),
        (WAKE_UP, no_wake_up_is_lost),
        (NOT_STUCK, nothing_is_stuck),
    ];
    let met: [Rule; 14] = [
        |_, s| {
            s.db.jobs
                .iter()
                .all(|job| job.is_some_and(|job| job.status.is_settled()))
        },
        |m, s| in_flight(s) == usize::from(m.size.workers),
        |_, s| s.lanes.iter().any(|lane| lane.at != lane.id.dispatch),
        |_, s| {
            let is_sent = |lane: &Lane| lane.at != lane.id.dispatch && s.net.contains_key(&lane.at);
            s.lanes.iter().any(is_sent)
        },
        |_, s| {
            let waits = |step| matches!(step, Step::AsksFor(_));
            s.db.open
                .iter()
                .any(|tx| waits(tx.step) && !tx.can_have_lock(&s.db))
        },
        |_, s| s.db.notes > 0,
        |_, s| s.db.inserted().any(|job| job.unsettled.is_some()),
        |_, s| s.db.inserted().any(|job| job.lost > 0),
        |_, s| s.db.calls.values().any(|call| call.dispatches > 1),
        |_, s| s.db.inserted().any(|job| job.given_back > 0),
        |_, s| {
            let is_anothers = |lane: &Lane| match s.db.calls.get(&lane.at) {
                Some(call) => call.lane.is_some_and(|taken| taken != lane.id),
                None => true,
            };
            let mut lanes = s.lanes.iter();
            lanes.any(|lane| lane.phase == Phase::Acknowledging && is_anothers(lane))
        },
        |_, s| {
            let repeated = Phase::Calling(Origin::RepeatedAnswer);
            s.lanes.iter().any(|lane| lane.phase == repeated)
        },
        |_, s| {
            let is_settled = |lane| s.witness.answers.contains_key(lane);
            s.lanes
                .iter()
                .any(|lane| lane.reports() && is_settled(&lane.at))
        },
        |_, s| {
            let is_abandoned = |phase| matches!(phase, Phase::Abandoned(_));
            s.lanes.iter().any(|lane| is_abandoned(lane.phase))
        },
    ];
    let always = rules
        .into_iter()
        .map(|(name, rule)| Property::always(name, rule));
    let sometimes = SITUATIONS.into_iter().zip(met);
    let sometimes = sometimes.map(|(name, rule)| Property::sometimes(name, rule));
    always.chain(sometimes).collect()
}

fn in_flight(s: &State) -> usize {
    s.lanes.iter().filter(|lane| lane.is_in_flight()).count()
}

fn calls_of(s: &State, job: usize) -> usize {
    let calls = s.lanes.iter().filter(|lane| lane.is_in_flight());
    calls.filter(|lane| usize::from(lane.at.job) == job).count()
}

/// Whether the rule holds for every inserted job and the number of its runs.
fn each_job(s: &State, rule: fn(&Job, u8) -> bool) -> bool {
    let mut jobs = s.db.jobs.iter().zip(&s.witness.runs);
    jobs.all(|(job, runs)| job.is_none_or(|job| rule(&job, *runs)))
}

fn attempts_are_bounded(_: &Protocol, s: &State) -> bool {
    each_job(s, |job, runs| {
        job.attempts <= MAX_ATTEMPTS && runs <= job.attempts
    })
}

fn settled_jobs_stay_settled(_: &Protocol, s: &State) -> bool {
    let mut jobs = s.db.jobs.iter().zip(&s.witness.settled);
    jobs.all(|(job, first)| first.is_none_or(|first| job.is_some_and(|job| job.status == first)))
}

/// Each attempt failed, was lost, is in progress or was successful. Jobs in progress and locked workers
/// each have exactly one current job, and others have none.
///
/// A job whose call ended and that could not be settled has its outcome noted instead. So
/// `supaqueue.check_places` only serves users who changed rows by hand.
fn counters_agree(_: &Protocol, s: &State) -> bool {
    let attempts = s.db.inserted().all(|job| {
        let is_counted = matches!(job.status, Status::InProgress | Status::Successful);
        job.attempts == job.failed + job.lost + u8::from(is_counted)
    });
    let jobs = s.db.jobs.iter().enumerate().all(|(number, job)| {
        let calls = s.db.calls.keys().filter(|id| usize::from(id.job) == number);
        let is_in_progress = job.is_some_and(|job| job.status == Status::InProgress);
        let is_unsettled = job.is_some_and(|job| job.unsettled.is_some());
        calls.count() == usize::from(is_in_progress && !is_unsettled)
    });
    let workers = s.db.workers.iter().enumerate().all(|(number, worker)| {
        let calls =
            s.db.calls
                .values()
                .filter(|call| usize::from(call.worker) == number);
        calls.count() == usize::from(worker.is_locked)
    });
    attempts && jobs && workers
}

/// A retry may wait for the tick, and so may a job that only a rolled-back transaction would have started,
/// or one whose transaction has left a note.
fn no_wake_up_is_lost(m: &Protocol, s: &State) -> bool {
    let is_excused = s.aborts_left < m.size.aborts && !m.is(Broken::RollbackCounts);
    let is_new = |job: &Job| job.is_ready() && job.calls == 0;
    let has_free_worker = s.db.workers.iter().any(|worker| !worker.is_locked);
    is_excused
        || s.db.notes > 0
        || !s.db.open.is_empty()
        || !has_free_worker
        || !s.db.inserted().any(is_new)
}

fn nothing_is_stuck(m: &Protocol, s: &State) -> bool {
    let is_all_done = s.db.open.is_empty()
        && s.db.notes == 0
        && s.db.calls.is_empty()
        && s.db.inserted().all(|job| job.status.is_settled())
        && s.db.workers.iter().all(|worker| !worker.is_locked);
    is_all_done || !m.size.has_tick || !m.is_at_rest(s)
}
