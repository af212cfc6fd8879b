//! What happens to a job whose call ended or was lost.

use crate::database::{CallId, CallState, CurrentJob, Database, Job, Status};
use crate::size::{Broken, MAX_ATTEMPTS, MAX_DISPATCHES};
use crate::start::new_id;
use crate::transaction::Transaction;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// The target responded with a 2xx status.
    Successful,
    /// The target responded with another status, or not in time.
    Failed,
    /// The runtime's rate limit prevented the call: the attempt is given back.
    NotMade,
    /// It was never reported.
    Lost,
    /// It was held ready by a run that was lost.
    Unstarted,
}

/// `supaqueue.settle_job`. A retry is not due at once, except after a lease. A job that was cancelled
/// keeps its status.
pub(crate) fn settle_job(job: &mut Job, outcome: Outcome) {
    if job.status != Status::InProgress {
        return;
    }
    match outcome {
        Outcome::Successful => {
            job.status = Status::Successful;
            return;
        }
        Outcome::Failed => job.failed += 1,
        Outcome::Lost => job.lost += 1,
        Outcome::Unstarted => {
            job.unstarted += 1;
            job.attempts = job.attempts.saturating_sub(1);
        }
        Outcome::NotMade => {
            job.given_back += 1;
            job.attempts = job.attempts.saturating_sub(1);
        }
    }
    let spends_attempt = matches!(outcome, Outcome::Failed | Outcome::Lost);
    job.status = if spends_attempt && job.attempts >= MAX_ATTEMPTS {
        Status::Failed
    } else {
        Status::Pending
    };
    job.is_due = matches!(outcome, Outcome::Lost | Outcome::Unstarted);
    job.is_admitted = false;
}

/// `supaqueue.settle_again`: settles what could not be settled when its call ended.
pub(crate) fn settle_again(db: &Database, tx: &mut Transaction) {
    for job in 0..db.jobs.len() as u8 {
        let Some(mut row) = tx.job(db, job).filter(|_| !db.is_job_held(job)) else {
            continue;
        };
        if let Some(outcome) = row.unsettled.take() {
            settle_job(&mut row, outcome);
            tx.jobs.insert(job, row);
        }
    }
}

/// Deletes the row of a call, and remembers its worker if that has no other call.
pub(crate) fn delete_call(db: &Database, tx: &mut Transaction, id: CallId, worker: u8) {
    tx.calls.insert(id, None);
    if !tx.calls(db).values().any(|call| call.worker == worker) {
        tx.idle.insert(worker);
    }
}

/// Locks the other call of a worker whose call is to be deleted. So of two transactions that end the last two
/// calls of a worker, the second one finds none, and frees the worker.
///
/// None while another transaction has locked it.
pub(crate) fn lock_other_call(
    db: &Database,
    tx: &mut Transaction,
    id: CallId,
    worker: u8,
) -> Option<()> {
    let others = db
        .calls
        .iter()
        .filter(|(other, row)| **other != id && row.worker == worker);
    for (other, row) in others {
        if db.is_call_held(*other) {
            return None;
        }
        tx.calls.entry(*other).or_insert(Some(*row));
    }
    Some(())
}

/// A call that its run will not begin: no attempt is spent, and its job is ready again, unless it was
/// cancelled.
pub(crate) fn give_back(
    db: &Database,
    tx: &mut Transaction,
    id: CallId,
    broken: Option<Broken>,
) -> Option<()> {
    if db.is_job_held(id.job) {
        return None;
    }
    let call = tx.call(db, id)?;
    if broken != Some(Broken::OtherIsNotLocked) {
        lock_other_call(db, tx, id, call.worker)?;
    }
    delete_call(db, tx, id, call.worker);
    let mut job = tx.job(db, id.job)?;
    job.attempts -= u8::from(broken != Some(Broken::GivingBackSpends));
    if job.status == Status::InProgress {
        job.status = Status::Pending;
        job.is_admitted = true;
    }
    tx.jobs.insert(id.job, job);
    Some(())
}

/// `supaqueue.set_locked`, for the workers whose last call the transaction has ended.
pub(crate) fn free_workers(db: &Database, tx: &mut Transaction) {
    for worker in std::mem::take(&mut tx.idle) {
        let mut row = tx.worker(db, worker);
        row.is_locked = false;
        tx.workers.insert(worker, row);
    }
}

/// Whether a call is lost: its dispatch lease has ended, or its run is over.
fn is_lost(db: &Database, call: &CurrentJob, broken: Option<Broken>) -> bool {
    match call.run {
        _ if call.state == CallState::Sent => call.is_lease_over,
        Some(_) if broken == Some(Broken::TakesBackOnce) => call.is_lease_over,
        Some(run) => db.is_run_over(run),
        None => false,
    }
}

/// Whether `supaqueue.recover` can take back a call now: it is lost, and its rows are not locked.
pub(crate) fn is_recoverable(db: &Database, id: CallId, broken: Option<Broken>) -> bool {
    let is_lost = db
        .calls
        .get(&id)
        .is_some_and(|call| is_lost(db, call, broken));
    is_lost && !db.is_call_held(id) && !db.is_job_held(id.job)
}

/// `supaqueue.recover`, with the queue's lock. What was not acknowledged is sent again under a new id, a
/// limited number of times; what was started is a lost attempt, and what was held none.
///
/// That it unlocks workers without a current job is left out, and so is `supaqueue.check_places`: the rule
/// [`COUNTERS`](crate::properties::COUNTERS) says that there are none.
pub(crate) fn recover(db: &Database, tx: &mut Transaction, broken: Option<Broken>) {
    for (id, call) in &db.calls {
        if tx.calls.contains_key(id) || !is_recoverable(db, *id, broken) {
            continue;
        }
        let Some(mut job) = tx.job(db, id.job) else {
            continue;
        };
        let is_sent = call.state == CallState::Sent;
        if is_sent && job.status == Status::InProgress && call.dispatches < MAX_DISPATCHES {
            tx.calls.insert(*id, None);
            if broken == Some(Broken::SendingSpendsAttempt) {
                job.attempts += 1;
            }
            tx.jobs.insert(id.job, job);
            let mut again = *call;
            again.dispatches += 1;
            again.is_lease_over = false;
            let id = new_id(tx, id.job);
            tx.calls.insert(id, Some(again));
            tx.sent.push(id);
            continue;
        }
        delete_call(db, tx, *id, call.worker);
        settle_job(
            &mut job,
            match call.state {
                CallState::Sent => Outcome::NotMade,
                CallState::Held => Outcome::Unstarted,
                CallState::Started => Outcome::Lost,
            },
        );
        tx.jobs.insert(id.job, job);
    }
    free_workers(db, tx);
}
