//! A transaction: until it commits, only it sees its writes, and the rows that it
//! wrote or locked stay locked.
//!
//! Read committed: each step sees what is committed by then, overlaid with the
//! transaction's own writes. A transaction that wakes up a queue takes three steps,
//! so that any other one can come between them:
//!
//! 1. the work before the queue's lock,
//! 2. the work with the lock, or without it if it is not to be had soon,
//! 3. the commit.

use std::collections::{BTreeMap, BTreeSet};

use supaqueue_core::run::RequestId;

use crate::database::{CallId, CurrentJob, Database, Job, RunNumber, RunRow, Worker};
use crate::message::{Pulse, Reply, Report};

/// What started a transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cause {
    Insert(u8),
    Report {
        report: Report,
        /// The row whose call ended.
        call: CurrentJob,
        listener: Option<Listener>,
    },
    Pulse {
        pulse: Pulse,
        /// Whether its number is a new one.
        is_new: bool,
        listener: Option<Listener>,
    },
    Tick,
}

/// The request that gets the answer, if its run still waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Listener {
    pub(crate) run: RunNumber,
    pub(crate) request: RequestId,
}

/// The lock of a queue (`supaqueue.lock_queues`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lock {
    Shared,
    Exclusive,
}

/// The progress of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    AsksFor(Lock),
    /// Only the commit is left.
    Holds(Option<Lock>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Transaction {
    pub(crate) cause: Cause,
    pub(crate) step: Step,
    /// Rows as they will be, unchanged if they are only locked.
    pub(crate) jobs: BTreeMap<u8, Job>,
    pub(crate) workers: BTreeMap<u8, Worker>,
    /// None if deleted.
    pub(crate) calls: BTreeMap<CallId, Option<CurrentJob>>,
    pub(crate) run: Option<(RunNumber, RunRow)>,
    /// The workers whose last call it ended.
    pub(crate) idle: BTreeSet<u8>,
    /// Whether it leaves a row of `unfinished` for the tick.
    pub(crate) leaves_note: bool,
    /// How many such rows it deletes.
    pub(crate) notes_done: u8,
    /// The calls that pg_net will send.
    pub(crate) sent: Vec<CallId>,
    /// The next job in the answer to a report, and the one behind it.
    pub(crate) next: Option<CallId>,
    pub(crate) held: Option<CallId>,
    /// The answer, once it is known.
    pub(crate) reply: Option<Reply>,
}

impl Transaction {
    pub(crate) fn new(cause: Cause) -> Self {
        Self {
            cause,
            step: Step::Holds(None),
            jobs: BTreeMap::new(),
            workers: BTreeMap::new(),
            calls: BTreeMap::new(),
            run: None,
            idle: BTreeSet::new(),
            leaves_note: false,
            notes_done: 0,
            sent: Vec::new(),
            next: None,
            held: None,
            reply: None,
        }
    }

    pub(crate) fn job(&self, db: &Database, job: u8) -> Option<Job> {
        self.jobs.get(&job).or_else(|| db.job(job)).copied()
    }

    pub(crate) fn worker(&self, db: &Database, worker: u8) -> Worker {
        let own = self.workers.get(&worker);
        *own.unwrap_or(&db.workers[usize::from(worker)])
    }

    pub(crate) fn call(&self, db: &Database, id: CallId) -> Option<CurrentJob> {
        let own = self.calls.get(&id);
        own.copied().unwrap_or_else(|| db.calls.get(&id).copied())
    }

    /// All calls, as it sees them.
    pub(crate) fn calls(&self, db: &Database) -> BTreeMap<CallId, CurrentJob> {
        let mut calls = db.calls.clone();
        for (id, row) in &self.calls {
            match row {
                Some(row) => calls.insert(*id, *row),
                None => calls.remove(id),
            };
        }
        calls
    }

    pub(crate) fn listener(&self) -> Option<Listener> {
        match self.cause {
            Cause::Report { listener, .. } | Cause::Pulse { listener, .. } => listener,
            Cause::Insert(_) | Cause::Tick => None,
        }
    }

    pub(crate) fn lose_listener(&mut self) {
        if let Cause::Report { listener, .. } | Cause::Pulse { listener, .. } = &mut self.cause {
            *listener = None;
        }
    }

    /// Whether the lock that it asks for is available.
    pub(crate) fn can_have_lock(&self, db: &Database) -> bool {
        let Step::AsksFor(lock) = self.step else {
            return false;
        };
        !db.open.iter().any(|other| match other.step {
            Step::Holds(Some(Lock::Exclusive)) => true,
            Step::Holds(Some(Lock::Shared)) => lock == Lock::Exclusive,
            Step::Holds(None) | Step::AsksFor(_) => false,
        })
    }

    /// Makes all writes visible at once.
    pub(crate) fn commit(&self, db: &mut Database) {
        for (job, row) in &self.jobs {
            db.jobs[usize::from(*job)] = Some(*row);
        }
        for (worker, row) in &self.workers {
            db.workers[usize::from(*worker)] = *row;
        }
        for (id, row) in &self.calls {
            match row {
                Some(row) => db.calls.insert(*id, *row),
                None => db.calls.remove(id),
            };
        }
        if let Some((run, row)) = self.run {
            db.runs.insert(run, row);
        }
        db.notes = db.notes - self.notes_done + u8::from(self.leaves_note);
    }
}
