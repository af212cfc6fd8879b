//! Rules about the contents of the tables.

use super::Facts;

pub(super) fn none_lost(facts: &Facts) -> Vec<String> {
    let lost = facts
        .inserted
        .iter()
        .filter(|(id, job)| job.is_committed && !facts.rows.contains_key(*id))
        .map(|(id, _)| format!("job {id} was committed but does not exist"));
    let unknown = facts
        .rows
        .keys()
        .filter(|id| !facts.inserted.contains_key(*id))
        .map(|id| format!("job {id} exists but was never inserted"));
    lost.chain(unknown).collect()
}

pub(super) fn none_refused(facts: &Facts) -> Vec<String> {
    let refused = facts.refused.iter();
    refused
        .map(|error| format!("an insert failed: {error}"))
        .collect()
}

pub(super) fn none_stuck(facts: &Facts) -> Vec<String> {
    let jobs = facts
        .rows
        .iter()
        .filter(|(_, row)| !["successful", "failed", "cancelled"].contains(&row.status.as_str()))
        .map(|(id, row)| {
            format!(
                "job {id} is still {} after {} attempts: {:?}",
                row.status, row.attempts, row.errors
            )
        });
    jobs.chain(facts.left.iter().cloned()).collect()
}

pub(super) fn counts_are_true(facts: &Facts) -> Vec<String> {
    facts.wrong_counts.clone()
}
