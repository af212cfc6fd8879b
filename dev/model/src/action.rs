//! The steps of the model: what each party does on its own, and what may go wrong.

use supaqueue_core::run::RequestId;

use crate::database::{CallId, CallState, CurrentJob, RunNumber};
use crate::isolate::{Transit, Unanswered};
use crate::message::Request;
use crate::protocol::Protocol;
use crate::settle::Outcome;
use crate::state::State;
use crate::transaction::Step;

/// A step of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A user inserts a job; the transaction is about to commit (`supaqueue.wake_up`).
    Insert(u8),
    /// A user cancels a job.
    Cancel(u8),
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
    /// The lease of a dispatch ends.
    LeaseEnds(CallId),
    /// The lease of a run ends, and the tick notices it.
    RunLeaseEnds(RunNumber),
    /// The backoff before a retry is over.
    BecomesDue(u8),
    /// pg_net delivers a dispatch, for the first time or again: to a run, or to a new isolate.
    Deliver(CallId, Option<RunNumber>),
    /// pg_net loses a dispatch.
    Lose(CallId),
    /// A request of a run arrives.
    Arrive(RunNumber, RequestId),
    /// The same, but the job cannot be settled now (`supaqueue.settle_or_note`).
    ArriveUnsettled(RunNumber, RequestId),
    /// The answer to a request reaches its run.
    Hear(RunNumber, RequestId),
    /// A run gets no answer in time, and repeats its request.
    GiveUpWaiting(RunNumber, RequestId),
    /// The same, but the request arrives, and only the answer is lost.
    LoseAnswer(RunNumber, RequestId),
    /// A request arrives whose sender no longer waits for it.
    ArriveLate(usize),
    /// The call of a target ends.
    EndCall(RunNumber, RequestId, Outcome),
    /// The time comes for which a run waits.
    Wake(RunNumber),
    /// A call has been held ready for too long.
    HoldTooLong(RunNumber),
    /// An isolate dies.
    Die(RunNumber),
    /// An isolate is told that it is about to end.
    BeginToEnd(RunNumber),
    /// No pulse of a run was answered until its deadline.
    PassDeadline(RunNumber),
    /// The connection of a call closes whose isolate is dead.
    Close(usize),
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
        let sent =
            s.db.calls
                .iter()
                .filter(|(_, call)| call.state == CallState::Sent);
        actions.extend(sent.map(|(id, _)| Action::LeaseEnds(*id)));
        actions.extend(s.db.runs.keys().map(|run| Action::RunLeaseEnds(*run)));
        let undelivered = s.net.iter().filter(|(_, is_delivered)| !**is_delivered);
        undelivered.for_each(|(id, _)| self.deliveries(s, *id, actions));
        actions.extend((0..s.abandoned.len()).map(Action::Close));
        for isolate in &s.isolates {
            let run = isolate.number;
            if isolate.wakes().is_some_and(|(_, is_renewal)| !is_renewal) {
                actions.push(Action::Wake(run));
            }
            for (id, unanswered) in &isolate.unanswered {
                match unanswered {
                    Unanswered::Request(_, Transit::Sent) => actions.push(Action::Arrive(run, *id)),
                    Unanswered::Request(_, Transit::Arrived) => {}
                    Unanswered::Request(_, Transit::Answered(_)) => {
                        actions.push(Action::Hear(run, *id));
                    }
                    Unanswered::Call(_) => {
                        actions.push(Action::EndCall(run, *id, Outcome::Successful));
                        actions.push(Action::EndCall(run, *id, Outcome::Failed));
                    }
                    Unanswered::Aborted(_) => {
                        actions.push(Action::EndCall(run, *id, Outcome::Failed));
                    }
                }
            }
        }
    }

    fn deliveries(&self, s: &State, id: CallId, actions: &mut Vec<Action>) {
        let living = s.isolates.iter().filter(|isolate| !isolate.is_ending);
        let runs: Vec<_> = living.map(|isolate| isolate.number).collect();
        if runs.len() < self.size.runs.into() {
            actions.push(Action::Deliver(id, None));
        }
        let deliver = |run| Action::Deliver(id, Some(run));
        actions.extend(runs.into_iter().map(deliver));
    }

    /// What may happen but need not.
    pub(crate) fn faults(&self, s: &State, actions: &mut Vec<Action>) {
        actions.extend((0..s.late.len()).map(Action::ArriveLate));
        if s.aborts_left > 0 {
            actions.extend((0..s.db.open.len()).map(Action::RollBack));
        }
        if s.give_ups_left > 0 {
            actions.extend((0..s.db.open.len()).map(Action::GiveUpLock));
        }
        if s.cancels_left > 0 {
            actions.extend((0..self.size.jobs).map(Action::Cancel));
        }
        if s.renewals_left > 0 {
            let renews = s
                .isolates
                .iter()
                .filter(|isolate| isolate.wakes().is_some_and(|(_, is_renewal)| is_renewal));
            actions.extend(renews.map(|isolate| Action::Wake(isolate.number)));
        }
        if s.delays_left > 0 {
            let is_held = |call: &CurrentJob| call.state == CallState::Held;
            let holds = s.db.calls.values().filter(|call| is_held(call));
            actions.extend(holds.filter_map(|call| call.run).map(Action::HoldTooLong));
        }
        if s.faults_left == 0 {
            return;
        }
        for (id, is_delivered) in &s.net {
            if *is_delivered {
                self.deliveries(s, *id, actions);
            } else {
                actions.push(Action::Lose(*id));
            }
        }
        for isolate in &s.isolates {
            let run = isolate.number;
            actions.push(Action::Die(run));
            actions.push(Action::PassDeadline(run));
            if !isolate.is_ending {
                actions.push(Action::BeginToEnd(run));
            }
            for (id, unanswered) in &isolate.unanswered {
                match unanswered {
                    Unanswered::Request(request, transit) => {
                        actions.push(Action::GiveUpWaiting(run, *id));
                        if *transit == Transit::Sent && !self.size.answers_travel {
                            actions.push(Action::LoseAnswer(run, *id));
                        }
                        if matches!((request, transit), (Request::Report(_), Transit::Sent)) {
                            actions.push(Action::ArriveUnsettled(run, *id));
                        }
                    }
                    Unanswered::Call(_) => {
                        actions.push(Action::EndCall(run, *id, Outcome::NotMade));
                    }
                    Unanswered::Aborted(_) => {}
                }
            }
        }
    }
}
