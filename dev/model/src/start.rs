//! Starts jobs: on free workers, and with a report on the worker that it frees.

use crate::database::{CallId, CurrentJob, Database, Status};
use crate::size::Broken;
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

/// `supaqueue.start_jobs`: locks as many jobs as there seem to be free workers, then the workers, skipping
/// those that others have locked.
pub(crate) fn start_jobs(db: &Database, tx: &mut Transaction) {
    let workers = 0..db.workers.len() as u8;
    let free: Vec<u8> = workers
        .filter(|worker| !tx.worker(db, *worker).is_locked)
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
        let call = CurrentJob {
            worker,
            dispatches: 1,
            lane: None,
            previous: None,
            is_lease_over: false,
        };
        let id = begin_attempt(tx, job, call);
        tx.sent.push(id);
    }
}

/// `supaqueue.hand_out_next_job`: the next job for the worker and lane of a call that ended.
pub(crate) fn hand_out_next_job(db: &Database, tx: &mut Transaction) {
    let Cause::Report {
        id,
        call,
        wants_next: true,
        ..
    } = tx.cause
    else {
        return;
    };
    let Some(job) = next_jobs(db, tx, 1).pop() else {
        return;
    };
    let next = CurrentJob {
        previous: Some(id),
        dispatches: 1,
        is_lease_over: false,
        ..call
    };
    tx.next = Some(begin_attempt(tx, job, next));
}

/// `supaqueue.hand_out_sent_call`: a call that was sent but not acknowledged yet, on the worker that it has.
pub(crate) fn hand_out_sent_call(db: &Database, tx: &mut Transaction, broken: Option<Broken>) {
    let Cause::Report {
        id,
        call,
        wants_next: true,
        ..
    } = tx.cause
    else {
        return;
    };
    let mut sent = db.calls.iter();
    let Some((sent, row)) = sent.find(|(id, row)| row.lane.is_none() && !db.is_call_held(**id))
    else {
        return;
    };
    let is_acknowledged = broken != Some(Broken::SentCallIsNotAcknowledged);
    let taken = CurrentJob {
        lane: call.lane.filter(|_| is_acknowledged),
        previous: Some(id),
        is_lease_over: false,
        ..*row
    };
    tx.calls.insert(*sent, Some(taken));
    tx.next = Some(*sent);
}

fn begin_attempt(tx: &mut Transaction, job: u8, call: CurrentJob) -> CallId {
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
