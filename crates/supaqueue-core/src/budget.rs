//! How much work a run may still take on: time, jobs and bytes.
//!
//! The platform kills an isolate at its wall clock limit, together with every call in flight. So a
//! job is taken only if its whole timeout still fits. The limit on jobs bounds the isolate's processor
//! time. The limit on bytes bounds its memory, which is mostly payloads and copies of them.
//!
//! When a lane ends, its worker's next job comes with a new dispatch, and pg_net pauses for a second
//! between two batches. If the lanes of a run ended together, nearly all of their workers would sit
//! out that second; so they end one by one.

use crate::time::{Timestamp, saturate_to_integer};

/// Reserved at the end for reporting the last call, in milliseconds.
const MARGIN_MS: u64 = 5000;
/// The bytes of payloads in memory, at most. Each is copied about five times on its way.
const BYTES: u64 = 8_000_000;
/// What a lane may always ask for, in bytes: small payloads never wait for large ones.
const SMALL_BYTES: u64 = 64_000;
/// The lanes of a run, at most.
const LANES: usize = 100;

/// The remaining time and jobs of a run, shared by its lanes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Budget {
    ends: Timestamp,
    time_ms: u64,
    jobs: u32,
    jobs_left: u32,
}

impl Budget {
    /// `time_ms` from the start of the isolate, and `jobs` besides those of dispatches.
    /// `u32::MAX` jobs are never used up.
    #[must_use]
    pub fn new(isolate_started: Timestamp, time_ms: u64, jobs: u32) -> Self {
        Self {
            ends: isolate_started.plus(time_ms),
            time_ms,
            jobs,
            jobs_left: jobs,
        }
    }

    /// Leaves nothing: the isolate is about to end.
    pub(crate) fn stop(&mut self) {
        self.ends = Timestamp::from_ms(0);
        self.jobs = 0;
        self.jobs_left = 0;
    }

    /// Begins anew with the jobs: a dispatch came, because workers were free.
    pub(crate) fn refill(&mut self) {
        self.jobs_left = self.jobs;
    }

    /// Takes one job out of the budget for one of `lanes` lanes; false if the lane is to end.
    ///
    /// Once half of the jobs are used up, the number of lanes that continue shrinks in proportion
    /// to the jobs left, from `peak`; the last lane takes the last job.
    pub(crate) fn take(&mut self, lanes: usize, peak: usize) -> bool {
        let may_continue =
            (2 * u64::from(self.jobs_left) * peak as u64).div_ceil(self.jobs.max(1).into());
        if lanes as u64 > may_continue {
            return false;
        }
        self.take_for_pulse()
    }

    /// Takes what a pulse costs that asks for work; false if nothing is left.
    pub(crate) fn take_for_pulse(&mut self) -> bool {
        let is_left = self.jobs_left > 0;
        if self.jobs_left != u32::MAX {
            self.jobs_left = self.jobs_left.saturating_sub(1);
        }
        is_left
    }

    /// The longest timeout that fits into the time left, in milliseconds; None if none does.
    pub(crate) fn fits_ms(&self, now: Timestamp) -> Option<u32> {
        let left = self.ends.since(now).saturating_sub(MARGIN_MS);
        (left > 0).then(|| saturate_to_integer(left))
    }

    /// The longest timeout that fits into a fresh isolate, in milliseconds.
    pub(crate) fn whole_ms(&self) -> u32 {
        saturate_to_integer(self.time_ms.saturating_sub(MARGIN_MS))
    }
}

/// How many more bytes of payloads a run may take that holds, or has asked for, `used` bytes.
pub(crate) const fn bytes_left(used: u64) -> u64 {
    BYTES.saturating_sub(used)
}

/// How many bytes a lane asks for whose last payload had `last` bytes, when `left` are left.
pub(crate) fn bytes_to_ask(left: u64, last: u64) -> u64 {
    left.min(last.saturating_mul(2)).max(SMALL_BYTES)
}

/// How many more lanes a run with `lanes` may have.
pub(crate) fn lanes_left(lanes: usize) -> u32 {
    saturate_to_integer(LANES.saturating_sub(lanes) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_fits_until_the_margin() {
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
            "a clock that was set back does no harm"
        );
        assert_eq!(budget.whole_ms(), 135_000);
        assert_eq!(
            Budget::new(start, u64::MAX, 1).fits_ms(start),
            Some(i32::MAX as u32)
        );
    }

    /// How many jobs were taken when each lane ended, if the lanes take turns.
    fn ends(jobs: u32, lanes: usize) -> Vec<u32> {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, jobs);
        let (mut taken, mut ends) = (0, Vec::new());
        while ends.len() < lanes {
            match budget.take(lanes - ends.len(), lanes) {
                true => taken += 1,
                false => ends.push(taken),
            }
        }
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
    fn an_unlimited_budget_is_never_used_up() {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, u32::MAX);
        let before = budget.clone();
        assert!(budget.take(1, 1));
        assert_eq!(budget, before);
    }

    #[test]
    fn nothing_is_left_once_the_isolate_is_ending() {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, 2);
        budget.stop();
        assert!(!budget.take(1, 1));
        assert!(!budget.take_for_pulse());
        assert_eq!(budget.fits_ms(Timestamp::from_ms(0)), None);
    }

    #[test]
    fn a_dispatch_refills_the_jobs_unless_the_isolate_is_ending() {
        let mut budget = Budget::new(Timestamp::from_ms(0), 1, 1);
        assert!(budget.take_for_pulse());
        assert!(!budget.take_for_pulse());
        budget.refill();
        assert!(budget.take_for_pulse());
        budget.stop();
        budget.refill();
        assert!(!budget.take_for_pulse());
    }

    #[test]
    fn small_payloads_can_always_be_asked_for() {
        for (left, last, want) in [
            (BYTES, 10, 64_000),
            (BYTES, 1_000_000, 2_000_000),
            (BYTES, 5_000_000, BYTES),
            (3_000_000, 5_000_000, 3_000_000),
            (0, 5_000_000, 64_000),
        ] {
            assert_eq!(bytes_to_ask(left, last), want, "{left} left, {last} last");
        }
        assert_eq!(bytes_left(BYTES + 1), 0);
        assert_eq!(lanes_left(LANES + 1), 0);
    }
}
