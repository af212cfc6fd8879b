//! How much one run of the function may still take on.
//!
//! The platform kills an isolate at its wall clock, and with it every call that
//! is under way. So a job is asked for only if its whole timeout still fits.
//!
//! What a lane leaves goes on with a dispatch of the database, and pg_net rests for a
//! second between two of its batches. Were the lanes of a run to end together, almost
//! all of their workers would wait for that second; so they end one after the other.

use crate::time::Timestamp;

/// Kept free at the end of the time for reporting the last call, in milliseconds.
const MARGIN_MS: u64 = 5000;

/// What is left, for all lanes of one run together.
#[derive(Debug)]
pub struct Budget {
    ends: Timestamp,
    jobs: u32,
    jobs_left: u32,
    lanes: u32,
    /// Those that were not told to end.
    lanes_left: u32,
}

impl Budget {
    /// A budget of `time_ms` from the start of the isolate, and of `jobs` more jobs for `lanes`.
    pub fn new(isolate_started: Timestamp, time_ms: u64, jobs: u32, lanes: u32) -> Self {
        Self {
            ends: isolate_started.plus(time_ms),
            jobs,
            jobs_left: jobs,
            lanes,
            lanes_left: lanes,
        }
    }

    /// Nothing more from now on: the isolate is about to end.
    pub fn stop(&mut self) {
        self.ends = Timestamp::from_ms(0);
        self.jobs_left = 0;
    }

    /// Takes one job out of the budget for a lane; false if that is to end.
    ///
    /// From the moment when half of the jobs are left, so many lanes go on as they are
    /// enough for, in proportion; the last one takes the last job.
    pub fn take(&mut self) -> bool {
        let enough_for = (2 * u64::from(self.jobs_left) * u64::from(self.lanes))
            .div_ceil(self.jobs.max(1).into());
        if u64::from(self.lanes_left) > enough_for {
            self.lanes_left -= 1;
            return false;
        }
        let is_left = self.jobs_left > 0;
        self.jobs_left = self.jobs_left.saturating_sub(1);
        is_left
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
        let budget = Budget::new(start, 140_000, 1, 1);
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
            Budget::new(start, u64::MAX, 1, 1).fits_ms(start),
            Some(i32::MAX as u32)
        );
    }

    /// The jobs that were taken when each of the lanes, asking in turn, was told to end.
    fn ends(jobs: u32, lanes: u32) -> Vec<u32> {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, jobs, lanes);
        let (mut taken, mut ends) = (0, Vec::new());
        while ends.len() < lanes as usize {
            match budget.take() {
                true => taken += 1,
                false => ends.push(taken),
            }
        }
        assert!(!budget.take(), "none when all were told to end");
        ends
    }

    #[test]
    fn lanes_end_one_after_the_other_in_the_second_half() {
        let cases = [
            ((0, 1), vec![0]),
            ((2, 1), vec![2]),
            ((8, 4), vec![5, 6, 7, 8]),
            ((1000, 5), vec![600, 700, 800, 900, 1000]),
            ((2, 4), vec![2, 2, 2, 2]),
            ((0, 2), vec![0, 0]),
        ];
        for ((jobs, lanes), want) in cases {
            assert_eq!(ends(jobs, lanes), want, "{jobs} jobs for {lanes} lanes");
        }
    }

    #[test]
    fn nothing_is_left_after_the_end_was_announced() {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, 2, 1);
        budget.stop();
        assert!(!budget.take());
        assert_eq!(budget.fits_ms(Timestamp::from_ms(0)), None);
    }
}
