//! The protocol as a model: where each step leads.

use stateright::{Model, Property};
use supaqueue_core::run::RequestId;

use crate::action::Action;
use crate::database::RunNumber;
use crate::isolate::{Transit, Unanswered};
use crate::message::{Reply, Request};
use crate::properties;
use crate::size::{Broken, Size};
use crate::state::State;
use crate::transaction::{Listener, Step};
use crate::wake_up::{begin_insert, begin_tick, cancel};

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
        if !self.size.answers_travel {
            self.hear_all(&mut next)?;
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
            Action::Cancel(job) => {
                cancel(&mut s.db, job, self.broken)?;
                s.cancels_left -= 1;
            }
            Action::Tick => {
                self.may_open(s)?;
                begin_tick(&mut s.db, self.broken)?;
            }
            Action::TakeLock(index) => self.take_lock(s, index)?,
            Action::GiveUpLock(index) => self.give_up_lock(s, index)?,
            Action::Commit(index) => s.commit(index),
            Action::RollBack(index) => s.roll_back(index),
            Action::LeaseEnds(id) => self.end_lease(s, id)?,
            Action::RunLeaseEnds(run) => self.end_run_lease(s, run)?,
            Action::BecomesDue(job) => {
                if s.db.is_job_held(job) {
                    return None;
                }
                s.db.jobs[usize::from(job)].as_mut()?.is_due = true;
            }
            Action::Deliver(id, run) => self.deliver(s, id, run)?,
            Action::Lose(id) => {
                s.spend_fault()?;
                s.net.remove(&id);
            }
            Action::Arrive(run, id) => {
                let request = s.sent(run, id)?;
                let listener = Listener { run, request: id };
                self.arrive(s, &request, Some(listener))?;
            }
            Action::ArriveUnsettled(run, id) => {
                s.spend_fault()?;
                let mut request = s.sent(run, id)?;
                if let Request::Report(report) = &mut request {
                    report.can_settle = false;
                }
                let listener = Listener { run, request: id };
                self.arrive(s, &request, Some(listener))?;
            }
            Action::Hear(run, id) => self.hear(s, run, id)?,
            Action::GiveUpWaiting(run, id) => self.give_up_waiting(s, run, id)?,
            Action::LoseAnswer(run, id) => {
                let request = s.sent(run, id)?;
                self.give_up_waiting(s, run, id)?;
                let index = s.late.iter().position(|late| *late == request)?;
                s.late.remove(index);
                self.arrive(s, &request, None)?;
            }
            Action::ArriveLate(index) => {
                let request = s.late.remove(index);
                self.arrive(s, &request, None)?;
            }
            Action::EndCall(run, id, outcome) => self.end_call(s, run, id, outcome)?,
            Action::Wake(run) => self.wake(s, run)?,
            Action::HoldTooLong(run) => self.hold_too_long(s, run)?,
            Action::Die(run) => self.die(s, run)?,
            Action::BeginToEnd(run) => self.begin_to_end(s, run)?,
            Action::PassDeadline(run) => self.pass_deadline(s, run)?,
            Action::Close(index) => {
                s.abandoned.remove(index);
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
        self.with_lock(&mut s.db, &mut tx, lock);
        s.db.open.push(tx);
        Some(())
    }

    /// A transaction goes on without the lock that another one holds.
    fn give_up_lock(&self, s: &mut State, index: usize) -> Option<()> {
        let mut tx = s.db.open.remove(index);
        if !matches!(tx.step, Step::AsksFor(_)) || tx.can_have_lock(&s.db) {
            return None;
        }
        s.give_ups_left -= 1;
        self.without_lock(&mut s.db, &mut tx);
        s.db.open.push(tx);
        Some(())
    }
}

impl State {
    /// A request that is on its way.
    fn sent(&self, run: RunNumber, id: RequestId) -> Option<Request> {
        let isolate = self.isolates.iter().find(|i| i.number == run)?;
        match isolate.unanswered.get(&id)? {
            Unanswered::Request(request, Transit::Sent) => Some(request.clone()),
            _ => None,
        }
    }

    /// Makes a transaction's rows visible, sends its dispatches, and answers its request.
    fn commit(&mut self, index: usize) {
        let tx = self.db.open.remove(index);
        tx.commit(&mut self.db);
        for id in &tx.sent {
            self.net.insert(*id, false);
        }
        let listener = tx.listener();
        let Some(reply) = tx.reply else {
            return;
        };
        if let (Reply::Report(reply), crate::transaction::Cause::Report { report, .. }) =
            (&reply, &tx.cause)
        {
            self.witness.answers.insert(report.id, *reply);
        }
        self.answer(listener, reply);
    }

    /// Drops a transaction. The run that waits for it gets an error, and repeats its request.
    fn roll_back(&mut self, index: usize) {
        self.aborts_left -= 1;
        let tx = self.db.open.remove(index);
        self.set_transit(tx.listener(), Transit::Sent);
    }
}
