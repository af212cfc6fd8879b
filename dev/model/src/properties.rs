//! The rules of the protocol.

use stateright::Property;

use crate::database::{Job, Status};
use crate::isolate::Isolate;
use crate::message::call_id;
use crate::protocol::Protocol;
use crate::situations;
use crate::size::{Broken, MAX_ATTEMPTS, MAX_UNSTARTED};
use crate::state::State;

/// A queue never has more calls in flight than workers, counted as open connections.
pub const CALLS_IN_FLIGHT: &str = "calls in flight never exceed the workers";
/// A target never has two calls for the same job at once.
pub const ONE_CALL: &str = "no job is called twice at once";
/// Each current job is called once at most: a late or repeated dispatch runs nothing.
pub const CALLED_ONCE: &str = "a late or repeated dispatch runs nothing";
/// A run calls only what the database keeps for it, and the database keeps it until the call is over.
pub const OWNED: &str = "nothing is called that was lost";
/// A run that waits for no answer has all calls that the database keeps for it.
pub const KNOWN: &str = "a run knows its calls";
/// A job has a bounded number of attempts and of calls.
pub const ATTEMPTS: &str = "attempts are limited, and each run spends one";
/// A job runs again only after a failure or a lost attempt that is recorded on it.
pub const EXPLAINED: &str = "every run beyond the first is explained";
/// A repeated report gets the same answer.
pub const SAME_ANSWER: &str = "a repeated report gets the same answer";
/// Only a run whose lease is over is refused.
pub const NOT_REFUSED: &str = "a run that lives is not refused";
/// A successful, failed or cancelled job keeps its status.
pub const SETTLED: &str = "settled jobs stay settled";
/// Committed jobs, workers and current jobs agree with each other.
pub const COUNTERS: &str = "counters agree";
/// A run ends with no request unanswered, or aborts them.
pub const ENDS_CLEANLY: &str = "a run leaves no call in flight";
/// After a call whose target asked for a pause, nothing starts before that is reported.
pub const PAUSE: &str = "nothing is started beside the report of a pause";
/// When no transaction is open, no new job is pending while a worker is free. Needs no tick.
pub const WAKE_UP: &str = "no wake-up is lost";
/// When nothing more happens, all jobs are settled, all workers are free and all runs have ended. Needs
/// the tick.
pub const NOT_STUCK: &str = "nothing is stuck";

type Rule = fn(&Protocol, &State) -> bool;

pub(crate) fn all() -> Vec<Property<Protocol>> {
    let rules: [(&'static str, Rule); 15] = [
        (CALLS_IN_FLIGHT, |m, s| {
            in_flight(s) <= usize::from(m.size.workers)
        }),
        (ONE_CALL, |_, s| {
            (0..s.db.jobs.len()).all(|job| calls_of(s, job) <= 1)
        }),
        (CALLED_ONCE, |_, s| !s.witness.is_called_again),
        (OWNED, calls_are_owned),
        (KNOWN, |_, s| {
            s.isolates.iter().all(|i| knows_its_calls(s, i))
        }),
        (ATTEMPTS, attempts_are_bounded),
        (EXPLAINED, |_, s| {
            each_job(s, |job, runs| {
                runs <= 1 + job.failed + job.lost + job.unstarted
            })
        }),
        (SAME_ANSWER, |_, s| !s.witness.has_other_answer),
        (NOT_REFUSED, |_, s| !s.witness.is_refused),
        (SETTLED, settled_jobs_stay_settled),
        (COUNTERS, counters_agree),
        (ENDS_CLEANLY, |_, s| !s.witness.has_open_call_at_end),
        (PAUSE, |_, s| !s.witness.starts_in_pause),
        (WAKE_UP, no_wake_up_is_lost),
        (NOT_STUCK, nothing_is_stuck),
    ];
    let always = rules
        .into_iter()
        .map(|(name, rule)| Property::always(name, rule));
    always.chain(situations::all()).collect()
}

fn in_flight(s: &State) -> usize {
    s.connections().count()
}

fn calls_of(s: &State, job: usize) -> usize {
    let calls = s.connections();
    calls.filter(|(_, id)| usize::from(id.job) == job).count()
}

/// The rows of a call stay while its connection is open, whatever happens to its job, unless its target
/// gave it up.
fn calls_are_owned(_: &Protocol, s: &State) -> bool {
    let has_row = |(run, id)| {
        let row = s.db.calls.get(&id);
        row.is_some_and(|row| row.run == Some(run)) && !s.db.is_run_over(run)
    };
    !s.witness.is_called_unowned && s.connections().all(has_row)
}

fn knows_its_calls(s: &State, isolate: &Isolate) -> bool {
    let is_asking = isolate.requests().next().is_some();
    let known: Vec<_> = isolate.run.calls().map(call_id).collect();
    let mut calls = s.db.calls.iter();
    is_asking || calls.all(|(id, row)| row.run != Some(isolate.number) || known.contains(id))
}

/// Whether the rule holds for every inserted job and the number of its runs.
fn each_job(s: &State, rule: fn(&Job, u8) -> bool) -> bool {
    let mut jobs = s.db.jobs.iter().zip(&s.witness.runs);
    jobs.all(|(job, runs)| job.is_none_or(|job| rule(&job, *runs)))
}

/// A held call that its run has begun and not told of is not an attempt when the run is lost. Nobody counts what a cancelled job did.
fn attempts_are_bounded(_: &Protocol, s: &State) -> bool {
    each_job(s, |job, runs| {
        let is_counted = runs <= job.attempts + job.unstarted;
        job.attempts <= MAX_ATTEMPTS
            && runs <= MAX_ATTEMPTS + MAX_UNSTARTED
            && (is_counted || job.status == Status::Cancelled)
    })
}

fn settled_jobs_stay_settled(_: &Protocol, s: &State) -> bool {
    let mut jobs = s.db.jobs.iter().zip(&s.witness.settled);
    jobs.all(|(job, first)| first.is_none_or(|first| job.is_some_and(|job| job.status == first)))
}

/// Each attempt failed, was lost, is in progress or was successful. Jobs in progress have exactly one current
/// job, cancelled ones one at most, and others have none. Workers are locked while they have any.
///
/// A job whose call ended and that could not be settled has its outcome noted instead. So
/// `supaqueue.check_places` only serves users who changed rows by hand.
fn counters_agree(_: &Protocol, s: &State) -> bool {
    let jobs = s.db.jobs.iter().enumerate().all(|(number, job)| {
        let Some(job) = job else { return true };
        let calls =
            s.db.calls
                .iter()
                .filter(|(id, _)| usize::from(id.job) == number);
        let calls = calls.count();
        let ended = job.failed + job.lost;
        match job.status {
            Status::InProgress if job.unsettled.is_some() => calls == 0,
            Status::InProgress => calls == 1 && job.attempts == ended + 1,
            Status::Cancelled => calls <= 1 && job.attempts <= ended + 1,
            Status::Successful => calls == 0 && job.attempts == ended + 1,
            Status::Pending | Status::Failed => calls == 0 && job.attempts == ended,
        }
    });
    let workers = s.db.workers.iter().enumerate().all(|(number, worker)| {
        let mut calls = s.db.calls.values();
        worker.is_locked == calls.any(|call| usize::from(call.worker) == number)
    });
    jobs && workers
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
        && s.isolates.is_empty()
        && s.db.inserted().all(|job| job.status.is_settled())
        && s.db.workers.iter().all(|worker| !worker.is_locked);
    is_all_done || !m.size.has_tick || !m.is_at_rest(s)
}
