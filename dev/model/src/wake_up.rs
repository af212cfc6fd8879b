//! The transactions that wake up a queue (an insert, a report, a pulse, the tick): what they
//! do before and with the queue's lock.

use crate::database::{CallId, CallState, CurrentJob, Database, Job, RunNumber, RunRow, Status};
use crate::message::{Pulse, PulseReply, Reply, Report, ReportReply};
use crate::protocol::Protocol;
use crate::settle::{
    delete_call, free_workers, give_back, is_recoverable, lock_other_call, recover, settle_again,
    settle_job,
};
use crate::size::Broken;
use crate::start::{
    Caller, admit_jobs, claim_sent_calls, hand_out_held_job, hand_out_next_job, hand_out_sent_call,
    start_jobs,
};
use crate::transaction::{Cause, Listener, Lock, Step, Transaction};

/// The end of a transaction that inserts a job: the deferred trigger, and `supaqueue.dispatch` up to its
/// lock.
pub(crate) fn begin_insert(db: &mut Database, job: u8) {
    let mut tx = Transaction::new(Cause::Insert(job));
    tx.jobs.insert(job, Job::NEW);
    tx.step = Step::AsksFor(Lock::Shared);
    db.open.push(tx);
}

/// A user cancels a job. A call of it that is under way stays: its run hears of it with the next pulse, and
/// reports; what was not acknowledged ends with its acknowledgement or its lease.
pub(crate) fn cancel(db: &mut Database, job: u8, broken: Option<Broken>) -> Option<()> {
    let row = *db.job(job)?;
    if row.status.is_settled() || row.unsettled.is_some() || db.is_job_held(job) {
        return None;
    }
    if let Some(row) = &mut db.jobs[usize::from(job)] {
        row.status = Status::Cancelled;
        row.is_admitted = false;
    }
    if broken == Some(Broken::CancellingEndsCall)
        && let Some((id, call)) = db.calls.iter().find(|(id, _)| id.job == job)
    {
        let (id, worker) = (*id, call.worker);
        db.calls.remove(&id);
        db.workers[usize::from(worker)].is_locked = false;
    }
    Some(())
}

/// `supaqueue.tick`, if it has something to do in the queue (`queues_to_look_after`), and is not running
/// already. What it would find only with the lock is left to a tick that starts then.
pub(crate) fn begin_tick(db: &mut Database, broken: Option<Broken>) -> Option<()> {
    let is_running = db.open.iter().any(|open| open.cause == Cause::Tick);
    let has_work = db.notes > 0
        || db.has_startable()
        || db.inserted().any(|job| job.unsettled.is_some())
        || db.calls.keys().any(|id| is_recoverable(db, *id, broken));
    if is_running || !has_work {
        return None;
    }
    let mut tx = Transaction::new(Cause::Tick);
    tx.step = Step::AsksFor(Lock::Exclusive);
    db.open.push(tx);
    Some(())
}

impl Protocol {
    /// `supaqueue.report` of a call that the run has, up to the lock that `supaqueue.free_worker` takes. A
    /// report that finds a next job at once needs no lock, unless it has admitted others: then it ends with
    /// a dispatch, as an insert does.
    ///
    /// If the job cannot be settled (a trigger of a user's raises), the outcome is noted, and the worker
    /// goes on.
    ///
    /// None while another transaction has locked one of the rows.
    pub(crate) fn begin_report(
        &self,
        db: &mut Database,
        report: Report,
        listener: Option<Listener>,
    ) -> Option<()> {
        let (id, broken) = (report.id, self.broken);
        let call = *db.calls.get(&id)?;
        if db.is_job_held(id.job) {
            return None;
        }
        let mut tx = Transaction::new(Cause::Report {
            report,
            call,
            listener,
        });
        if let Some(started) = report.started {
            start_held(db, &mut tx, started, report.run)?;
        }
        if let Some(id) = report.given_back
            && let Some(row) = db.calls.get(&id)
        {
            if db.is_call_held(id) {
                return None;
            }
            if row.is_held_in(report.run) {
                give_back(db, &mut tx, id, broken)?;
            }
        }
        let mut job = tx.job(db, id.job)?;
        if report.can_settle {
            settle_job(&mut job, report.outcome);
        } else if broken != Some(Broken::OutcomeIsNotNoted) && job.status == Status::InProgress {
            job.unsettled = Some(report.outcome);
        }
        tx.jobs.insert(id.job, job);
        if broken != Some(Broken::OtherIsNotLocked) {
            lock_other_call(db, &mut tx, id, call.worker)?;
        }
        delete_call(db, &mut tx, id, call.worker);

        hand_out_next_job(db, &mut tx, broken);
        if tx.next.is_none() && tx.idle.contains(&call.worker) {
            hand_out_sent_call(db, &mut tx, broken);
        } else {
            self.prefetch(db, &mut tx);
        }
        if !tx.idle.is_empty() {
            tx.step = Step::AsksFor(Lock::Exclusive);
        } else if tx.jobs.values().any(Job::is_ready) {
            tx.step = Step::AsksFor(Lock::Shared);
        } else {
            self.reply(db, &mut tx);
        }
        db.open.push(tx);
        Some(())
    }

    /// A lane that was told to pause asks for nothing to be held.
    fn prefetch(&self, db: &Database, tx: &mut Transaction) {
        if self.size.prefetches {
            hand_out_held_job(db, tx, self.broken);
        }
    }

    /// `public.supaqueue_pulse` of a run that is not over, up to the queue's lock.
    ///
    /// None while another transaction has locked one of the rows.
    pub(crate) fn begin_pulse(
        &self,
        db: &mut Database,
        pulse: &Pulse,
        stored: RunRow,
        listener: Option<Listener>,
    ) -> Option<()> {
        let Pulse { run, number, .. } = *pulse;
        let is_new = number > stored.number || self.is(Broken::LatePulseClaims);
        let mut tx = Transaction::new(Cause::Pulse {
            pulse: pulse.clone(),
            is_new,
            listener,
        });
        let row = RunRow {
            number: number.max(stored.number),
            is_over: false,
        };
        tx.run = Some((run, row));
        if is_new {
            for id in &pulse.acknowledge {
                self.acknowledge(db, &mut tx, *id, run, number)?;
            }
            for id in &pulse.give_back {
                if db.is_call_held(*id) {
                    return None;
                }
                if tx.call(db, *id).is_some_and(|row| row.run == Some(run)) {
                    give_back(db, &mut tx, *id, self.broken)?;
                }
            }
        }
        if self.is(Broken::PulseTakesBackOmitted) {
            self.take_back_omitted(db, &mut tx, pulse)?;
        }
        if !tx.idle.is_empty() {
            tx.step = Step::AsksFor(Lock::Exclusive);
        } else if is_new && pulse.asks || tx.jobs.values().any(Job::is_ready) {
            tx.step = Step::AsksFor(Lock::Shared);
        } else {
            self.reply(db, &mut tx);
        }
        db.open.push(tx);
        Some(())
    }

    /// Takes a call that is still `sent`, or ends it if its job was cancelled meanwhile. Skips what is locked.
    fn acknowledge(
        &self,
        db: &Database,
        tx: &mut Transaction,
        id: CallId,
        run: RunNumber,
        number: u32,
    ) -> Option<()> {
        let Some(mut call) = tx.call(db, id).filter(|_| !db.is_call_held(id)) else {
            return Some(());
        };
        let is_sent = call.state == CallState::Sent;
        let is_wanted = tx.job(db, id.job)?.is_wanted();
        if !is_wanted && (is_sent || self.is(Broken::AcknowledgementEndsCancelled)) {
            if db.is_job_held(id.job) {
                return Some(());
            }
            delete_call(db, tx, id, call.worker);
            return Some(());
        }
        if is_sent || self.is(Broken::AcknowledgementTakesStarted) {
            call.state = CallState::Started;
            call.run = Some(run);
            call.claimed_in = Some(number);
            call.is_lease_over = false;
            tx.calls.insert(id, Some(call));
        }
        Some(())
    }

    fn take_back_omitted(&self, db: &Database, tx: &mut Transaction, pulse: &Pulse) -> Option<()> {
        let of_run = db
            .calls
            .iter()
            .filter(|(_, row)| row.run == Some(pulse.run));
        for (id, row) in of_run.filter(|(id, _)| !pulse.calls.contains(id)) {
            if db.is_call_held(*id) || db.is_job_held(id.job) {
                return None;
            }
            let mut job = tx.job(db, id.job)?;
            settle_job(&mut job, crate::settle::Outcome::Lost);
            tx.jobs.insert(id.job, job);
            delete_call(db, tx, *id, row.worker);
        }
        Some(())
    }

    /// The work with the queue's lock.
    pub(crate) fn with_lock(&self, db: &mut Database, tx: &mut Transaction, lock: Lock) {
        tx.step = Step::Holds(Some(lock));
        match &tx.cause {
            Cause::Insert(_) => {}
            Cause::Report { call, .. } => {
                // A call that was already sent has its own worker.
                let worker = call.worker;
                if tx.next.is_none() && tx.idle.contains(&worker) {
                    hand_out_next_job(db, tx, self.broken);
                }
                free_workers(db, tx);
            }
            Cause::Pulse { pulse, is_new, .. } => {
                let (run, number) = (pulse.run, pulse.number);
                let asks = pulse.asks && *is_new;
                free_workers(db, tx);
                if asks {
                    claim_sent_calls(db, tx, run, number);
                    start_jobs(db, tx, Caller::Claimed(run, number), self.broken);
                }
            }
            Cause::Tick => {
                recover(db, tx, self.broken);
                settle_again(db, tx);
                admit_jobs(db, tx);
                tx.notes_done = db.notes;
            }
        }
        start_jobs(db, tx, Caller::Anybody, self.broken);
        self.reply(db, tx);
    }

    /// What is done when the lock is not to be had soon: the rest is left to the tick.
    pub(crate) fn without_lock(&self, db: &mut Database, tx: &mut Transaction) {
        tx.step = Step::Holds(None);
        tx.leaves_note = !self.is(Broken::GivesUpSilently);
        free_workers(db, tx);
        self.reply(db, tx);
    }

    /// Determines the answer, as of now.
    fn reply(&self, db: &mut Database, tx: &mut Transaction) {
        let calls = tx.calls(db);
        // No worker is free: their reports take the next jobs.
        let has_free_worker = (0..db.workers.len() as u8).any(|w| !tx.worker(db, w).is_locked);
        tx.reply = match &tx.cause {
            Cause::Insert(_) | Cause::Tick => return,
            Cause::Report { report, .. } => Some(Reply::Report(ReportReply {
                next: tx.next,
                held: tx.held,
                waits: tx.next.is_none()
                    && report.wants_next
                    && has_free_worker
                    && take_wait(&mut db.waits_left),
            })),
            Cause::Pulse { pulse, is_new, .. } => {
                let run = pulse.run;
                let is_told = |id: CallId| match calls.get(&id) {
                    Some(row) if self.is(Broken::PulseRetells) => {
                        row.is_started_in(run) && !pulse.calls.contains(&id)
                    }
                    Some(row) => {
                        row.is_started_in(run)
                            && row.claimed_in == Some(pulse.number)
                            && (*is_new || !self.is(Broken::RepetitionForgetsClaims))
                    }
                    None => false,
                };
                let is_unwanted =
                    |id: CallId| tx.job(db, id.job).is_some_and(|job| !job.is_wanted());
                let is_gone = |id: &&CallId| calls.get(id).is_none_or(|row| row.run != Some(run));
                let told = calls.keys().copied().filter(|id| is_told(*id));
                let (unwanted, started): (Vec<_>, Vec<_>) = told.partition(|id| is_unwanted(*id));
                // Not those that a report hands out, of which the run may not know yet.
                let is_named =
                    |id: &&CallId| pulse.calls.contains(id) || self.is(Broken::PulseTellsUnnamed);
                let named = calls.keys().filter(|id| !is_gone(id)).filter(is_named);
                let mut cancelled: Vec<_> = named.copied().filter(|id| is_unwanted(*id)).collect();
                cancelled.extend(unwanted);
                Some(Reply::Pulse(PulseReply {
                    is_renewed: true,
                    cancelled,
                    gone: pulse.calls.iter().filter(is_gone).copied().collect(),
                    waits: pulse.asks
                        && started.is_empty()
                        && has_free_worker
                        && take_wait(&mut db.waits_left),
                    started,
                }))
            }
        };
    }
}

/// Marks a held call as started. None while another transaction has locked it.
fn start_held(db: &Database, tx: &mut Transaction, id: CallId, run: RunNumber) -> Option<()> {
    if db.is_call_held(id) {
        return None;
    }
    if let Some(row) = db.calls.get(&id).filter(|row| row.is_held_in(run)) {
        let state = CallState::Started;
        tx.calls.insert(id, Some(CurrentJob { state, ..*row }));
    }
    Some(())
}

fn take_wait(left: &mut u8) -> bool {
    let is_left = *left > 0;
    *left = left.saturating_sub(1);
    is_left
}
