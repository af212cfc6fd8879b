//! What happens to a job whose call ended or was lost.

use crate::database::{CallId, Database, Job, Status};
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
}

/// `supaqueue.settle_job`. A retry is not due at once.
pub(crate) fn settle_job(job: &mut Job, outcome: Outcome) {
    match outcome {
        Outcome::Successful => {
            job.status = Status::Successful;
            return;
        }
        Outcome::Failed => job.failed += 1,
        Outcome::Lost => job.lost += 1,
        Outcome::NotMade => {
            job.given_back += 1;
            job.attempts = job.attempts.saturating_sub(1);
        }
    }
    job.status = if outcome != Outcome::NotMade && job.attempts >= MAX_ATTEMPTS {
        Status::Failed
    } else {
        Status::Pending
    };
    job.is_due = false;
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

/// Whether `supaqueue.recover` can take back a call now: its lease has ended, and its rows are not locked.
pub(crate) fn is_recoverable(db: &Database, id: CallId) -> bool {
    let is_over = db.calls.get(&id).is_some_and(|call| call.is_lease_over);
    is_over && !db.is_call_held(id) && !db.is_job_held(id.job)
}

/// `supaqueue.recover`, with the queue's lock. What was not acknowledged is sent again under a new id, a
/// limited number of times; what was acknowledged is a lost attempt, and its worker is free.
///
/// That it unlocks workers without a current job is left out, and so is `supaqueue.check_places`: the rule
/// [`COUNTERS`](crate::properties::COUNTERS) says that there are none.
pub(crate) fn recover(db: &Database, tx: &mut Transaction, broken: Option<Broken>) {
    for (id, call) in &db.calls {
        if tx.calls.contains_key(id) || !is_recoverable(db, *id) {
            continue;
        }
        let Some(mut job) = tx.job(db, id.job) else {
            continue;
        };
        tx.calls.insert(*id, None);
        let is_acknowledged = call.lane.is_some();
        if !is_acknowledged && call.dispatches < MAX_DISPATCHES {
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
        let outcome = if is_acknowledged {
            Outcome::Lost
        } else {
            Outcome::NotMade
        };
        settle_job(&mut job, outcome);
        tx.jobs.insert(id.job, job);
        if !db.is_worker_held(call.worker) {
            let mut row = tx.worker(db, call.worker);
            row.is_locked = false;
            tx.workers.insert(call.worker, row);
        }
    }
}
