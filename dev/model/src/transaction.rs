//! A transaction: what it wrote is seen by itself alone until it commits, and the
//! rows that it wrote or locked are held until then.
//!
//! Read committed: each step looks at what is committed by then, under what the
//! transaction itself wrote. Everything that wakes up takes three steps, so that
//! any other transaction can come between them:
//!
//! 1. what comes before the queue's lock is asked for,
//! 2. what is done with the lock,
//! 3. the commit.

use std::collections::BTreeMap;

use crate::database::{CallId, CurrentJob, Database, Job, Worker};
use crate::function::LaneId;

/// Why a transaction was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cause {
    Insert(u8),
    Report {
        id: CallId,
        call: CurrentJob,
        wants_next: bool,
        /// The lane that hears the answer; none: nobody does.
        listener: Option<LaneId>,
    },
    Tick,
}

/// The lock of a queue (`sql/schema/20_lock_queues.sql`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Lock {
    Shared,
    Exclusive,
}

/// How far a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    AsksFor(Lock),
    /// Nothing is left but the commit.
    Holds(Option<Lock>),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Transaction {
    pub(crate) cause: Cause,
    pub(crate) step: Step,
    /// Rows as they will be; a row that was locked only is among them unchanged.
    pub(crate) jobs: BTreeMap<u8, Job>,
    pub(crate) workers: BTreeMap<u8, Worker>,
    /// None: deleted.
    pub(crate) calls: BTreeMap<CallId, Option<CurrentJob>>,
    /// Workers whose calls were taken back.
    pub(crate) bereft: Vec<u8>,
    /// What pg_net will be given.
    pub(crate) sent: Vec<CallId>,
    /// The next job that the answer to a report will name.
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
            bereft: Vec::new(),
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

    pub(crate) fn is_busy(&self, db: &Database, worker: u8) -> bool {
        let committed = db
            .calls
            .iter()
            .filter(|(id, _)| !self.calls.contains_key(id));
        let own = self.calls.values().flatten();
        committed
            .map(|(_, call)| call)
            .chain(own)
            .any(|call| call.worker == worker)
    }

    /// Whether the lock that it asks for can be had.
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

    /// Makes all that was written visible at once.
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
    }
}
