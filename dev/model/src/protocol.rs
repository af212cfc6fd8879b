//! The protocol as a model: where the steps of a world lead.

use stateright::{Model, Property};

use crate::action::Action;
use crate::function::Phase;
use crate::properties;
use crate::size::{Broken, Size};
use crate::state::State;
use crate::transaction::{Cause, Step};
use crate::wake_up::{begin_insert, begin_tick, with_lock};

/// The protocol in a world of some size, whole or broken.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// How large the world is.
    pub size: Size,
    /// What is broken in it, if anything.
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
        self.mishaps(state, actions);
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

    /// Whether nothing happens any more, unless something else goes wrong.
    pub(crate) fn is_at_rest(&self, state: &State) -> bool {
        let mut from_now_on_well = state.clone();
        from_now_on_well.faults_left = 0;
        let mut progress = Vec::new();
        self.progress(&from_now_on_well, &mut progress);
        !progress
            .into_iter()
            .any(|action| self.apply(&mut from_now_on_well.clone(), action).is_some())
    }

    /// None where the step cannot be taken now.
    fn apply(&self, s: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Insert(job) => {
                self.may_open(s)?;
                begin_insert(&mut s.db, job, self.broken);
            }
            Action::Tick => {
                self.may_open(s)?;
                begin_tick(&mut s.db, self.broken)?;
            }
            Action::TakeLock(index) => self.take_lock(s, index)?,
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
                    s.begin_call(lane, at);
                } else {
                    s.end_lane(lane);
                }
            }
            Action::EndCall(lane, outcome) => s.end_call(lane, outcome)?,
            Action::Report(lane, wants_next) => {
                let report = s.lane(lane)?.report(wants_next)?;
                self.report(s, report, true)?;
            }
            Action::GiveUpWaiting(lane, wants_next) => s.leave_request(lane, wants_next)?,
            Action::DieTelling(lane, wants_next) => {
                s.leave_request(lane, wants_next)?;
                s.end_lane(lane);
            }
            Action::Die(lane) => {
                s.spend_fault()?;
                match s.lane(lane)?.phase {
                    Phase::Calling(answer) => s.set_phase(lane, Phase::Abandoned(answer)),
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

    /// Takes the one transaction that may be open to its end: nothing can come between its steps.
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

    /// One more transaction.
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
        with_lock(&s.db, &mut tx, lock);
        s.db.open.push(tx);
        Some(())
    }
}

impl State {
    /// The rows of a transaction are seen, its dispatches leave, its report is answered.
    fn commit(&mut self, index: usize) {
        let tx = self.db.open.remove(index);
        tx.commit(&mut self.db);
        for id in tx.sent {
            self.net.insert(id, Default::default());
        }
        if let Cause::Report { id, listener, .. } = tx.cause {
            self.witness.answers.insert(id, tx.next);
            if let Some(lane) = listener {
                self.hear_settled(lane, tx.next);
            }
        }
    }

    /// Nothing of a transaction is seen. The lane that waits for it hears an error, and repeats.
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
