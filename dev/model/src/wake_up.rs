//! The transactions that wake up a queue (an insert, a report, the tick): what they
//! do before and with the queue's lock.

use crate::database::{Database, Job};
use crate::settle::{Outcome, is_recoverable, recover, settle_again, settle_job};
use crate::size::Broken;
use crate::start::{admit_jobs, hand_out_next_job, hand_out_sent_call, start_jobs};
use crate::transaction::{Cause, Lock, Step, Transaction};

/// The end of a transaction that inserts a job: the deferred trigger, and `supaqueue.dispatch` up to its
/// lock.
pub(crate) fn begin_insert(db: &mut Database, job: u8) {
    let mut tx = Transaction::new(Cause::Insert(job));
    tx.jobs.insert(job, Job::NEW);
    tx.step = Step::AsksFor(Lock::Shared);
    db.open.push(tx);
}

/// `supaqueue.tick`, if it has something to do in the queue (`queues_to_look_after`), and is not running
/// already. What it would find only with the lock is left to a tick that starts then.
pub(crate) fn begin_tick(db: &mut Database) -> Option<()> {
    let is_running = db.open.iter().any(|open| open.cause == Cause::Tick);
    let has_work = db.notes > 0
        || db.has_startable()
        || db.inserted().any(|job| job.unsettled.is_some())
        || db.calls.keys().any(|id| is_recoverable(db, *id));
    if is_running || !has_work {
        return None;
    }
    let mut tx = Transaction::new(Cause::Tick);
    tx.step = Step::AsksFor(Lock::Exclusive);
    db.open.push(tx);
    Some(())
}

/// `supaqueue.report` of a current job that exists and is not locked, up to the lock that
/// `supaqueue.free_worker` takes. A report that finds a next job at once needs no lock, unless it has
/// admitted others: then it ends with a dispatch, as an insert does.
///
/// If the job cannot be settled (a trigger of a user's raises), the outcome is noted, and the worker goes on.
pub(crate) fn begin_report(
    db: &mut Database,
    cause: Cause,
    outcome: Outcome,
    can_settle: bool,
    broken: Option<Broken>,
) -> Option<()> {
    let Cause::Report { id, .. } = cause else {
        return None;
    };
    if db.is_job_held(id.job) {
        return None;
    }
    let mut tx = Transaction::new(cause);
    tx.calls.insert(id, None);
    let mut job = *db.job(id.job)?;
    if can_settle {
        settle_job(&mut job, outcome);
    } else if broken != Some(Broken::OutcomeIsNotNoted) {
        job.unsettled = Some(outcome);
    }
    tx.jobs.insert(id.job, job);
    hand_out_next_job(db, &mut tx);
    if tx.next.is_none() {
        hand_out_sent_call(db, &mut tx, broken);
        tx.step = Step::AsksFor(Lock::Exclusive);
    } else if tx.jobs.values().any(Job::is_ready) {
        tx.step = Step::AsksFor(Lock::Shared);
    }
    db.open.push(tx);
    Some(())
}

/// The work with the queue's lock.
pub(crate) fn with_lock(db: &Database, tx: &mut Transaction, lock: Lock, broken: Option<Broken>) {
    tx.step = Step::Holds(Some(lock));
    match tx.cause {
        Cause::Insert(_) => {}
        // A call that was already sent has its own worker.
        Cause::Report { .. } if lock == Lock::Exclusive => {
            let needs_worker = tx.next.is_none();
            if needs_worker {
                hand_out_next_job(db, tx);
            }
            if !needs_worker || tx.next.is_none() {
                free_worker(db, tx);
            }
        }
        Cause::Report { .. } => {}
        Cause::Tick => {
            recover(db, tx, broken);
            settle_again(db, tx);
            admit_jobs(db, tx);
            tx.notes_done = db.notes;
        }
    }
    start_jobs(db, tx);
}

/// What is done when the lock is not to be had soon: the rest is left to the tick.
pub(crate) fn without_lock(
    db: &Database,
    tx: &mut Transaction,
    lock: Lock,
    broken: Option<Broken>,
) {
    tx.step = Step::Holds(None);
    tx.leaves_note = broken != Some(Broken::GivesUpSilently);
    if lock == Lock::Exclusive {
        free_worker(db, tx);
    }
}

/// `supaqueue.unlock_worker`, for the call of a report.
fn free_worker(db: &Database, tx: &mut Transaction) {
    if let Cause::Report { id, call, .. } = tx.cause
        && !db.is_worker_held(call.worker)
    {
        let mut worker = tx.worker(db, call.worker);
        worker.is_locked = false;
        worker.last_report = Some(id);
        tx.workers.insert(call.worker, worker);
    }
}
