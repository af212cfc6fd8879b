//! How much one run of the function may still take on.
//!
//! The platform kills an isolate at its wall clock, and with it every call that
//! is under way. So a job is asked for only if its whole timeout still fits.

use crate::time::Timestamp;

/// Kept free at the end of the time for reporting the last call, in milliseconds.
const MARGIN_MS: u64 = 5000;

/// What is left, for all lanes of one run together.
#[derive(Debug)]
pub struct Budget {
    ends: Timestamp,
    jobs_left: u32,
}

impl Budget {
    /// A budget of `time_ms` from the start of the isolate, and of `jobs` more jobs.
    pub fn new(isolate_started: Timestamp, time_ms: u64, jobs: u32) -> Self {
        Self {
            ends: isolate_started.plus(time_ms),
            jobs_left: jobs,
        }
    }

    /// Nothing more from now on: the isolate is about to end.
    pub fn stop(&mut self) {
        self.ends = Timestamp::from_ms(0);
        self.jobs_left = 0;
    }

    /// Takes one job out of the budget; false if there is none left.
    pub fn take(&mut self) -> bool {
        let left = self.jobs_left > 0;
        self.jobs_left = self.jobs_left.saturating_sub(1);
        left
    }

    /// The longest timeout that fits into the time left; None where not even the shortest does.
    pub fn fits_ms(&self, now: Timestamp) -> Option<u32> {
        let left = self.ends.since(now).saturating_sub(MARGIN_MS);
        (left > 0).then(|| left.min(i32::MAX as u64) as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_fits_until_the_margin() {
        let start = Timestamp::from_ms(1_000_000);
        let budget = Budget::new(start, 140_000, 1);
        let cases = [
            (0, Some(135_000)),
            (75_000, Some(60_000)),
            (134_999, Some(1)),
            (135_000, None),
            (999_999, None),
        ];
        for (elapsed, want) in cases {
            assert_eq!(
                budget.fits_ms(start.plus(elapsed)),
                want,
                "after {elapsed} ms"
            );
        }
        assert_eq!(
            budget.fits_ms(Timestamp::from_ms(0)),
            Some(1_135_000),
            "a clock set back does no harm"
        );
        assert_eq!(
            Budget::new(start, u64::MAX, 1).fits_ms(start),
            Some(i32::MAX as u32)
        );
    }

    #[test]
    fn jobs_are_counted() {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, 2);
        assert_eq!(
            [budget.take(), budget.take(), budget.take(), budget.take()],
            [true, true, false, false]
        );
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, 2);
        budget.stop();
        assert!(!budget.take(), "none after the end was announced");
        assert_eq!(
            budget.fits_ms(Timestamp::from_ms(0)),
            None,
            "and no time either"
        );
    }
}
