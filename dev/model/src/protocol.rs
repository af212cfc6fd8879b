//! The protocol as a model: where each step leads.

use stateright::{Model, Property};

use crate::action::Action;
use crate::lane::Phase;
use crate::properties;
use crate::size::{Broken, Size};
use crate::state::State;
use crate::transaction::{Cause, Step};
use crate::wake_up::{begin_insert, begin_tick, with_lock, without_lock};

/// The protocol, intact or broken, in a world of some size.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// The bounds of the world.
    pub size: Size,
    /// The rule that is broken on purpose, if any.
    pub broken: Option<Broken>,
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(&self.size)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.progress(state, actions);
        self.faults(state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action)?;
        if self.size.open == 1 {
            self.finish(&mut next)?;
        }
        next.tidy(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

impl Protocol {
    pub(crate) fn is(&self, broken: Broken) -> bool {
        self.broken == Some(broken)
    }

    /// Whether nothing more happens unless something else goes wrong.
    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        let mut without_faults = state.clone();
        without_faults.faults_left = 0;
        let mut progress = Vec::new();
        self.progress(&without_faults, &mut progress);
        !progress
            .into_iter()
            .any(|action| self.apply(&mut without_faults.clone(), action).is_some())
    }

    /// None if the step cannot be taken now.
    fn apply(&self, s: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Insert(job) => {
                self.may_open(s)?;
                begin_insert(&mut s.db, job);
            }
            Action::Tick => {
                self.may_open(s)?;
                begin_tick(&mut s.db)?;
            }
            Action::TakeLock(index) => self.take_lock(s, index)?,
            Action::GiveUpLock(index) => self.give_up_lock(s, index)?,
            Action::Commit(index) => s.commit(index),
            Action::RollBack(index) => s.roll_back(index),
            Action::LeaseEnds(id) => self.end_lease(s, id)?,
            Action::BecomesDue(job) => {
                if s.db.is_job_held(job) {
                    return None;
                }
                s.db.jobs[usize::from(job)].as_mut()?.is_due = true;
            }
            Action::Deliver(id) => self.deliver(s, id)?,
            Action::Lose(id) => {
                s.spend_fault()?;
                s.net.remove(&id);
            }
            Action::Acknowledge(lane) => {
                let at = s.lane(lane)?.at;
                if self.acknowledge(s, at, lane)? {
                    s.first_call(lane, at);
                } else {
                    s.end_lane(lane);
                }
            }
            Action::EndCall(lane, outcome) => s.end_call(lane, outcome)?,
            Action::Report(lane, wants_next) => {
                let report = s.lane(lane)?.report(wants_next)?;
                self.report(s, report, true)?;
            }
            Action::ReportUnsettled(lane, wants_next) => {
                s.spend_fault()?;
                let mut report = s.lane(lane)?.report(wants_next)?;
                report.can_settle = false;
                self.report(s, report, true)?;
            }
            Action::GiveUpWaiting(lane, wants_next) => s.leave_request(lane, wants_next)?,
            Action::DieInRequest(lane, wants_next) => {
                s.leave_request(lane, wants_next)?;
                s.end_lane(lane);
            }
            Action::Die(lane) => {
                s.spend_fault()?;
                match s.lane(lane)?.phase {
                    Phase::Calling(origin) => s.set_phase(lane, Phase::Abandoned(origin)),
                    _ => s.end_lane(lane),
                }
            }
            Action::Arrive(index) => {
                let late = s.late.remove(index);
                self.arrive(s, late)?;
            }
        }
        s.note_settled();
        Some(())
    }

    /// Completes the only transaction that may be open: nothing can come between its steps.
    fn finish(&self, s: &mut State) -> Option<()> {
        while let Some(tx) = s.db.open.first() {
            let step = match tx.step {
                Step::AsksFor(_) => Action::TakeLock(0),
                Step::Holds(_) => Action::Commit(0),
            };
            self.apply(s, step)?;
        }
        Some(())
    }

    /// None if no more transactions may be open.
    pub(crate) fn may_open(&self, s: &State) -> Option<()> {
        (s.db.open.len() < self.size.open).then_some(())
    }

    fn take_lock(&self, s: &mut State, index: usize) -> Option<()> {
        let mut tx = s.db.open.remove(index);
        let Step::AsksFor(lock) = tx.step else {
            return None;
        };
        if !tx.can_have_lock(&s.db) && !self.is(Broken::NoLock) {
            return None;
        }
        with_lock(&s.db, &mut tx, lock, self.broken);
        s.db.open.push(tx);
        Some(())
    }

    /// A transaction goes on without the lock that another one holds.
    fn give_up_lock(&self, s: &mut State, index: usize) -> Option<()> {
        let mut tx = s.db.open.remove(index);
        let Step::AsksFor(lock) = tx.step else {
            return None;
        };
        if tx.can_have_lock(&s.db) {
            return None;
        }
        s.give_ups_left -= 1;
        without_lock(&s.db, &mut tx, lock, self.broken);
        s.db.open.push(tx);
        Some(())
    }
}

impl State {
    /// Makes a transaction's rows visible, sends its dispatches, and answers its report.
    fn commit(&mut self, index: usize) {
        let tx = self.db.open.remove(index);
        tx.commit(&mut self.db);
        for id in tx.sent {
            self.net.insert(id, Default::default());
        }
        if let Cause::Report { id, listener, .. } = tx.cause {
            self.witness.answers.insert(id, tx.next);
            if let Some(lane) = listener {
                self.after_settled(lane, tx.next);
            }
        }
    }

    /// Drops a transaction. The lane that waits for it gets an error, and repeats its request.
    fn roll_back(&mut self, index: usize) {
        self.aborts_left -= 1;
        let tx = self.db.open.remove(index);
        if let Cause::Report {
            listener: Some(lane),
            ..
        } = tx.cause
            && let Some(Phase::Awaiting(outcome)) = self.lane(lane).map(|lane| lane.phase)
        {
            self.set_phase(lane, Phase::Reporting(outcome));
        }
    }
}
