//! The state of a world.

use std::collections::{BTreeMap, BTreeSet};

use crate::database::{CallId, CallState, Database, RunNumber, Status};
use crate::isolate::{Abandoned, Isolate};
use crate::message::{ReportReply, Request};
use crate::net::Net;
use crate::protocol::Protocol;
use crate::size::{Broken, Size};
use crate::transaction::Cause;

/// The state of a world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) db: Database,
    pub(crate) net: Net,
    /// Sorted by number.
    pub(crate) isolates: Vec<Isolate>,
    /// Sorted.
    pub(crate) abandoned: Vec<Abandoned>,
    /// Requests in transit whose runs no longer wait for them; sorted.
    pub(crate) late: Vec<Request>,
    pub(crate) faults_left: u8,
    pub(crate) failures_left: u8,
    pub(crate) cancels_left: u8,
    pub(crate) renewals_left: u8,
    pub(crate) delays_left: u8,
    pub(crate) aborts_left: u8,
    pub(crate) give_ups_left: u8,
    pub(crate) witness: Witness,
}

/// What the rules need to remember but the protocol does not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Witness {
    /// How many calls of each job reached the target.
    pub(crate) runs: Vec<u8>,
    /// The status that each job was first settled with.
    pub(crate) settled: Vec<Option<Status>>,
    /// The current jobs that were called, while they exist.
    pub(crate) called: BTreeSet<CallId>,
    /// Whether one was called again.
    pub(crate) is_called_again: bool,
    /// Whether a call was made that its run did not have.
    pub(crate) is_called_unowned: bool,
    /// The first answer to a report, while its run may repeat it.
    pub(crate) answers: BTreeMap<CallId, ReportReply>,
    /// Whether a run got an answer that differs from the first one.
    pub(crate) has_other_answer: bool,
    /// Whether a run ended with a call in flight, or a request unanswered.
    pub(crate) has_open_call_at_end: bool,
    /// Whether a run was refused that lives.
    pub(crate) is_refused: bool,
    /// Whether a call was started beside the report of one that asked for a pause.
    pub(crate) starts_in_pause: bool,
}

impl Witness {
    /// A run calls the target.
    pub(crate) fn begin_call(&mut self, db: &Database, run: RunNumber, id: CallId) {
        self.runs[usize::from(id.job)] += 1;
        self.is_called_again |= !self.called.insert(id);
        let row = db.calls.get(&id);
        let is_its = row.is_some_and(|row| row.run == Some(run) && row.state != CallState::Sent);
        self.is_called_unowned |= !is_its || db.is_run_over(run);
    }
}

impl State {
    pub(crate) fn new(size: &Size) -> Self {
        Self {
            db: Database::new(size),
            net: Net::new(),
            isolates: Vec::new(),
            abandoned: Vec::new(),
            late: Vec::new(),
            faults_left: size.faults,
            failures_left: size.failures,
            cancels_left: size.cancels,
            renewals_left: size.renewals,
            delays_left: size.delays,
            aborts_left: size.aborts,
            give_ups_left: size.give_ups,
            witness: Witness {
                runs: vec![0; size.jobs.into()],
                settled: vec![None; size.jobs.into()],
                called: BTreeSet::new(),
                is_called_again: false,
                is_called_unowned: false,
                answers: BTreeMap::new(),
                has_other_answer: false,
                has_open_call_at_end: false,
                starts_in_pause: false,
                is_refused: false,
            },
        }
    }

    pub(crate) fn spend_fault(&mut self) -> Option<()> {
        self.faults_left = self.faults_left.checked_sub(1)?;
        Some(())
    }

    pub(crate) fn note_settled(&mut self) {
        for (job, first) in self.db.jobs.iter().zip(&mut self.witness.settled) {
            let status = job.map(|job| job.status);
            *first = first.or(status.filter(|status| status.is_settled()));
        }
    }

    /// The calls in flight: of living isolates, and of dead ones.
    pub(crate) fn connections(&self) -> impl Iterator<Item = (RunNumber, CallId)> {
        let living = self
            .isolates
            .iter()
            .flat_map(|isolate| isolate.calls().map(|id| (isolate.number, id)));
        let dead = self.abandoned.iter().map(|call| (call.run, call.id));
        living.chain(dead)
    }

    /// Whether anything but the run's row depends on the run.
    fn has_traces_of(&self, run: RunNumber) -> bool {
        let is_sender = |request: &Request| match request {
            Request::Pulse(pulse) => pulse.run == run,
            Request::Report(report) => report.run == run,
        };
        self.isolates.iter().any(|isolate| isolate.number == run)
            || self.abandoned.iter().any(|call| call.run == run)
            || self.late.iter().any(is_sender)
            || self.db.calls.values().any(|call| call.run == Some(run))
            || self.db.open.iter().any(|tx| match &tx.cause {
                Cause::Report { report, .. } => report.run == run,
                Cause::Pulse { pulse, .. } => pulse.run == run,
                Cause::Insert(_) | Cause::Tick => tx
                    .calls
                    .values()
                    .flatten()
                    .any(|call| call.run == Some(run)),
            })
    }

    pub(crate) fn knows_run(&self, run: RunNumber) -> bool {
        self.db.runs.contains_key(&run) || self.has_traces_of(run)
    }

    /// Forgets what no step can reach again and sorts what has no order, so that states differing only in
    /// those are the same.
    pub(crate) fn tidy(&mut self, protocol: &Protocol) {
        self.isolates.sort_unstable_by_key(|isolate| isolate.number);
        self.abandoned.sort_unstable();
        self.db.open.sort_unstable();
        let Self {
            db,
            net,
            isolates,
            late,
            witness,
            ..
        } = self;
        // A request without an effect.
        late.retain(|request| match request {
            Request::Pulse(pulse) => match db.runs.get(&pulse.run) {
                None => pulse.number == 1,
                _ if protocol.broken.is_some() => true,
                Some(row) => pulse.number > row.number,
            },
            Request::Report(report) => {
                let has_row = db.knows(report.id) && !db.is_run_over(report.run);
                has_row || protocol.is(Broken::NoFence)
            }
        });
        late.sort_unstable();
        for isolate in &mut *isolates {
            let is_sent = |id: &CallId| {
                let row = db.calls.get(id);
                row.is_some_and(|row| row.state == CallState::Sent)
            };
            isolate.brought.retain(is_sent);
            isolate.brought.sort_unstable();
        }
        let is_unanswered = |id: CallId| {
            isolates
                .iter()
                .flat_map(Isolate::requests)
                .any(|(request, _)| matches!(request, Request::Report(report) if report.id == id))
        };
        witness.answers.retain(|id, _| is_unanswered(*id));
        witness.called.retain(|id| db.knows(*id));
        for call in db.calls.values_mut() {
            call.previous = call.previous.filter(|id| is_unanswered(*id));
            // Only a repetition of the run's last pulse is told again what it claimed.
            let number = call
                .run
                .and_then(|run| db.runs.get(&run))
                .map(|row| row.number);
            call.claimed_in = call.claimed_in.filter(|claimed| number == Some(*claimed));
        }
        if self.faults_left == 0 {
            net.retain(|_, is_delivered| !*is_delivered);
        }
        // The acknowledgement that it leads to would change nothing.
        net.retain(|id, _| db.knows(*id));
        let runs: Vec<_> = self.db.runs.keys().copied().collect();
        for run in runs {
            if !self.has_traces_of(run) {
                self.db.runs.remove(&run);
            }
        }
    }
}
