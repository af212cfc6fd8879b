//! Time, where the protocol depends on it: when a lease can end.

use crate::database::{CallId, CurrentJob};
use crate::function::{Answer, Lane, Phase};
use crate::protocol::Protocol;
use crate::size::Broken;
use crate::state::State;

impl Protocol {
    /// The lease of a current job is over.
    ///
    /// That costs nothing where nobody is left to do what it waits for; where somebody is, who must be slow
    /// then, it is a mishap. A call in flight forbids it (see the crate's documentation).
    pub(crate) fn end_lease(&self, s: &mut State, id: CallId) -> Option<()> {
        let call = *s.db.calls.get(&id)?;
        if call.is_lease_over || s.db.is_call_held(id) || self.is(Broken::NoLease) {
            return None;
        }
        let mut lanes = s.lanes.iter().filter(|lane| lane.at == id);
        if lanes.any(|lane| self.is_covered(lane)) {
            return None;
        }
        if is_awaited(s, id, &call) {
            s.spend_fault()?;
        }
        s.db.calls.get_mut(&id)?.is_lease_over = true;
        Some(())
    }

    /// Whether the lane's call ends before its lease.
    fn is_covered(&self, lane: &Lane) -> bool {
        match lane.phase {
            Phase::Calling(answer) | Phase::Abandoned(answer) => {
                answer != Answer::RepeatedWithoutLease && !self.is(Broken::LeaseShorterThanCall)
            }
            _ => false,
        }
    }
}

/// Whether there is a lane at it, or a dispatch or an answer on its way that leads to one.
fn is_awaited(s: &State, id: CallId, call: &CurrentJob) -> bool {
    let is_on_its_way = s.net.get(&id).is_some_and(|sent| sent.delivered == 0);
    let leads_to_it =
        |lane: &Lane| lane.at == id || lane.reports() && call.previous == Some(lane.at);
    is_on_its_way || s.lanes.iter().any(leads_to_it)
}
