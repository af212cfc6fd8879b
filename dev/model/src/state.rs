//! The state of a world.

use std::collections::BTreeMap;

use crate::database::{CallId, Database, Status};
use crate::lane::{Lane, Late};
use crate::net::Net;
use crate::protocol::Protocol;
use crate::size::{Broken, Size};

/// The state of a world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) db: Database,
    pub(crate) net: Net,
    /// Sorted.
    pub(crate) lanes: Vec<Lane>,
    /// Requests in transit whose lanes no longer wait for them; sorted.
    pub(crate) late: Vec<Late>,
    pub(crate) faults_left: u8,
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
    /// The first answer to a report, while its lane may repeat it.
    pub(crate) answers: BTreeMap<CallId, Option<CallId>>,
    /// Whether a lane got an answer that differs from the first one.
    pub(crate) has_other_answer: bool,
}

impl State {
    pub(crate) fn new(size: &Size) -> Self {
        Self {
            db: Database::new(size),
            net: Net::new(),
            lanes: Vec::new(),
            late: Vec::new(),
            faults_left: size.faults,
            aborts_left: size.aborts,
            give_ups_left: size.give_ups,
            witness: Witness {
                runs: vec![0; size.jobs.into()],
                settled: vec![None; size.jobs.into()],
                answers: BTreeMap::new(),
                has_other_answer: false,
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

    /// Forgets what no step can reach again and sorts what has no order, so that states differing only in
    /// those are the same.
    pub(crate) fn tidy(&mut self, protocol: &Protocol) {
        let Self {
            db,
            net,
            lanes,
            late,
            witness,
            ..
        } = self;
        lanes.sort_unstable();
        db.open.sort_unstable();
        if !protocol.is(Broken::NoFence) {
            late.retain(|late| db.knows(late.id()));
        }
        late.sort_unstable();
        let is_anywhere =
            |id| lanes.iter().any(|lane| lane.at == id) || late.iter().any(|late| late.id() == id);
        witness.answers.retain(|id, _| is_anywhere(*id));
        for worker in &mut db.workers {
            worker.last_report = worker.last_report.filter(|id| is_anywhere(*id));
        }
        for call in db.calls.values_mut() {
            call.previous = call.previous.filter(|id| is_anywhere(*id));
        }
        let has_lane = |id| lanes.iter().any(|lane| lane.id.dispatch == id);
        if self.faults_left == 0 {
            net.retain(|id, dispatch| dispatch.delivered == 0 || has_lane(*id));
        }
        // The lanes that it could still start would be refused, and do nothing else.
        if !protocol.is(Broken::NoAcknowledgement) {
            net.retain(|id, _| db.knows(*id) || has_lane(*id));
        }
    }
}
