//! When the lease of a lane's current job ends.
//!
//! The length of a lease is the difference between two times of the database, and
//! counts from now: its clock and ours may differ.

use crate::protocol::{Assignment, CurrentJob};
use crate::time::Timestamp;

/// The lease of a dispatch if the row does not tell, in milliseconds.
const DISPATCH_LEASE_MS: u64 = 15_000;
/// By how much a lease exceeds the call's timeout if nothing tells, in milliseconds.
const GRACE_MS: u64 = 30_000;

/// Of a current job that came with a dispatch.
pub(super) fn end_of_dispatched(assignment: &Assignment, now: Timestamp) -> Timestamp {
    let row = &assignment.current_job;
    now.plus(length_ms(row, row.created_at.as_deref()).unwrap_or(DISPATCH_LEASE_MS))
}

/// Of a current job whose acknowledgement returned `lease_ms`.
pub(super) fn end_of_acknowledged(
    assignment: &Assignment,
    lease_ms: Option<u64>,
    now: Timestamp,
) -> Timestamp {
    now.plus(lease_ms.unwrap_or(assignment.timeout_ms() + GRACE_MS))
}

/// Of a current job that came with the result of a report.
pub(super) fn end_of_next(assignment: &Assignment, now: Timestamp) -> Timestamp {
    let row = &assignment.current_job;
    let lease_ms = length_ms(row, row.acknowledged_at.as_deref());
    end_of_acknowledged(assignment, lease_ms, now)
}

fn length_ms(row: &CurrentJob, start: Option<&str>) -> Option<u64> {
    let start = Timestamp::from_timestamptz(start?)?;
    let end = Timestamp::from_timestamptz(row.lease_until.as_deref()?)?;
    Some(end.since(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    const NOW: Timestamp = Timestamp::from_ms(1_000_000);

    /// With a timeout of 60 s, and times on a clock that is years ahead of [`NOW`].
    fn assignment(current_job: &str) -> Assignment {
        json::from_str(&format!(
            r#"{{"current_job":{{"id":"00000000-0000-4000-8000-000000000001"{current_job}}},
            "job":{{"id":"00000000-0000-4000-8000-000000000002","payload":1,"attempts":1}},
            "queue":{{"name":"q","edge_function_name":"f","timeout_ms":60000,"auth":"none"}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn a_dispatched_job_is_leased_from_its_creation() {
        let row = assignment(
            r#","created_at":"2026-11-23T07:12:39+00:00","lease_until":"2026-11-23T07:12:46.5+00:00""#,
        );
        assert_eq!(end_of_dispatched(&row, NOW), NOW.plus(7500));
        let unknown = assignment(r#","lease_until":"infinity""#);
        assert_eq!(end_of_dispatched(&unknown, NOW), NOW.plus(15_000));
    }

    #[test]
    fn an_acknowledged_job_is_leased_for_what_the_database_returned() {
        let row = assignment("");
        assert_eq!(end_of_acknowledged(&row, Some(9), NOW), NOW.plus(9));
        assert_eq!(end_of_acknowledged(&row, None, NOW), NOW.plus(90_000));
    }

    #[test]
    fn a_next_job_is_leased_from_its_acknowledgement() {
        let row = assignment(
            r#","created_at":"2026-11-23T07:12:00+00:00","acknowledged_at":"2026-11-23T07:12:39+00:00","lease_until":"2026-11-23T07:14:00+00:00""#,
        );
        assert_eq!(end_of_next(&row, NOW), NOW.plus(81_000));
        assert_eq!(end_of_next(&assignment(""), NOW), NOW.plus(90_000));
    }
}
