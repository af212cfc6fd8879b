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

use std::collections::BTreeMap;

use crate::database::{CallId, CurrentJob, Database, Job, Worker};
use crate::lane::LaneId;

/// What started a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cause {
    Insert(u8),
    Report {
        id: CallId,
        call: CurrentJob,
        wants_next: bool,
        /// The lane that gets the answer, if any.
        listener: Option<LaneId>,
    },
    Tick,
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
    /// Whether it leaves a row of `unfinished` for the tick.
    pub(crate) leaves_note: bool,
    /// How many such rows it deletes.
    pub(crate) notes_done: u8,
    /// The calls that pg_net will send.
    pub(crate) sent: Vec<CallId>,
    /// The next job in the answer to a report.
    pub(crate) next: Option<CallId>,
}

impl Transaction {
    pub(crate) fn new(cause: Cause) -> Self {
        Self {
            cause,
            step: Step::Holds(None),
            jobs: BTreeMap::new(),
            workers: BTreeMap::new(),
            calls: BTreeMap::new(),
            leaves_note: false,
            notes_done: 0,
            sent: Vec::new(),
            next: None,
        }
    }

    pub(crate) fn job(&self, db: &Database, job: u8) -> Option<Job> {
        self.jobs.get(&job).or_else(|| db.job(job)).copied()
    }

    pub(crate) fn worker(&self, db: &Database, worker: u8) -> Worker {
        let own = self.workers.get(&worker);
        *own.unwrap_or(&db.workers[usize::from(worker)])
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
        db.notes = db.notes - self.notes_done + u8::from(self.leaves_note);
    }
}
