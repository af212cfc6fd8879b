//! The transactions that wake up a queue (an insert, a report, the tick): what they
//! do before and with the queue's lock.

use crate::database::{Database, Job};
use crate::settle::{Outcome, free_reclaimed_workers, is_reclaimable, reclaim, settle_job};
use crate::size::Broken;
use crate::start::{hand_out_next_job, hand_out_sent_call, start_jobs};
use crate::transaction::{Cause, Lock, Step, Transaction};

/// The end of a transaction that inserts a job: the deferred trigger, and `supaqueue.dispatch`.
pub(crate) fn begin_insert(db: &mut Database, job: u8, broken: Option<Broken>) {
    let mut tx = Transaction::new(Cause::Insert(job));
    tx.jobs.insert(job, Job::NEW);
    dispatch(db, tx, broken);
}

/// `supaqueue.tick`, if it has something to do, and is not running already. What it would find only with
/// the lock is left to a tick that starts then.
pub(crate) fn begin_tick(db: &mut Database, broken: Option<Broken>) -> Option<()> {
    let is_running = db.open.iter().any(|open| open.cause == Cause::Tick);
    let has_work = db.has_startable() || db.calls.keys().any(|id| is_reclaimable(db, *id));
    if is_running || !has_work {
        return None;
    }
    dispatch(db, Transaction::new(Cause::Tick), broken);
    Some(())
}

/// `supaqueue.dispatch`, up to its lock, which is exclusive if reclaiming calls frees workers.
fn dispatch(db: &mut Database, mut tx: Transaction, broken: Option<Broken>) {
    reclaim(db, &mut tx, broken);
    tx.step = Step::AsksFor(if tx.reclaimed_workers.is_empty() {
        Lock::Shared
    } else {
        Lock::Exclusive
    });
    db.open.push(tx);
}

/// `supaqueue.report` of a current job that exists and is not locked, up to the lock that
/// `supaqueue.free_worker` takes. A report that finds a next job at once needs no lock.
pub(crate) fn begin_report(
    db: &mut Database,
    cause: Cause,
    outcome: Outcome,
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
    settle_job(&mut job, outcome);
    tx.jobs.insert(id.job, job);
    hand_out_next_job(db, &mut tx);
    if tx.next.is_none() {
        hand_out_sent_call(db, &mut tx, broken);
        reclaim(db, &mut tx, broken);
        tx.step = Step::AsksFor(Lock::Exclusive);
    }
    db.open.push(tx);
    Some(())
}

/// The work with the queue's lock.
pub(crate) fn with_lock(db: &Database, tx: &mut Transaction, lock: Lock) {
    tx.step = Step::Holds(Some(lock));
    free_reclaimed_workers(db, tx);
    if let Cause::Report { id, call, .. } = tx.cause {
        // A call that was already sent has its own worker.
        let needs_worker = tx.next.is_none();
        if needs_worker {
            hand_out_next_job(db, tx);
        }
        let has_worker = needs_worker && tx.next.is_some();
        if !has_worker && !db.is_worker_held(call.worker) {
            let mut worker = tx.worker(db, call.worker);
            worker.is_locked = false;
            worker.last_report = Some(id);
            tx.workers.insert(call.worker, worker);
        }
    }
    start_jobs(db, tx);
}
