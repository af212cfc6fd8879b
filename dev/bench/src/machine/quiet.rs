//! Turns of a measurement that says how fast a quiet machine is.

use super::{Disturbance, Moment, computation_ms};
use crate::Result;

/// What others may have of the processors on a quiet machine, as a share.
const OTHERS: f64 = 0.03;
/// How much longer than the fastest one a fixed computation may take on a quiet machine.
const SLOWNESS: f64 = 1.15;

/// How fast the machine is at its quietest, as far as that was seen.
#[derive(Debug)]
pub(crate) struct Quiet {
    fastest_ms: f64,
}

impl Quiet {
    pub(crate) const fn new() -> Self {
        Self {
            fastest_ms: f64::INFINITY,
        }
    }

    /// Takes turns until so many met a quiet machine, but no more than `at_most`; returns those that
    /// met the quietest one, that first, and how many there were.
    ///
    /// A turn is chosen by what others had of the machine meanwhile and by how long a fixed
    /// computation took right before and after it, never by what came out of it.
    pub(crate) async fn turns<T>(
        &mut self,
        wanted: usize,
        at_most: usize,
        mut turn: impl AsyncFnMut() -> Result<T>,
    ) -> Result<(Vec<(T, Disturbance)>, usize)> {
        let mut turns = Vec::new();
        let mut computation_before = computation_ms();
        while turns.len() < at_most {
            let before = Moment::now()?;
            let result = turn().await?;
            let disturbance = Moment::now()?.since(&before);
            let computation_after = computation_ms();
            self.fastest_ms = self
                .fastest_ms
                .min(computation_before)
                .min(computation_after);
            turns.push((
                result,
                Disturbance {
                    computation_ms: Some(computation_before.max(computation_after)),
                    ..disturbance
                },
            ));
            computation_before = computation_after;
            let quiet = turns.iter().filter(|(_, beside)| self.is_quiet(beside));
            if quiet.count() >= wanted {
                break;
            }
        }
        let taken = turns.len();
        turns.sort_by(|(_, one), (_, other)| self.slowness(one).total_cmp(&self.slowness(other)));
        turns.truncate(wanted);
        Ok((turns, taken))
    }

    fn is_quiet(&self, beside: &Disturbance) -> bool {
        beside.sum() <= OTHERS && self.slowness(beside) <= SLOWNESS
    }

    /// How many times as long as on the quietest machine anything takes.
    fn slowness(&self, beside: &Disturbance) -> f64 {
        let computation = beside.computation_ms.map_or(1.0, |ms| ms / self.fastest_ms);
        computation / (1.0 - beside.sum()).max(f64::EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_quiet_where_neither_others_nor_its_host_slow_it_down() {
        let quiet = Quiet { fastest_ms: 10.0 };
        let cases = [
            ((0.0, 0.0, 10.0), true),
            ((0.01, 0.02, 11.0), true),
            ((0.04, 0.0, 10.0), false),
            ((0.0, 0.04, 10.0), false),
            ((0.0, 0.0, 11.6), false),
        ];
        for ((others, stolen, computation), want) in cases {
            let beside = Disturbance {
                others,
                stolen,
                computation_ms: Some(computation),
            };
            assert_eq!(quiet.is_quiet(&beside), want, "{beside}");
        }
    }
}
