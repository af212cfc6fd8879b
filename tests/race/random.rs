//! Random choices that a seed reproduces.

use fastrand::Rng;

/// A generator of random choices.
#[derive(Debug, Clone)]
pub(crate) struct Random(Rng);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// An independent generator for the part of a test with that number.
    pub(crate) fn part(&self, number: u64) -> Self {
        // Multiplied because seeds that differ in few bits begin with similar numbers.
        Self::new(self.0.get_seed() ^ number.wrapping_mul(0xA24B_AED4_963E_E407))
    }

    /// A number from 0 to `end` - 1.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.u64(..end)
    }

    /// True with the given probability in percent.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One element of a list.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        self.0.choice(list).unwrap()
    }
}
