//! What is committed: the tables `worker`, `job` with `ready_job` and `held_job`, `current_job`, `run` and
//! `unfinished`, for one queue.
//!
//! Rows hold only what the protocol depends on. Of a time, that is what it decides:
//! whether a job is due, whether a lease has ended.

use std::collections::BTreeMap;

use crate::message::Request;
use crate::settle::Outcome;
use crate::size::Size;
use crate::transaction::Transaction;

/// The id of a current job: the job, and how many current jobs it had before. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId {
    pub(crate) job: u8,
    pub(crate) number: u8,
}

/// The id of a run. It is reused once nothing knows the run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunNumber(pub(crate) u8);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Status {
    Pending,
    InProgress,
    Successful,
    Failed,
    Cancelled,
}

impl Status {
    pub(crate) fn is_settled(self) -> bool {
        matches!(
            self,
            Status::Successful | Status::Failed | Status::Cancelled
        )
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Job {
    pub(crate) status: Status,
    /// `run_at` is in the past.
    pub(crate) is_due: bool,
    /// It is in `ready_job`, not in `held_job`.
    pub(crate) is_admitted: bool,
    /// Its call has ended like this, and it could not be settled: a row of `unfinished`.
    pub(crate) unsettled: Option<Outcome>,
    pub(crate) attempts: u8,
    /// Entries of `errors`, for failed calls, lost attempts and attempts given back.
    pub(crate) failed: u8,
    pub(crate) lost: u8,
    pub(crate) given_back: u8,
    /// How often it was held ready when its run was lost.
    pub(crate) unstarted: u8,
    /// How many current jobs it had, which makes their ids unique.
    pub(crate) calls: u8,
}

impl Job {
    pub(crate) const NEW: Job = Job {
        status: Status::Pending,
        is_due: true,
        is_admitted: true,
        unsettled: None,
        attempts: 0,
        failed: 0,
        lost: 0,
        given_back: 0,
        unstarted: 0,
        calls: 0,
    };

    pub(crate) fn is_ready(&self) -> bool {
        self.status == Status::Pending && self.is_admitted
    }

    /// Whether whoever looks for the next job admits it.
    pub(crate) fn is_admissible(&self) -> bool {
        self.status == Status::Pending && self.is_due && !self.is_admitted
    }

    /// Whether a call of it that was sent or started goes on.
    pub(crate) fn is_wanted(&self) -> bool {
        self.status == Status::InProgress && self.unsettled.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Worker {
    pub(crate) is_locked: bool,
}

/// `current_job.state`
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CallState {
    Sent,
    /// Prefetched: held ready by its run.
    Held,
    Started,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CurrentJob {
    pub(crate) worker: u8,
    pub(crate) state: CallState,
    pub(crate) dispatches: u8,
    pub(crate) run: Option<RunNumber>,
    /// The number of the pulse that acknowledged or claimed it.
    pub(crate) claimed_in: Option<u32>,
    /// The report that handed it out.
    pub(crate) previous: Option<CallId>,
    /// Of a sent call: `lease_until` is in the past.
    pub(crate) is_lease_over: bool,
}

impl CurrentJob {
    /// A new call of a worker.
    pub(crate) fn sent(worker: u8) -> Self {
        Self {
            worker,
            state: CallState::Sent,
            dispatches: 1,
            run: None,
            claimed_in: None,
            previous: None,
            is_lease_over: false,
        }
    }

    pub(crate) fn is_started_in(&self, run: RunNumber) -> bool {
        self.state == CallState::Started && self.run == Some(run)
    }

    pub(crate) fn is_held_in(&self, run: RunNumber) -> bool {
        self.state == CallState::Held && self.run == Some(run)
    }
}

/// A row of `run`. Its lease is over as soon as `is_over` is set: nothing else looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct RunRow {
    pub(crate) number: u32,
    pub(crate) is_over: bool,
}

/// Committed rows and open transactions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    /// By number; None if not inserted yet.
    pub(crate) jobs: Vec<Option<Job>>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) calls: BTreeMap<CallId, CurrentJob>,
    pub(crate) runs: BTreeMap<RunNumber, RunRow>,
    /// Sorted, so that states differing only in this order are the same.
    pub(crate) open: Vec<Transaction>,
    /// Rows of `unfinished` that tell the tick to look.
    pub(crate) notes: u8,
    /// How often it may still tell a run to ask for work again.
    pub(crate) waits_left: u8,
}

impl Database {
    pub(crate) fn new(size: &Size) -> Self {
        Self {
            jobs: vec![None; size.jobs.into()],
            workers: vec![Worker::default(); size.workers.into()],
            calls: BTreeMap::new(),
            runs: BTreeMap::new(),
            open: Vec::new(),
            notes: 0,
            waits_left: size.waits,
        }
    }

    pub(crate) fn job(&self, job: u8) -> Option<&Job> {
        self.jobs[usize::from(job)].as_ref()
    }

    pub(crate) fn inserted(&self) -> impl Iterator<Item = &Job> {
        self.jobs.iter().flatten()
    }

    /// Whether an open transaction has locked the row; others wait for it, or skip it.
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

    pub(crate) fn is_run_held(&self, run: RunNumber) -> bool {
        let holds = |open: &Transaction| open.run.is_some_and(|(held, _)| held == run);
        self.open.iter().any(holds)
    }

    /// Whether the run is over, or missing.
    pub(crate) fn is_run_over(&self, run: RunNumber) -> bool {
        self.runs.get(&run).is_none_or(|row| row.is_over)
    }

    /// Whether a request is refused because its run is over.
    pub(crate) fn is_over_for(&self, request: &Request) -> bool {
        let run = match request {
            Request::Pulse(pulse) => pulse.run,
            Request::Report(report) => report.run,
        };
        self.runs.get(&run).is_some_and(|row| row.is_over)
    }

    /// The calls that were handed out with this report, while they exist: started and held.
    pub(crate) fn handed_out_by(
        &self,
        report: CallId,
        run: RunNumber,
    ) -> (Option<CallId>, Option<CallId>) {
        let find = |state| {
            let mut calls = self.calls.iter();
            calls.find_map(|(id, call)| {
                let is_its = call.previous == Some(report) && call.run == Some(run);
                (is_its && call.state == state).then_some(*id)
            })
        };
        (find(CallState::Started), find(CallState::Held))
    }

    /// Whether anything still depends on the id. If nothing does, nothing ever will.
    pub(crate) fn knows(&self, id: CallId) -> bool {
        self.calls.contains_key(&id) || self.is_call_held(id)
    }

    /// Whether there is a ready job and a free worker, neither of them locked.
    pub(crate) fn has_startable(&self) -> bool {
        let mut jobs = (0..).zip(&self.jobs);
        let mut workers = (0..).zip(&self.workers);
        let is_ready = |(job, row): (u8, &Option<Job>)| {
            row.is_some_and(|row| row.is_ready() || row.is_admissible()) && !self.is_job_held(job)
        };
        let is_free = |(worker, row): (u8, &Worker)| !row.is_locked && !self.is_worker_held(worker);
        jobs.any(is_ready) && workers.any(is_free)
    }
}
