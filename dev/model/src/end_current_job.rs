//! `public.end_current_job`: acknowledgements and reports of lanes, and their answers.

use crate::database::CallId;
use crate::lane::{LaneId, Late, Origin, Phase};
use crate::protocol::Protocol;
use crate::settle::{Outcome, settle_job};
use crate::size::Broken;
use crate::start::hand_out_next_job;
use crate::state::State;
use crate::transaction::{Cause, Transaction};
use crate::wake_up::begin_report;

/// A report of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Report {
    pub(crate) lane: LaneId,
    pub(crate) id: CallId,
    pub(crate) outcome: Outcome,
    pub(crate) wants_next: bool,
    pub(crate) can_settle: bool,
}

/// The answer to a report.
#[derive(Clone, Copy)]
enum ReportResult {
    Settled(Option<CallId>),
    Refused,
}

impl Protocol {
    /// `supaqueue.acknowledge`. Whether it was accepted; None while another transaction has locked the row.
    pub(crate) fn acknowledge(&self, s: &mut State, id: CallId, lane: LaneId) -> Option<bool> {
        if s.db.is_call_held(id) {
            return None;
        }
        let Some(call) = s.db.calls.get_mut(&id) else {
            return Some(false);
        };
        let is_anothers = call.lane.is_some_and(|taken| taken != lane);
        if is_anothers && !self.is(Broken::AcknowledgementTakenTwice) {
            return Some(false);
        }
        call.lane = Some(lane);
        call.is_lease_over = false;
        Some(true)
    }

    /// `supaqueue.report`. None while another transaction has locked the row, or no other one may be open.
    pub(crate) fn report(&self, s: &mut State, report: Report, is_heard: bool) -> Option<()> {
        let Report { lane, id, .. } = report;
        if s.db.is_call_held(id) {
            return None;
        }
        let Some(call) = s.db.calls.get(&id).copied() else {
            return self.report_again(s, report, is_heard);
        };
        if call.lane.is_some_and(|taken| taken != lane) {
            if is_heard {
                s.end_lane(lane);
            }
            return Some(());
        }
        self.may_open(s)?;
        let cause = Cause::Report {
            id,
            call,
            wants_next: report.wants_next,
            listener: is_heard.then_some(lane),
        };
        begin_report(
            &mut s.db,
            cause,
            report.outcome,
            report.can_settle,
            self.broken,
        )?;
        if is_heard {
            s.set_phase(lane, Phase::Awaiting(report.outcome));
        }
        Some(())
    }

    /// A report whose current job is gone (`supaqueue.repeated_answer`): the answer it got before, with a
    /// lease that starts anew, or a refusal.
    fn report_again(&self, s: &mut State, report: Report, is_heard: bool) -> Option<()> {
        let Report { lane, id, .. } = report;
        let next = s.db.handed_out_by(id);
        if next.is_some_and(|next| s.db.is_call_held(next)) {
            return None;
        }
        let mut result = match next {
            Some(next) => ReportResult::Settled(Some(next)),
            None if s.db.workers.iter().any(|w| w.last_report == Some(id)) => {
                ReportResult::Settled(None)
            }
            None => ReportResult::Refused,
        };
        match self.broken {
            Some(Broken::NoFence) if !s.db.is_job_held(id.job) => {
                settle_job(s.db.jobs[usize::from(id.job)].as_mut()?, report.outcome);
            }
            Some(Broken::RepetitionForgetsNext) => {
                result = next.map_or(result, |_| ReportResult::Refused);
            }
            Some(Broken::RepetitionGetsAnotherJob) => {
                result = s
                    .hand_out_another(id, next)
                    .map_or(result, |other| ReportResult::Settled(Some(other)));
            }
            _ => {}
        }
        let mut origin = Origin::RepeatedAnswerWithoutLease;
        if !self.is(Broken::RepetitionKeepsLease)
            && let Some(call) = next.and_then(|next| s.db.calls.get_mut(&next))
        {
            call.is_lease_over = false;
            origin = Origin::RepeatedAnswer;
        }
        if is_heard {
            s.compare_with_first(lane, id, result);
            match result {
                ReportResult::Settled(Some(next)) => s.call(lane, next, origin),
                ReportResult::Settled(None) | ReportResult::Refused => s.end_lane(lane),
            }
        }
        Some(())
    }

    /// A request arrives whose sender no longer waits for it.
    pub(crate) fn arrive(&self, s: &mut State, late: Late) -> Option<()> {
        match late {
            Late::Acknowledge { lane, id } => self.acknowledge(s, id, lane).map(|_| ()),
            Late::Report(report) => self.report(s, report, false),
        }
    }
}

impl State {
    /// A lane learns that its report settled the job (`Lane::reported`), and which job is next.
    pub(crate) fn after_settled(&mut self, lane: LaneId, next: Option<CallId>) {
        match next {
            Some(next) => self.call(lane, next, Origin::FirstAnswer),
            None => self.end_lane(lane),
        }
    }

    /// As if the report that handed a job out had not been.
    fn hand_out_another(&mut self, id: CallId, next: Option<CallId>) -> Option<CallId> {
        let mut tx = Transaction::new(Cause::Report {
            id,
            call: *self.db.calls.get(&next?)?,
            wants_next: true,
            listener: None,
        });
        hand_out_next_job(&self.db, &mut tx);
        tx.commit(&mut self.db);
        tx.next
    }

    /// An answer without a next job is right, too, once the job handed out no longer belongs to the lane.
    fn compare_with_first(&mut self, lane: LaneId, id: CallId, result: ReportResult) {
        let first = self.witness.answers.get(&id).copied();
        let is_same = match (first, result) {
            (Some(Some(next)), ReportResult::Refused | ReportResult::Settled(None)) => {
                let row = self.db.calls.get(&next);
                row.is_none_or(|row| row.lane != Some(lane))
            }
            (Some(first), ReportResult::Settled(again)) => first == again,
            (None, ReportResult::Settled(_)) => false,
            (Some(None) | None, ReportResult::Refused) => true,
        };
        self.witness.has_other_answer |= !is_same;
    }
}
