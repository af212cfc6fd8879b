//! What must be true of every job after a fault, from the targets' log and the tables.

mod calls;
mod facts;
mod tables;

use std::fmt;

pub use facts::{Facts, JobRow};

/// A promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Every job that was inserted is there, and none that was not.
    NoneLost,
    /// No insert fails for Supaqueue's sake.
    NoneRefused,
    /// Every job has ended, and no worker is taken.
    NoneStuck,
    /// A job's status and attempts are what its target answered.
    StatusIsTrue,
    /// Never more calls at once than the queue has workers, nor two of one job.
    WithinWorkers,
    /// An attempt calls the target once, however often it was dispatched.
    OncePerAttempt,
    /// A call after the first follows an attempt that is recorded as failed or lost.
    RepetitionsAreExplained,
    /// The counters say what counting says.
    CountsAreTrue,
    /// A job of a pipeline is called after its sources have succeeded.
    InOrder,
    /// What a fault itself expects.
    AsExpected,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How it was seen.
    pub what: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self {
            rule,
            what: what.into(),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.rule, self.what)
    }
}

impl Facts {
    /// Everything that is wrong.
    pub fn violations(&self) -> Vec<Violation> {
        [
            tables::none_lost,
            tables::none_refused,
            tables::none_stuck,
            tables::counts_are_true,
            calls::once_per_attempt,
            calls::repetitions_are_explained,
            calls::status_is_true,
            calls::within_workers,
            calls::in_order,
        ]
        .iter()
        .flat_map(|rule| rule(self))
        .collect()
    }
}

#[cfg(test)]
mod tests;
