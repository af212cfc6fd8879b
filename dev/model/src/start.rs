//! Starts jobs: on free workers, and with a report on the worker that it frees.

use crate::database::{CallId, CallState, CurrentJob, Database, RunNumber, Status};
use crate::size::{Broken, MAX_UNSTARTED};
use crate::transaction::{Cause, Transaction};

/// `supaqueue.admit_jobs`: moves the jobs that have become due to `ready_job`, skipping those that others
/// have locked. The transaction has to dispatch its queue then.
pub(crate) fn admit_jobs(db: &Database, tx: &mut Transaction) {
    for job in 0..db.jobs.len() as u8 {
        let Some(mut row) = tx.job(db, job) else {
            continue;
        };
        if row.is_admissible() && !db.is_job_held(job) {
            row.is_admitted = true;
            tx.jobs.insert(job, row);
        }
    }
}

/// `supaqueue.next_jobs`: locks the next jobs, skipping those that others have locked.
fn next_jobs(db: &Database, tx: &mut Transaction, limit: usize) -> Vec<u8> {
    admit_jobs(db, tx);
    let mut due = Vec::new();
    for job in 0..db.jobs.len() as u8 {
        let Some(row) = tx.job(db, job) else { continue };
        if due.len() < limit && row.is_ready() && !db.is_job_held(job) {
            tx.jobs.insert(job, row);
            due.push(job);
        }
    }
    due
}

/// Who makes the calls that are started.
#[derive(Clone, Copy)]
pub(crate) enum Caller {
    /// Whoever gets the dispatch.
    Anybody,
    /// The run whose pulse with this number claims them.
    Claimed(RunNumber, u32),
}

/// `supaqueue.start_jobs`: locks as many jobs as there seem to be free workers, then the workers, skipping
/// those that others have locked.
pub(crate) fn start_jobs(
    db: &Database,
    tx: &mut Transaction,
    caller: Caller,
    broken: Option<Broken>,
) {
    let takes_busy = broken == Some(Broken::PulseClaimsBusyWorker);
    let takes_busy = takes_busy && matches!(caller, Caller::Claimed(..));
    let workers = 0..db.workers.len() as u8;
    let free: Vec<u8> = workers
        .filter(|worker| takes_busy || !tx.worker(db, *worker).is_locked)
        .collect();
    if free.is_empty() {
        return;
    }
    let due = next_jobs(db, tx, free.len());
    let usable = free
        .into_iter()
        .filter(|worker| !db.is_worker_held(*worker));
    for (job, worker) in due.into_iter().zip(usable) {
        let mut row = tx.worker(db, worker);
        row.is_locked = true;
        tx.workers.insert(worker, row);
        match caller {
            Caller::Anybody => {
                let id = begin_call(tx, job, CurrentJob::sent(worker));
                tx.sent.push(id);
            }
            Caller::Claimed(run, number) => {
                let call = CurrentJob {
                    state: CallState::Started,
                    run: Some(run),
                    claimed_in: Some(number),
                    ..CurrentJob::sent(worker)
                };
                begin_call(tx, job, call);
            }
        }
    }
}

/// `supaqueue.hand_out_next_job`: the next job for the worker and run of a call that ended, if the worker
/// has no other call.
pub(crate) fn hand_out_next_job(db: &Database, tx: &mut Transaction, broken: Option<Broken>) {
    let Some(mut call) = to_hand_out(tx) else {
        return;
    };
    let is_free = tx.idle.contains(&call.worker) || broken == Some(Broken::NextBesideHeld);
    if !is_free {
        return;
    }
    let Some(job) = next_jobs(db, tx, 1).pop() else {
        return;
    };
    call.state = CallState::Started;
    tx.idle.remove(&call.worker);
    tx.next = Some(begin_call(tx, job, call));
}

/// The call to hold ready behind the one that the worker has, if it has exactly one.
pub(crate) fn hand_out_held_job(db: &Database, tx: &mut Transaction, broken: Option<Broken>) {
    let Some(call) = to_hand_out(tx) else {
        return;
    };
    let calls = tx.calls(db);
    let of_worker = calls.values().filter(|row| row.worker == call.worker);
    if of_worker.count() != 1 {
        return;
    }
    admit_jobs(db, tx);
    // `next_jobs` skips jobs that were lost too often while they were held.
    let may_be_held = |job: u8| {
        let row = tx.job(db, job);
        row.is_some_and(|row| row.unstarted < MAX_UNSTARTED) || broken == Some(Broken::HeldForever)
    };
    let Some(job) = (0..db.jobs.len() as u8).find(|job| {
        let row = tx.job(db, *job);
        row.is_some_and(|row| row.is_ready()) && !db.is_job_held(*job) && may_be_held(*job)
    }) else {
        return;
    };
    let Some(row) = tx.job(db, job) else { return };
    tx.jobs.insert(job, row);
    let call = CurrentJob {
        state: CallState::Held,
        ..call
    };
    tx.held = Some(begin_call(tx, job, call));
}

/// The row for what a report hands out.
fn to_hand_out(tx: &Transaction) -> Option<CurrentJob> {
    let Cause::Report { report, call, .. } = &tx.cause else {
        return None;
    };
    report.wants_next.then_some(CurrentJob {
        run: Some(report.run),
        previous: Some(report.id),
        ..CurrentJob::sent(call.worker)
    })
}

/// `supaqueue.take_sent_calls` in a report: a call that was sent but not acknowledged yet, on the worker that it has.
pub(crate) fn hand_out_sent_call(db: &Database, tx: &mut Transaction, broken: Option<Broken>) {
    let Some(call) = to_hand_out(tx) else {
        return;
    };
    let Some((sent, row)) = next_sent_call(db) else {
        return;
    };
    let is_started = broken != Some(Broken::SentCallIsNotStarted);
    let state = if is_started {
        CallState::Started
    } else {
        CallState::Sent
    };
    let taken = CurrentJob {
        state,
        run: call.run,
        previous: call.previous,
        is_lease_over: false,
        ..row
    };
    tx.calls.insert(sent, Some(taken));
    tx.next = Some(sent);
}

/// The first call that was sent and that is still wanted, unless it is locked.
fn next_sent_call(db: &Database) -> Option<(CallId, CurrentJob)> {
    let mut sent = db.calls.iter();
    let found = sent.find(|(id, row)| {
        let is_wanted = db.job(id.job).is_some_and(|job| job.is_wanted());
        row.state == CallState::Sent && row.run.is_none() && is_wanted && !db.is_call_held(**id)
    });
    found.map(|(id, row)| (*id, *row))
}

/// The calls that were sent, for the run whose pulse with this number claims them.
pub(crate) fn claim_sent_calls(db: &Database, tx: &mut Transaction, run: RunNumber, number: u32) {
    for (id, call) in &db.calls {
        let is_wanted = tx.job(db, id.job).is_some_and(|job| job.is_wanted());
        if call.state != CallState::Sent
            || tx.calls.contains_key(id)
            || db.is_call_held(*id)
            || !is_wanted
        {
            continue;
        }
        let taken = CurrentJob {
            state: CallState::Started,
            run: Some(run),
            claimed_in: Some(number),
            is_lease_over: false,
            ..*call
        };
        tx.calls.insert(*id, Some(taken));
    }
}

/// Inserts a call of a job that the transaction has locked.
fn begin_call(tx: &mut Transaction, job: u8, call: CurrentJob) -> CallId {
    let id = new_id(tx, job);
    if let Some(row) = tx.jobs.get_mut(&job) {
        row.status = Status::InProgress;
        row.is_admitted = false;
        row.attempts += 1;
    }
    tx.calls.insert(id, Some(call));
    id
}

/// A new current job id for a job that the transaction has locked.
pub(crate) fn new_id(tx: &mut Transaction, job: u8) -> CallId {
    let mut number = 0;
    if let Some(row) = tx.jobs.get_mut(&job) {
        number = row.calls;
        row.calls += 1;
    }
    CallId { job, number }
}
