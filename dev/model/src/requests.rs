//! `public.supaqueue_pulse` and `public.end_current_job`: what the database does with a run's requests.

use crate::database::CallId;
use crate::message::{Pulse, PulseReply, Reply, Report, ReportReply, Request};
use crate::protocol::Protocol;
use crate::settle::settle_job;
use crate::size::Broken;
use crate::start::hand_out_next_job;
use crate::state::State;
use crate::transaction::{Cause, Listener, Transaction};

impl Protocol {
    /// A request arrives. None while another transaction has locked one of its rows, or no other one may be
    /// open.
    pub(crate) fn arrive(
        &self,
        s: &mut State,
        request: &Request,
        listener: Option<Listener>,
    ) -> Option<()> {
        match request {
            Request::Pulse(pulse) => self.pulse(s, pulse, listener),
            Request::Report(report) => self.report(s, *report, listener),
        }
    }

    fn pulse(&self, s: &mut State, pulse: &Pulse, listener: Option<Listener>) -> Option<()> {
        if s.db.is_run_held(pulse.run) {
            return None;
        }
        let row = s.db.runs.get(&pulse.run).copied();
        let is_known = row.is_some() || pulse.number == 1;
        let Some(stored) = is_known.then(|| row.unwrap_or_default()) else {
            s.answer(listener, Reply::Refused);
            return Some(());
        };
        if stored.is_over {
            s.answer(listener, Reply::Refused);
            return Some(());
        }
        if pulse.number < stored.number && !self.is(Broken::LatePulseClaims) {
            s.answer(listener, Reply::Pulse(PulseReply::default()));
            return Some(());
        }
        self.may_open(s)?;
        self.begin_pulse(&mut s.db, pulse, stored, listener)?;
        s.await_commit(listener);
        Some(())
    }

    /// `supaqueue.report`.
    fn report(&self, s: &mut State, report: Report, listener: Option<Listener>) -> Option<()> {
        let Report { run, id, .. } = report;
        if s.db.is_run_over(run) && !self.is(Broken::NoFence) {
            s.answer(listener, Reply::Refused);
            return Some(());
        }
        if s.db.is_call_held(id) {
            return None;
        }
        if s.db.calls.get(&id).is_none_or(|call| call.run != Some(run)) {
            return self.report_again(s, report, listener);
        }
        self.may_open(s)?;
        self.begin_report(&mut s.db, report, listener)?;
        s.await_commit(listener);
        Some(())
    }

    /// A report whose current job is gone (`supaqueue.handed_out`): the answer that it got before.
    fn report_again(
        &self,
        s: &mut State,
        report: Report,
        listener: Option<Listener>,
    ) -> Option<()> {
        let id = report.id;
        let (next, held) = s.db.handed_out_by(id, report.run);
        let is_locked = |id: Option<CallId>| id.is_some_and(|id| s.db.is_call_held(id));
        if is_locked(next) || is_locked(held) {
            return None;
        }
        let mut result = ReportReply {
            next,
            held,
            waits: false,
        };
        match self.broken {
            Some(Broken::NoFence) if !s.db.is_job_held(id.job) => {
                settle_job(s.db.jobs[usize::from(id.job)].as_mut()?, report.outcome);
            }
            Some(Broken::RepetitionForgetsNext) => result.next = None,
            Some(Broken::RepetitionIsRefused) => {
                s.answer(listener, Reply::Refused);
                return Some(());
            }
            Some(Broken::RepetitionGetsAnotherJob) => {
                result.next = s.hand_out_another(report, next).or(next);
            }
            _ => {}
        }
        if listener.is_some() {
            s.compare_with_first(id, result);
        }
        s.answer(listener, Reply::Report(result));
        Some(())
    }
}

impl State {
    /// As if the report that handed a job out had not been.
    fn hand_out_another(&mut self, report: Report, next: Option<CallId>) -> Option<CallId> {
        let call = *self.db.calls.get(&next?)?;
        let mut tx = Transaction::new(Cause::Report {
            report,
            call,
            listener: None,
        });
        tx.idle.insert(call.worker);
        hand_out_next_job(&self.db, &mut tx, None);
        tx.commit(&mut self.db);
        tx.next
    }

    /// A call that was held when it was handed out may be started by now.
    fn compare_with_first(&mut self, id: CallId, again: ReportReply) {
        let Some(first) = self.witness.answers.get(&id) else {
            return;
        };
        let is_same = first.next == again.next && first.held == again.held;
        self.witness.has_other_answer |= !is_same;
    }
}
