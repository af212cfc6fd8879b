//! The supaqueue function and the target: lanes, as in `supaqueue_core::lane::Lane`,
//! and the calls that they make.
//!
//! A lane repeats a request to the database until it is answered. A request that it
//! no longer waits for arrives late or never, and nothing gets its answer. That also
//! covers a request that arrived at once and whose answer was lost.

use crate::database::CallId;
use crate::end_current_job::Report;
use crate::protocol::Protocol;
use crate::settle::Outcome;
use crate::size::Broken;
use crate::state::State;

/// A lane: the dispatch that started it, and which delivery of that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    pub(crate) dispatch: CallId,
    pub(crate) delivery: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    pub(crate) id: LaneId,
    /// The current job that it works on.
    pub(crate) at: CallId,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// It acknowledges the current job (`State::Database`).
    Acknowledging,
    /// The target is processing the job (`State::Target`).
    Calling(Origin),
    /// The target is still processing the job, but the lane is dead.
    Abandoned(Origin),
    /// It reports how the call ended (`State::Database`).
    Reporting(Outcome),
    /// The same, and the database is processing the report.
    Awaiting(Outcome),
}

/// The answer that led to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Origin {
    /// The first answer to a request, which started the lease.
    FirstAnswer,
    /// The answer to a repeated report, which started the lease anew.
    RepeatedAnswer,
    /// The same, but with what was left of the lease.
    RepeatedAnswerWithoutLease,
}

/// A request whose lane no longer waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Late {
    Acknowledge { lane: LaneId, id: CallId },
    Report(Report),
}

impl Late {
    pub(crate) fn id(&self) -> CallId {
        match self {
            Late::Acknowledge { id, .. } => *id,
            Late::Report(report) => report.id,
        }
    }
}

impl Lane {
    /// Whether the target is processing its call.
    pub(crate) fn is_in_flight(&self) -> bool {
        matches!(self.phase, Phase::Calling(_) | Phase::Abandoned(_))
    }

    /// Whether it waits for the answer to a report.
    pub(crate) fn reports(&self) -> bool {
        matches!(self.phase, Phase::Reporting(_) | Phase::Awaiting(_))
    }

    /// `Lane::report`. A lane that gives a job back does not ask for the next one.
    pub(crate) fn report(&self, wants_next: bool) -> Option<Report> {
        match self.phase {
            Phase::Reporting(outcome) if outcome != Outcome::NotMade || !wants_next => {
                Some(Report {
                    lane: self.id,
                    id: self.at,
                    outcome,
                    wants_next,
                    can_settle: true,
                })
            }
            _ => None,
        }
    }

    fn request(&self, wants_next: bool) -> Option<Late> {
        match self.phase {
            Phase::Acknowledging if !wants_next => Some(Late::Acknowledge {
                lane: self.id,
                id: self.at,
            }),
            _ => self.report(wants_next).map(Late::Report),
        }
    }
}

impl Protocol {
    /// A dispatch starts a lane. Its first delivery is expected, any other is a fault.
    pub(crate) fn deliver(&self, s: &mut State, id: CallId) -> Option<()> {
        let sent = s.net.get_mut(&id)?;
        let lane = LaneId {
            dispatch: id,
            delivery: sent.delivered,
        };
        sent.delivered += 1;
        if lane.delivery > 0 {
            s.spend_fault()?;
        }
        s.lanes.push(Lane {
            id: lane,
            at: id,
            phase: Phase::Acknowledging,
        });
        if self.is(Broken::NoAcknowledgement) {
            s.first_call(lane, id);
        }
        Some(())
    }
}

impl State {
    pub(crate) fn lane(&self, id: LaneId) -> Option<Lane> {
        self.lanes.iter().find(|lane| lane.id == id).copied()
    }

    pub(crate) fn set_phase(&mut self, id: LaneId, phase: Phase) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == id) {
            lane.phase = phase;
        }
    }

    pub(crate) fn end_lane(&mut self, id: LaneId) {
        self.lanes.retain(|lane| lane.id != id);
    }

    /// The first call of a lane.
    pub(crate) fn first_call(&mut self, lane: LaneId, id: CallId) {
        if let Some(sent) = self.net.get_mut(&lane.dispatch) {
            sent.called += 1;
        }
        self.call(lane, id, Origin::FirstAnswer);
    }

    /// A lane calls the target, if it is alive.
    pub(crate) fn call(&mut self, id: LaneId, at: CallId, origin: Origin) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == id) {
            lane.at = at;
            lane.phase = Phase::Calling(origin);
            self.witness.runs[usize::from(at.job)] += 1;
        }
    }

    pub(crate) fn end_call(&mut self, id: LaneId, outcome: Outcome) -> Option<()> {
        let lane = self.lane(id)?;
        if let Phase::Abandoned(_) = lane.phase {
            self.end_lane(id);
            return Some(());
        }
        if outcome == Outcome::NotMade {
            self.spend_fault()?;
            // The job did not run after all.
            self.witness.runs[usize::from(lane.at.job)] -= 1;
        }
        self.set_phase(id, Phase::Reporting(outcome));
        Some(())
    }

    /// The lane no longer waits for its request, which stays in transit.
    pub(crate) fn leave_request(&mut self, id: LaneId, wants_next: bool) -> Option<()> {
        self.spend_fault()?;
        let request = self.lane(id)?.request(wants_next)?;
        self.late.push(request);
        Some(())
    }
}
