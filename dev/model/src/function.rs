//! The supaqueue function and the target: lanes, as `supaqueue_core::lane::Lane`
//! decides, and the calls that they make.
//!
//! A lane repeats what it tells the database until it is answered. A request that it
//! has given up waiting for arrives late, or never, and its answer is heard by nobody;
//! so it is, too, where a request arrived at once and only its answer was lost.

use crate::database::CallId;
use crate::exchange::Report;
use crate::protocol::Protocol;
use crate::settle::Outcome;
use crate::size::Broken;
use crate::state::State;

/// A lane: the dispatch that began it, and which delivery of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    pub(crate) dispatch: CallId,
    pub(crate) delivery: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Lane {
    pub(crate) id: LaneId,
    /// The current job that it is at (`Lane::assignment`).
    pub(crate) at: CallId,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Phase {
    /// Tells the database that it takes the current job (`State::Acknowledging`).
    Acknowledging,
    /// The target works on it (`State::Calling`).
    Calling(Answer),
    /// The target works on it still, but the lane is dead.
    Abandoned(Answer),
    /// Tells the database how the call ended (`State::Reporting`).
    Reporting(Outcome),
    /// The same, and the database is at it.
    Awaiting(Outcome),
}

/// What a call was made on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Answer {
    /// The first answer to a request: the lease began with it.
    First,
    /// The answer to a report that was settled before: the lease began again with it.
    Repeated,
    /// The same, with what is left of a lease that began before.
    RepeatedWithoutLease,
}

/// A request of a lane that nobody waits for.
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
    /// Whether the target works on a call of it.
    pub(crate) fn is_in_flight(&self) -> bool {
        matches!(self.phase, Phase::Calling(_) | Phase::Abandoned(_))
    }

    /// Whether it waits for the answer to a report.
    pub(crate) fn reports(&self) -> bool {
        matches!(self.phase, Phase::Reporting(_) | Phase::Awaiting(_))
    }

    /// `Lane::called`. A job that is given back is no reason to ask for the next one.
    pub(crate) fn report(&self, wants_next: bool) -> Option<Report> {
        match self.phase {
            Phase::Reporting(outcome) if outcome != Outcome::NotMade || !wants_next => {
                Some(Report {
                    lane: self.id,
                    id: self.at,
                    outcome,
                    wants_next,
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
    /// A dispatch begins a lane. The first delivery is what pg_net is for; each one after it is a mishap.
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
            s.begin_call(lane, id);
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
    pub(crate) fn begin_call(&mut self, lane: LaneId, id: CallId) {
        if let Some(sent) = self.net.get_mut(&lane.dispatch) {
            sent.called += 1;
        }
        self.call(lane, id, Answer::First);
    }

    /// A lane calls the target, if it lives.
    pub(crate) fn call(&mut self, id: LaneId, at: CallId, answer: Answer) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.id == id) {
            lane.at = at;
            lane.phase = Phase::Calling(answer);
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
            // It did not run after all.
            self.witness.runs[usize::from(lane.at.job)] -= 1;
        }
        self.set_phase(id, Phase::Reporting(outcome));
        Some(())
    }

    /// Nobody waits for the request of a lane any more, but it is on its way.
    pub(crate) fn leave_request(&mut self, id: LaneId, wants_next: bool) -> Option<()> {
        self.spend_fault()?;
        let request = self.lane(id)?.request(wants_next)?;
        self.late.push(request);
        Some(())
    }
}
