//! How much work the lanes of a run may still start.
//!
//! The platform kills an isolate at its wall clock limit, together with every call
//! in flight. So a lane asks for a job only if that job's whole timeout still fits.
//!
//! When a lane ends, its worker's next job comes with a new dispatch, and pg_net
//! pauses for a second between two batches. If the lanes of a run ended together,
//! nearly all of their workers would sit out that second; so they end one by one.

use crate::time::{Timestamp, saturate_to_integer};

/// Reserved at the end for reporting the last call, in milliseconds.
const MARGIN_MS: u64 = 5000;

/// The remaining time and jobs of a run, shared by its lanes.
#[derive(Debug)]
pub(crate) struct Budget {
    ends: Timestamp,
    jobs: u32,
    jobs_left: u32,
    lanes: u32,
    /// Lanes that have not been denied a job yet.
    lanes_left: u32,
}

impl Budget {
    /// `time_ms` from the start of the isolate, and `jobs` more jobs for `lanes` lanes.
    pub(crate) fn new(isolate_started: Timestamp, time_ms: u64, jobs: u32, lanes: u32) -> Self {
        Self {
            ends: isolate_started.plus(time_ms),
            jobs,
            jobs_left: jobs,
            lanes,
            lanes_left: lanes,
        }
    }

    /// Leaves nothing: the isolate is about to end.
    pub(crate) fn stop(&mut self) {
        self.ends = Timestamp::from_ms(0);
        self.jobs_left = 0;
    }

    /// Takes one job out of the budget for a lane; false if the lane is to end.
    ///
    /// Once half of the jobs are used up, the number of lanes that continue shrinks in
    /// proportion to the jobs left; the last lane takes the last job.
    pub(crate) fn take(&mut self) -> bool {
        let may_continue = (2 * u64::from(self.jobs_left) * u64::from(self.lanes))
            .div_ceil(self.jobs.max(1).into());
        if u64::from(self.lanes_left) > may_continue {
            self.lanes_left -= 1;
            return false;
        }
        let is_left = self.jobs_left > 0;
        self.jobs_left = self.jobs_left.saturating_sub(1);
        is_left
    }

    /// The longest timeout that fits into the time left, in milliseconds; None if none does.
    pub(crate) fn fits_ms(&self, now: Timestamp) -> Option<u32> {
        let left = self.ends.since(now).saturating_sub(MARGIN_MS);
        (left > 0).then(|| saturate_to_integer(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_fits_until_the_margin() {
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
            "a clock that was set back does no harm"
        );
        assert_eq!(
            Budget::new(start, u64::MAX, 1, 1).fits_ms(start),
            Some(i32::MAX as u32)
        );
    }

    /// How many jobs were taken when each lane ended, if the lanes take turns.
    fn ends(jobs: u32, lanes: u32) -> Vec<u32> {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, jobs, lanes);
        let (mut taken, mut ends) = (0, Vec::new());
        while ends.len() < lanes as usize {
            match budget.take() {
                true => taken += 1,
                false => ends.push(taken),
            }
        }
        assert!(!budget.take(), "nothing is left when all lanes have ended");
        ends
    }

    #[test]
    fn lanes_end_one_by_one_in_the_second_half() {
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
    fn nothing_is_left_once_the_isolate_is_ending() {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, 2, 1);
        budget.stop();
        assert!(!budget.take());
        assert_eq!(budget.fits_ms(Timestamp::from_ms(0)), None);
    }
}
