//! The transactions that wake up: an insert, a report, the tick. What they do
//! before and with the queue's lock.

use crate::database::{Database, Job};
use crate::settle::{Outcome, free_bereft_workers, is_reclaimable, reclaim, settle_job};
use crate::size::Broken;
use crate::start::{hand_out_next_job, hand_out_sent_call, start_jobs};
use crate::transaction::{Cause, Lock, Step, Transaction};

/// An insert into `supaqueue.job`, at its end: the deferred trigger of `33_wake_up.sql` and
/// `supaqueue.dispatch`.
pub(crate) fn begin_insert(db: &mut Database, job: u8, broken: Option<Broken>) {
    let mut tx = Transaction::new(Cause::Insert(job));
    tx.jobs.insert(job, Job::NEW);
    dispatch(db, tx, broken);
}

/// `supaqueue.tick`, which is never run twice at once, where it has something to do: what it finds only with
/// the lock, a tick that begins then finds as well.
pub(crate) fn begin_tick(db: &mut Database, broken: Option<Broken>) -> Option<()> {
    let is_running = db.open.iter().any(|open| open.cause == Cause::Tick);
    let has_work = db.has_startable() || db.calls.keys().any(|id| is_reclaimable(db, *id));
    if is_running || !has_work {
        return None;
    }
    dispatch(db, Transaction::new(Cause::Tick), broken);
    Some(())
}

/// `supaqueue.dispatch`, up to its lock. Who takes calls back makes workers usable.
fn dispatch(db: &mut Database, mut tx: Transaction, broken: Option<Broken>) {
    reclaim(db, &mut tx, broken);
    tx.step = Step::AsksFor(if tx.bereft.is_empty() {
        Lock::Shared
    } else {
        Lock::Exclusive
    });
    db.open.push(tx);
}

/// `supaqueue.report` of a current job that is there and held by nobody, up to the lock that
/// `supaqueue.free_worker` takes. One that finds a next job for its worker at once needs no lock.
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

/// What is done with the queue's lock.
pub(crate) fn with_lock(db: &Database, tx: &mut Transaction, lock: Lock) {
    tx.step = Step::Holds(Some(lock));
    free_bereft_workers(db, tx);
    if let Cause::Report { id, call, .. } = tx.cause {
        // A call that was sent has its own worker.
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
