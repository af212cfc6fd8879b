//! The steps of the model: what each party does on its own, and what may go wrong.

use crate::database::CallId;
use crate::lane::{LaneId, Phase};
use crate::protocol::Protocol;
use crate::settle::Outcome;
use crate::state::State;
use crate::transaction::Step;

/// A step of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A user inserts a job; the transaction is about to commit (`supaqueue.wake_up`).
    Insert(u8),
    /// The tick starts (`supaqueue.tick`).
    Tick,
    /// An open transaction acquires the queue's lock, and does the work that needs it.
    TakeLock(usize),
    /// An open transaction does not get the queue's lock in time, and goes on without it.
    GiveUpLock(usize),
    /// An open transaction commits.
    Commit(usize),
    /// An open transaction is rolled back.
    RollBack(usize),
    /// The lease of a current job ends.
    LeaseEnds(CallId),
    /// The backoff before a retry is over.
    BecomesDue(u8),
    /// pg_net delivers a dispatch, for the first time or again: a lane starts.
    Deliver(CallId),
    /// pg_net loses a dispatch.
    Lose(CallId),
    /// A lane acknowledges its current job and gets the answer (`supaqueue.acknowledge`, `Lane::acknowledged`).
    Acknowledge(LaneId),
    /// The call of a lane ends (`Lane::after_call`).
    EndCall(LaneId, Outcome),
    /// The report of a lane arrives, and asks for a next job or not (`supaqueue.report`).
    Report(LaneId, bool),
    /// The same, but the job cannot be settled now (`supaqueue.settle_or_note`).
    ReportUnsettled(LaneId, bool),
    /// A lane gets no answer in time and will repeat its request, which is still in transit (`Lane::retry`).
    GiveUpWaiting(LaneId, bool),
    /// A lane dies while its request is in transit.
    DieInRequest(LaneId, bool),
    /// A lane dies while the target or the database is working for it.
    Die(LaneId),
    /// A request arrives whose sender no longer waits for it.
    Arrive(usize),
}

impl Protocol {
    /// What happens sooner or later, no matter what happens in the meantime.
    pub(crate) fn progress(&self, s: &State, actions: &mut Vec<Action>) {
        let is_new = |job: &u8| s.db.job(*job).is_none() && !s.db.is_job_held(*job);
        // Jobs are alike, so they are inserted in order.
        actions.extend((0..self.size.jobs).find(is_new).map(Action::Insert));
        let waits = |job: &u8| s.db.job(*job).is_some_and(|row| !row.is_due);
        actions.extend((0..self.size.jobs).filter(waits).map(Action::BecomesDue));
        if self.size.has_tick {
            actions.push(Action::Tick);
        }
        for (index, tx) in s.db.open.iter().enumerate() {
            actions.push(match tx.step {
                Step::AsksFor(_) => Action::TakeLock(index),
                Step::Holds(_) => Action::Commit(index),
            });
        }
        let calls = s.db.calls.keys();
        actions.extend(calls.map(|id| Action::LeaseEnds(*id)));
        let undelivered = s.net.iter().filter(|(_, sent)| sent.delivered == 0);
        actions.extend(undelivered.map(|(id, _)| Action::Deliver(*id)));
        for lane in &s.lanes {
            match lane.phase {
                Phase::Acknowledging => actions.push(Action::Acknowledge(lane.id)),
                Phase::Calling(_) => {
                    actions.push(Action::EndCall(lane.id, Outcome::Successful));
                    actions.push(Action::EndCall(lane.id, Outcome::Failed));
                }
                Phase::Abandoned(_) => actions.push(Action::EndCall(lane.id, Outcome::Lost)),
                Phase::Reporting(_) => {
                    actions.push(Action::Report(lane.id, false));
                    actions.push(Action::Report(lane.id, true));
                }
                Phase::Awaiting(_) => {}
            }
        }
    }

    /// What may happen but need not.
    pub(crate) fn faults(&self, s: &State, actions: &mut Vec<Action>) {
        actions.extend((0..s.late.len()).map(Action::Arrive));
        if s.aborts_left > 0 {
            actions.extend((0..s.db.open.len()).map(Action::RollBack));
        }
        if s.give_ups_left > 0 {
            actions.extend((0..s.db.open.len()).map(Action::GiveUpLock));
        }
        if s.faults_left == 0 {
            return;
        }
        for (id, sent) in &s.net {
            actions.push(if sent.delivered == 0 {
                Action::Lose(*id)
            } else {
                Action::Deliver(*id)
            });
        }
        for lane in &s.lanes {
            match lane.phase {
                Phase::Acknowledging | Phase::Reporting(_) => {
                    for wants_next in [false, true] {
                        actions.push(Action::ReportUnsettled(lane.id, wants_next));
                        actions.push(Action::GiveUpWaiting(lane.id, wants_next));
                        actions.push(Action::DieInRequest(lane.id, wants_next));
                    }
                }
                Phase::Calling(_) => {
                    actions.push(Action::EndCall(lane.id, Outcome::NotMade));
                    actions.push(Action::Die(lane.id));
                }
                Phase::Awaiting(_) => actions.push(Action::Die(lane.id)),
                Phase::Abandoned(_) => {}
            }
        }
    }
}
