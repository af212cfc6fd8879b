//! The rules that every job must satisfy after a fault, according to the targets' log and the tables.

mod calls;
mod facts;
mod tables;

use std::fmt;

pub use facts::{Facts, JobRow};

/// A promise of Supaqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Every inserted job exists, and no other.
    NoneLost,
    /// No insert fails because of Supaqueue.
    NoneRefused,
    /// Every job has finished, and every worker is free.
    NoneStuck,
    /// A job's status and attempts match the answers of its target.
    StatusIsTrue,
    /// A queue never has more calls in flight than workers, and a job never more than one.
    WithinWorkers,
    /// An attempt calls the target at most once, however often it is dispatched.
    OncePerAttempt,
    /// Each attempt before the last one is recorded as failed or lost.
    RetriesAreExplained,
    /// The counters equal the number of rows.
    CountsAreTrue,
    /// A job is called only after the jobs that it depends on have succeeded.
    InOrder,
    /// The supaqueue function does not take more memory than an isolate has.
    WithinMemory,
    /// The injected fault was noticed. A fault without effect tests nothing.
    FaultTookEffect,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The promise.
    pub rule: Rule,
    /// What was observed.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self {
            rule,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.rule, self.detail)
    }
}

/// Describes everything that violates a rule.
type Check = fn(&Facts) -> Vec<String>;

const RULES: [(Rule, Check); 9] = [
    (Rule::NoneLost, tables::none_lost),
    (Rule::NoneRefused, tables::none_refused),
    (Rule::NoneStuck, tables::none_stuck),
    (Rule::CountsAreTrue, tables::counts_are_true),
    (Rule::OncePerAttempt, calls::once_per_attempt),
    (Rule::RetriesAreExplained, calls::retries_are_explained),
    (Rule::StatusIsTrue, calls::status_is_true),
    (Rule::WithinWorkers, calls::within_workers),
    (Rule::InOrder, calls::in_order),
];

impl Facts {
    /// Checks every rule.
    pub fn violations(&self) -> Vec<Violation> {
        let mut violations = Vec::new();
        for (rule, check) in RULES {
            let details = check(self).into_iter();
            violations.extend(details.map(|detail| Violation::new(rule, detail)));
        }
        violations
    }
}

#[cfg(test)]
mod tests;
