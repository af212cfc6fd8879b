//! The rules of the protocol, and situations that an exploration must have met.

use stateright::Property;

use crate::database::{Job, Status};
use crate::function::{Answer, Lane, Phase};
use crate::protocol::Protocol;
use crate::size::{Broken, MAX_ATTEMPTS};
use crate::state::State;
use crate::transaction::Step;

/// Never more calls in flight than the queue has workers.
pub const CALLS_IN_FLIGHT: &str = "calls in flight are never more than the workers";
/// No two lanes call the target for one job.
pub const ONE_CALL: &str = "no job is called twice at once";
/// Of the lanes that one dispatch begins, one calls the target at most.
pub const REPLAY: &str = "a dispatch that is repeated runs nothing";
/// A job runs no more often than it has attempts, and has no more than it may.
pub const ATTEMPTS: &str = "attempts are bounded, and each run spends one";
/// A job runs again only after a failure or a lost attempt that is recorded on it.
pub const EXPLAINED: &str = "every run beyond the first is explained";
/// A report that is repeated names the same next job, or is refused once that is over.
pub const SAME_ANSWER: &str = "a report that is repeated gets the same answer";
/// A job that is successful or failed stays what it is.
pub const SETTLED: &str = "settled jobs stay settled";
/// Jobs, workers and current jobs that are committed tell the same story.
pub const COUNTERS: &str = "counters agree";
/// When no transaction is open, no new job is pending beside a free worker. Needs no tick.
pub const WAKE_UP: &str = "no wake-up is lost";
/// When nothing happens any more, all jobs are settled and all workers are free. Needs the tick.
pub const NOT_STUCK: &str = "nothing is stuck";

/// Situations that every exploration of the whole protocol meets, if its size allows for them.
pub const SITUATIONS: [&str; 12] = [
    "all jobs are settled",
    "all workers are at work",
    "a report hands out the next job",
    "a report hands out a call that was sent",
    "a transaction waits for the lock",
    "an attempt is lost",
    "a call is sent again",
    "an attempt is given back",
    "a lane comes when it has to be refused",
    "a repeated report is handed the same next job",
    "a report comes when it is settled already",
    "a call goes on after its lane died",
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
    let met: [Rule; 12] = [
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
            let repeated = Phase::Calling(Answer::Repeated);
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

/// Holds for every job that is inserted and how often it ran.
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

/// Each attempt is one that failed, was lost, is under way or was successful; each job in progress has a
/// current job and the reverse, each locked worker has one and the reverse, and none has two.
///
/// So the sweeps of `supaqueue.reclaim` for jobs and workers without a current job are for what users do
/// by hand.
fn counters_agree(_: &Protocol, s: &State) -> bool {
    let attempts = s.db.inserted().all(|job| {
        let is_counted = matches!(job.status, Status::InProgress | Status::Successful);
        job.attempts == job.failed + job.lost + u8::from(is_counted)
    });
    let jobs = s.db.jobs.iter().enumerate().all(|(number, job)| {
        let calls = s.db.calls.keys().filter(|id| usize::from(id.job) == number);
        let is_in_progress = job.is_some_and(|job| job.status == Status::InProgress);
        calls.count() == usize::from(is_in_progress)
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

/// A retry may wait for the tick, and so may what only a rolled-back transaction would have started.
fn no_wake_up_is_lost(m: &Protocol, s: &State) -> bool {
    let is_excused = s.aborts_left < m.size.aborts && !m.is(Broken::RollbackCounts);
    let is_new = |job: &Job| job.is_ready() && job.calls == 0;
    let has_free_worker = s.db.workers.iter().any(|worker| !worker.is_locked);
    is_excused || !s.db.open.is_empty() || !has_free_worker || !s.db.inserted().any(is_new)
}

fn nothing_is_stuck(m: &Protocol, s: &State) -> bool {
    let is_all_done = s.db.open.is_empty()
        && s.db.calls.is_empty()
        && s.db.inserted().all(|job| job.status.is_settled())
        && s.db.workers.iter().all(|worker| !worker.is_locked);
    is_all_done || !m.size.has_tick || !m.is_at_rest(s)
}
