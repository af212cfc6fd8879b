//! The isolates of the supaqueue function, with the runs that `supaqueue_core` makes of them, and the
//! calls of the target.
//!
//! Requests travel, and answers too, each at its own pace. A request that its run no longer waits for
//! arrives late or never, and nothing gets its answer.

use std::collections::BTreeMap;

use supaqueue_core::budget::Budget;
use supaqueue_core::database::Verdict;
use supaqueue_core::outcome::Outcome as CallOutcome;
use supaqueue_core::protocol::{Report as CallReport, RunId};
use supaqueue_core::run::{Answer, Event, Message, Order, RequestId, Run};
use supaqueue_core::time::Timestamp;
use supaqueue_core::trace::Trace;

use crate::database::{CallId, RunNumber};
use crate::message::{AGAIN_MS, LEASE_MS, Pulse, Reply, Report, Request, call_id, record};
use crate::protocol::Protocol;
use crate::settle::Outcome;
use crate::size::Broken;
use crate::state::State;
use crate::transaction::Listener;

/// The time of all events but those that wait for another time.
const NOW: Timestamp = Timestamp::from_ms(1_000_000);
/// The time at which a run is told to hold a call ready: just before it renews its lease, so that the
/// call may wait too long before the renewal, with it, or after it.
const HELD: Timestamp = Timestamp::from_ms(1_000_000 + LEASE_MS / 6 - 1);
/// The time at which that call has waited too long.
const HELD_TOO_LONG: Timestamp = HELD.plus(1000);
/// After any deadline.
const LATER: Timestamp = Timestamp::from_ms(1_000_000_000);
/// The time of an isolate: it never runs out.
const BUDGET_MS: u64 = 1_000_000_000_000;
/// The first wait before a request is repeated, in milliseconds.
const RETRY_MS: u64 = 50;

/// An isolate that lives, with its run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Isolate {
    pub(crate) number: RunNumber,
    pub(crate) run: Run,
    /// What the run sent and has had no answer to.
    pub(crate) unanswered: BTreeMap<RequestId, Unanswered>,
    /// The dispatches that it got, as long as they are not acknowledged.
    pub(crate) brought: Vec<CallId>,
    /// Whether it gets no dispatches, because it is about to end.
    pub(crate) is_ending: bool,
    /// Whether its deadline has passed without an end of its run.
    pub(crate) is_late: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unanswered {
    Request(Request, Transit),
    /// The target has the call.
    Call(CallId),
    /// The connection was closed; the run will hear of that.
    Aborted(CallId),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Transit {
    /// It is on its way.
    Sent,
    /// A transaction works on it.
    Arrived,
    /// The answer is on its way.
    Answered(Reply),
}

/// A call whose isolate is dead, until its connection closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Abandoned {
    pub(crate) run: RunNumber,
    pub(crate) id: CallId,
}

impl Isolate {
    fn new(number: RunNumber) -> Self {
        let run = Run::new(
            RunId::from_random(number.0.into()),
            Budget::new(NOW, BUDGET_MS, u32::MAX),
            Trace::new(None, [0; 16]),
            NOW,
        );
        Self {
            number,
            run,
            unanswered: BTreeMap::new(),
            brought: Vec::new(),
            is_ending: false,
            is_late: false,
        }
    }

    /// The calls whose connections are open.
    pub(crate) fn calls(&self) -> impl Iterator<Item = CallId> {
        self.unanswered.values().filter_map(|sent| match sent {
            Unanswered::Call(id) => Some(*id),
            _ => None,
        })
    }

    pub(crate) fn requests(&self) -> impl Iterator<Item = (&Request, &Transit)> {
        self.unanswered.values().filter_map(|sent| match sent {
            Unanswered::Request(request, transit) => Some((request, transit)),
            _ => None,
        })
    }

    /// When its run wants to be woken, and whether that is to renew the lease.
    pub(crate) fn wakes(&self) -> Option<(Timestamp, bool)> {
        let at = self.run.wakes_at()?;
        let is_renewal = at >= NOW.plus(LEASE_MS / 6);
        let has_pulse = self
            .requests()
            .any(|(request, _)| matches!(request, Request::Pulse(_)));
        // With a pulse under way, only the deadline is left to wait for.
        (!is_renewal || !has_pulse).then_some((at, is_renewal))
    }
}

impl Protocol {
    /// A dispatch reaches a run, or starts one.
    pub(crate) fn deliver(&self, s: &mut State, id: CallId, run: Option<RunNumber>) -> Option<()> {
        let is_delivered = s.net.get_mut(&id)?;
        if std::mem::replace(is_delivered, true) {
            s.spend_fault()?;
        }
        let run = match run {
            Some(run) => run,
            None => {
                let number = s.free_number()?;
                s.isolates.push(Isolate::new(number));
                number
            }
        };
        s.isolate(run)?.brought.push(id);
        let ids = vec![record(id).current_job.id];
        let event = Event::Dispatched(ids, Trace::new(None, [0; 16]));
        self.step(s, run, event, NOW)
    }

    /// Runs get all answers that are on their way.
    pub(crate) fn hear_all(&self, s: &mut State) -> Option<()> {
        let next = |s: &State| {
            s.isolates.iter().find_map(|isolate| {
                let mut unanswered = isolate.unanswered.iter();
                let (id, _) = unanswered.find(|(_, sent)| {
                    matches!(sent, Unanswered::Request(_, Transit::Answered(_)))
                })?;
                Some((isolate.number, *id))
            })
        };
        while let Some((run, id)) = next(s) {
            self.hear(s, run, id)?;
        }
        Some(())
    }

    /// A run gets the answer to a request.
    pub(crate) fn hear(&self, s: &mut State, run: RunNumber, id: RequestId) -> Option<()> {
        let isolate = s.isolate(run)?;
        let Some(Unanswered::Request(request, Transit::Answered(_))) = isolate.unanswered.get(&id)
        else {
            return None;
        };
        let asked = matches!(request, Request::Pulse(pulse) if pulse.asks);
        if let Request::Pulse(pulse) = request {
            // What it could not acknowledge is sent again.
            let is_asked = |id: &CallId| pulse.acknowledge.contains(id);
            isolate.brought.retain(|id| !is_asked(id));
        }
        let Some(Unanswered::Request(_, Transit::Answered(reply))) = isolate.unanswered.remove(&id)
        else {
            return None;
        };
        s.witness.is_refused |= reply == Reply::Refused;
        let holds = matches!(reply, Reply::Report(reply) if reply.held.is_some());
        let now = if holds { HELD } else { NOW };
        let answer = Answer::Database(Verdict::Returned(reply.result(asked)));
        self.step(s, run, Event::Answered(id, answer), now)
    }

    /// A run gets no answer in time, and repeats its request; the first one may still arrive, or its answer
    /// is lost.
    pub(crate) fn give_up_waiting(
        &self,
        s: &mut State,
        run: RunNumber,
        id: RequestId,
    ) -> Option<()> {
        s.spend_fault()?;
        let isolate = s.isolate(run)?;
        let Some(Unanswered::Request(request, transit)) = isolate.unanswered.remove(&id) else {
            return None;
        };
        let reason = String::new();
        let after_ms = None;
        let answer = Answer::Database(Verdict::Unreachable { reason, after_ms });
        if transit == Transit::Sent {
            s.late.push(request);
        }
        s.forget_listener(Listener { run, request: id });
        self.step(s, run, Event::Answered(id, answer), NOW)?;
        self.step(s, run, Event::Woke, NOW.plus(RETRY_MS))
    }

    pub(crate) fn wake(&self, s: &mut State, run: RunNumber) -> Option<()> {
        let (at, is_renewal) = s.isolate(run)?.wakes()?;
        if is_renewal {
            s.renewals_left = s.renewals_left.checked_sub(1)?;
        }
        self.step(s, run, Event::Woke, at)
    }

    /// A call has been held for too long. None if no call is.
    pub(crate) fn hold_too_long(&self, s: &mut State, run: RunNumber) -> Option<()> {
        s.delays_left = s.delays_left.checked_sub(1)?;
        let mut unheld = s.isolate(run)?.run.clone();
        let before = unheld.clone();
        unheld.next(Event::Woke, HELD_TOO_LONG, 0);
        if unheld == before {
            return None;
        }
        self.step(s, run, Event::Woke, HELD_TOO_LONG)
    }

    pub(crate) fn end_call(
        &self,
        s: &mut State,
        run: RunNumber,
        id: RequestId,
        outcome: Outcome,
    ) -> Option<()> {
        let call = match s.isolate(run)?.unanswered.remove(&id)? {
            Unanswered::Call(call) => call,
            Unanswered::Aborted(_) if outcome == Outcome::Failed => {
                return self.step(s, run, ended(id, outcome), NOW);
            }
            _ => return None,
        };
        if outcome == Outcome::Failed {
            s.failures_left = s.failures_left.checked_sub(1)?;
        }
        let mut told = outcome;
        let mut started = s.witness.runs.iter().sum::<u8>();
        if outcome == Outcome::NotMade {
            s.spend_fault()?;
            // The job did not run after all.
            s.witness.runs[usize::from(call.job)] -= 1;
            started -= 1;
            if self.is(Broken::PauseIsHidden) {
                told = Outcome::Failed;
            }
        }
        self.step(s, run, ended(id, told), NOW)?;
        if outcome == Outcome::NotMade {
            s.witness.starts_in_pause |= s.witness.runs.iter().sum::<u8>() > started;
        }
        Some(())
    }

    /// The isolate ends without a word.
    pub(crate) fn die(&self, s: &mut State, run: RunNumber) -> Option<()> {
        s.spend_fault()?;
        s.remove_isolate(run, true)
    }

    /// No pulse was answered in time.
    pub(crate) fn pass_deadline(&self, s: &mut State, run: RunNumber) -> Option<()> {
        s.spend_fault()?;
        if self.is(Broken::NoDeadline) {
            s.isolate(run)?.is_late = true;
            return Some(());
        }
        self.step(s, run, Event::Woke, LATER)
    }

    pub(crate) fn begin_to_end(&self, s: &mut State, run: RunNumber) -> Option<()> {
        s.spend_fault()?;
        s.isolate(run)?.is_ending = true;
        self.step(s, run, Event::Ending, NOW)
    }

    /// Tells a run what happened, and carries out its orders.
    fn step(&self, s: &mut State, number: RunNumber, event: Event, now: Timestamp) -> Option<()> {
        let Some(isolate) = s.isolate(number) else {
            return Some(());
        };
        let mut aborted = Vec::new();
        for order in isolate.run.next(event, now, 0) {
            match order {
                Order::Send { id, message, .. } => s.send(number, id, message)?,
                Order::Abort(id) => aborted.extend(s.abort(number, id)?),
                Order::Log(_) => {}
            }
        }
        let isolate = s.isolate(number)?;
        let is_clean = if isolate.run.is_over() {
            isolate.calls().next().is_none()
        } else {
            isolate.unanswered.is_empty()
        };
        if isolate.run.is_over() || isolate.run.has_ended() {
            s.witness.has_open_call_at_end |= !is_clean;
            s.remove_isolate(number, false)?;
        }
        if self.is(Broken::AbortsLate) {
            let abandoned = aborted.into_iter();
            s.abandoned
                .extend(abandoned.map(|id| Abandoned { run: number, id }));
        }
        Some(())
    }
}

fn ended(id: RequestId, outcome: Outcome) -> Event {
    let outcome = match outcome {
        Outcome::NotMade => CallOutcome::NotMade { retry_after_ms: 0 },
        _ => CallOutcome::Settled {
            is_successful: outcome == Outcome::Successful,
            report: CallReport::default(),
        },
    };
    Event::Answered(id, Answer::Call(outcome))
}

impl State {
    pub(crate) fn isolate(&mut self, run: RunNumber) -> Option<&mut Isolate> {
        self.isolates
            .iter_mut()
            .find(|isolate| isolate.number == run)
    }

    /// The least number of a run that nothing knows.
    fn free_number(&self) -> Option<RunNumber> {
        (0..u8::MAX)
            .map(RunNumber)
            .find(|run| !self.knows_run(*run))
    }

    fn send(&mut self, run: RunNumber, id: RequestId, message: Message) -> Option<()> {
        let sent = match message {
            Message::Pulse(_, pulse) => {
                Unanswered::Request(Request::Pulse(Pulse::new(run, &pulse)), Transit::Sent)
            }
            Message::Report(_, report) => {
                Unanswered::Request(Request::Report(Report::new(run, &report)), Transit::Sent)
            }
            Message::Call(assignment, _) => {
                let call = call_id(assignment.current_job.id);
                self.witness.begin_call(&self.db, run, call);
                Unanswered::Call(call)
            }
        };
        let replaced = self.isolate(run)?.unanswered.insert(id, sent);
        assert!(replaced.is_none(), "a number of a request is used twice");
        Some(())
    }

    /// Closes a connection. Returns the call, if it was one.
    fn abort(&mut self, run: RunNumber, id: RequestId) -> Option<Option<CallId>> {
        let unanswered = self.isolate(run)?.unanswered.get_mut(&id)?;
        let Unanswered::Call(call) = *unanswered else {
            return Some(None);
        };
        *unanswered = Unanswered::Aborted(call);
        Some(Some(call))
    }

    /// Its requests are still on their way; its calls are over once their connections close.
    fn remove_isolate(&mut self, run: RunNumber, leaves_calls: bool) -> Option<()> {
        let index = self.isolates.iter().position(|i| i.number == run)?;
        let isolate = self.isolates.remove(index);
        for (id, sent) in isolate.unanswered {
            match sent {
                Unanswered::Request(request, Transit::Sent) => self.late.push(request),
                Unanswered::Request(..) => self.forget_listener(Listener { run, request: id }),
                Unanswered::Call(id) if leaves_calls => self.abandoned.push(Abandoned { run, id }),
                Unanswered::Call(_) | Unanswered::Aborted(_) => {}
            }
        }
        Some(())
    }

    fn forget_listener(&mut self, gone: Listener) {
        for tx in &mut self.db.open {
            if tx.listener() == Some(gone) {
                tx.lose_listener();
            }
        }
    }

    /// An answer starts on its way to the run that waits for it.
    pub(crate) fn answer(&mut self, listener: Option<Listener>, reply: Reply) {
        self.set_transit(listener, Transit::Answered(reply));
    }

    pub(crate) fn await_commit(&mut self, listener: Option<Listener>) {
        self.set_transit(listener, Transit::Arrived);
    }

    pub(crate) fn set_transit(&mut self, listener: Option<Listener>, to: Transit) {
        if let Some(Listener { run, request }) = listener
            && let Some(isolate) = self.isolate(run)
            && let Some(Unanswered::Request(_, transit)) = isolate.unanswered.get_mut(&request)
        {
            *transit = to;
        }
    }
}

const _: () = assert!(AGAIN_MS > RETRY_MS);
