//! Rules about what is in the tables.

use super::{Facts, Rule, Violation};

pub(super) fn none_lost(facts: &Facts) -> Vec<Violation> {
    let lost = facts
        .known
        .iter()
        .filter(|(id, job)| job.is_certain && !facts.rows.contains_key(*id))
        .map(|(id, _)| format!("job {id} was committed and is not there"));
    let unknown = facts
        .rows
        .keys()
        .filter(|id| !facts.known.contains_key(*id))
        .map(|id| format!("job {id} is there and nobody inserted it"));
    lost.chain(unknown)
        .map(|what| Violation::new(Rule::NoneLost, what))
        .collect()
}

pub(super) fn none_refused(facts: &Facts) -> Vec<Violation> {
    facts
        .refused
        .iter()
        .map(|what| Violation::new(Rule::NoneRefused, format!("an insert failed: {what}")))
        .collect()
}

pub(super) fn none_stuck(facts: &Facts) -> Vec<Violation> {
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
    jobs.chain(facts.left.iter().cloned())
        .map(|what| Violation::new(Rule::NoneStuck, what))
        .collect()
}

pub(super) fn counts_are_true(facts: &Facts) -> Vec<Violation> {
    facts
        .wrong_counts
        .iter()
        .map(|what| Violation::new(Rule::CountsAreTrue, what.clone()))
        .collect()
}
