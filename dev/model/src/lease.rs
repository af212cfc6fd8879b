//! When leases can end: the only times that the protocol depends on.

use crate::database::{CallId, CallState, RunNumber};
use crate::protocol::Protocol;
use crate::size::Broken;
use crate::state::State;

impl Protocol {
    /// The lease of a dispatch ends. That is a fault if the dispatch, or its acknowledgement, is merely
    /// slow.
    pub(crate) fn end_lease(&self, s: &mut State, id: CallId) -> Option<()> {
        let call = *s.db.calls.get(&id)?;
        let can_end = call.state == CallState::Sent && !call.is_lease_over;
        if !can_end || s.db.is_call_held(id) || self.is(Broken::NoLease) {
            return None;
        }
        let is_in_transit = s.net.get(&id) == Some(&false);
        if is_in_transit || s.isolates.iter().any(|i| i.brought.contains(&id)) {
            s.spend_fault()?;
        }
        s.db.calls.get_mut(&id)?.is_lease_over = true;
        Some(())
    }

    /// The lease of a run ends, and the tick marks the run as over. That happens only after the run's own
    /// deadline (see the crate's documentation), so it has ended, and so have its calls.
    pub(crate) fn end_run_lease(&self, s: &mut State, run: RunNumber) -> Option<()> {
        if s.db.is_run_over(run) || s.db.is_run_held(run) || self.is(Broken::NoLease) {
            return None;
        }
        let may_live = |is_late: bool| is_late || self.is(Broken::LeaseShorterThanDeadline);
        let mut isolates = s.isolates.iter().filter(|i| i.number == run);
        if isolates.any(|isolate| !may_live(isolate.is_late)) {
            return None;
        }
        let has_call = s.abandoned.iter().any(|call| call.run == run);
        if has_call && !self.is(Broken::AbortsLate) {
            return None;
        }
        s.db.runs.get_mut(&run)?.is_over = true;
        if self.is(Broken::TakesBackOnce) {
            for call in s.db.calls.values_mut() {
                call.is_lease_over |= call.run == Some(run);
            }
        }
        Some(())
    }
}
