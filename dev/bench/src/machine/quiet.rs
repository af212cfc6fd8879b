//! Repeats a measurement until the machine is quiet.

use super::{CpuSnapshot, Noise, reference_ms};
use crate::Result;

/// The fraction of CPU time that others may use on a quiet machine.
const MAX_NOISE: f64 = 0.03;
/// How much slower the reference computation may be than its fastest run on a quiet machine.
const MAX_SLOWDOWN: f64 = 1.15;

/// The fastest speed of the machine seen so far.
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

    /// Repeats a measurement until `wanted` runs met a quiet machine, but at most `at_most` times.
    /// Returns the `wanted` quietest runs, quietest first, and the number of all runs.
    ///
    /// Runs are selected by the CPU use of others and by the time of the reference computation before
    /// and after them, never by their result.
    pub(crate) async fn runs<T>(
        &mut self,
        wanted: usize,
        at_most: usize,
        mut run: impl AsyncFnMut() -> Result<T>,
    ) -> Result<(Vec<(T, Noise)>, usize)> {
        let mut runs = Vec::new();
        let mut reference_before = reference_ms();
        while runs.len() < at_most {
            let before = CpuSnapshot::now()?;
            let result = run().await?;
            let noise = CpuSnapshot::now()?.since(&before);
            let reference_after = reference_ms();
            self.fastest_ms = self.fastest_ms.min(reference_before).min(reference_after);
            runs.push((
                result,
                Noise {
                    reference_ms: Some(reference_before.max(reference_after)),
                    ..noise
                },
            ));
            reference_before = reference_after;
            let quiet = runs.iter().filter(|(_, noise)| self.is_quiet(noise));
            if quiet.count() >= wanted {
                break;
            }
        }
        let number = runs.len();
        runs.sort_by(|(_, a), (_, b)| self.slowdown(a).total_cmp(&self.slowdown(b)));
        runs.truncate(wanted);
        Ok((runs, number))
    }

    fn is_quiet(&self, noise: &Noise) -> bool {
        noise.sum() <= MAX_NOISE && self.slowdown(noise) <= MAX_SLOWDOWN
    }

    /// The estimated factor by which everything was slower than on the quietest machine.
    fn slowdown(&self, noise: &Noise) -> f64 {
        let reference = noise.reference_ms.map_or(1.0, |ms| ms / self.fastest_ms);
        reference / (1.0 - noise.sum()).max(f64::EPSILON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_quiet_if_neither_processes_nor_the_host_slow_it_down() {
        let quiet = Quiet { fastest_ms: 10.0 };
        let cases = [
            ((0.0, 0.0, 10.0), true),
            ((0.01, 0.02, 11.0), true),
            ((0.04, 0.0, 10.0), false),
            ((0.0, 0.04, 10.0), false),
            ((0.0, 0.0, 11.6), false),
        ];
        for ((others, steal, reference), want) in cases {
            let noise = Noise {
                others,
                steal,
                reference_ms: Some(reference),
            };
            assert_eq!(quiet.is_quiet(&noise), want, "{noise}");
        }
    }
}
