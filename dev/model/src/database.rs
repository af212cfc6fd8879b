//! What is committed: the tables of `sql/schema/11_worker.sql`, `12_job.sql` and
//! `13_current_job.sql`, for one queue.
//!
//! Rows hold what the protocol depends on. A time is only what it decides:
//! whether a job is due, whether a lease is over.

use std::collections::BTreeMap;

use crate::function::LaneId;
use crate::size::Size;
use crate::transaction::Transaction;

/// The id of a current job: the job, and how many current jobs it had before. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    pub(crate) job: u8,
    pub(crate) number: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    Pending,
    InProgress,
    Successful,
    Failed,
}

impl Status {
    pub(crate) fn is_settled(self) -> bool {
        matches!(self, Status::Successful | Status::Failed)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Job {
    pub(crate) status: Status,
    /// `run_at` is past.
    pub(crate) is_due: bool,
    pub(crate) attempts: u8,
    /// Entries of `errors`: of failed calls, of lost attempts, of attempts given back.
    pub(crate) failed: u8,
    pub(crate) lost: u8,
    pub(crate) given_back: u8,
    /// Current jobs that it had; what makes their ids new.
    pub(crate) calls: u8,
}

impl Job {
    pub(crate) const NEW: Job = Job {
        status: Status::Pending,
        is_due: true,
        attempts: 0,
        failed: 0,
        lost: 0,
        given_back: 0,
        calls: 0,
    };

    pub(crate) fn is_ready(&self) -> bool {
        self.status == Status::Pending && self.is_due
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Worker {
    pub(crate) is_locked: bool,
    pub(crate) last_report: Option<CallId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CurrentJob {
    pub(crate) worker: u8,
    pub(crate) dispatches: u8,
    /// The lane that acknowledged it; every lane says who it is.
    pub(crate) lane: Option<LaneId>,
    pub(crate) previous: Option<CallId>,
    /// `lease_until` is past.
    pub(crate) is_lease_over: bool,
}

/// Committed rows, and the transactions that are open on them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    /// By position; none: not inserted yet.
    pub(crate) jobs: Vec<Option<Job>>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) calls: BTreeMap<CallId, CurrentJob>,
    /// Sorted, so that worlds which differ in their order only are one.
    pub(crate) open: Vec<Transaction>,
}

impl Database {
    pub(crate) fn new(size: &Size) -> Self {
        Self {
            jobs: vec![None; size.jobs.into()],
            workers: vec![Worker::default(); size.workers.into()],
            calls: BTreeMap::new(),
            open: Vec::new(),
        }
    }

    pub(crate) fn job(&self, job: u8) -> Option<&Job> {
        self.jobs[usize::from(job)].as_ref()
    }

    pub(crate) fn inserted(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().flatten()
    }

    /// Whether a transaction that is open holds the row; others wait for it, or skip it.
    pub(crate) fn is_job_held(&self, job: u8) -> bool {
        self.open.iter().any(|open| open.jobs.contains_key(&job))
    }

    pub(crate) fn is_worker_held(&self, worker: u8) -> bool {
        let holds = |open: &Transaction| open.workers.contains_key(&worker);
        self.open.iter().any(holds)
    }

    pub(crate) fn is_call_held(&self, call: CallId) -> bool {
        self.open.iter().any(|open| open.calls.contains_key(&call))
    }

    /// The current job that was handed out with a report, while it exists.
    pub(crate) fn handed_out_by(&self, report: CallId) -> Option<CallId> {
        let mut calls = self.calls.iter();
        calls.find_map(|(id, call)| (call.previous == Some(report)).then_some(*id))
    }

    /// Whether anything depends on the id still. One that nothing depends on never comes back.
    pub(crate) fn knows(&self, id: CallId) -> bool {
        self.calls.contains_key(&id) || self.handed_out_by(id).is_some() || self.is_call_held(id)
    }

    /// A ready job and a free worker that nobody holds.
    pub(crate) fn has_startable(&self) -> bool {
        let mut jobs = (0..).zip(&self.jobs);
        let mut workers = (0..).zip(&self.workers);
        let is_ready = |(job, row): (u8, &Option<Job>)| {
            row.is_some_and(|row| row.is_ready()) && !self.is_job_held(job)
        };
        let is_free = |(worker, row): (u8, &Worker)| !row.is_locked && !self.is_worker_held(worker);
        jobs.any(is_ready) && workers.any(is_free)
    }
}
