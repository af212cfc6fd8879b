//! When a lease can end: the only time that the protocol depends on.

use crate::database::{CallId, CurrentJob};
use crate::lane::{Lane, Origin, Phase};
use crate::protocol::Protocol;
use crate::size::Broken;
use crate::state::State;

impl Protocol {
    /// The lease of a current job ends.
    ///
    /// That is a fault if something that would extend or end the lease is merely slow, and costs nothing
    /// if nothing is left that would. It cannot happen during a call (see the crate's documentation).
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
            Phase::Calling(origin) | Phase::Abandoned(origin) => {
                origin != Origin::RepeatedAnswerWithoutLease
                    && !self.is(Broken::LeaseShorterThanCall)
            }
            _ => false,
        }
    }
}

/// Whether a lane works on it, or will once a dispatch or an answer in transit arrives.
fn is_awaited(s: &State, id: CallId, call: &CurrentJob) -> bool {
    let is_in_transit = s.net.get(&id).is_some_and(|sent| sent.delivered == 0);
    let leads_to_it =
        |lane: &Lane| lane.at == id || lane.reports() && call.previous == Some(lane.at);
    is_in_transit || s.lanes.iter().any(leads_to_it)
}
