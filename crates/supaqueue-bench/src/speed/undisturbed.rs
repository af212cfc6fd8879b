//! Measurements that are taken again while something else uses the machine.

use crate::Result;
use crate::machine::{Disturbance, Moment, computation_ms};

/// From this share of the processors on, a measurement is taken again.
const LIMIT: f64 = 0.03;
/// Attempts in all; the least disturbed one counts.
const ATTEMPTS: usize = 3;

/// Measures until the machine is left to it, three times at most; returns the least disturbed result.
pub(super) async fn undisturbed<T>(
    mut measure: impl AsyncFnMut() -> Result<T>,
) -> Result<(T, Disturbance)> {
    let mut best: Option<(T, Disturbance)> = None;
    for _ in 0..ATTEMPTS {
        let computation = computation_ms();
        let before = Moment::now()?;
        let result = measure().await?;
        let mut disturbance = Moment::now()?.since(&before);
        disturbance.computation_ms = Some(computation.max(computation_ms()));
        if best
            .as_ref()
            .is_none_or(|(_, least)| disturbance.sum() < least.sum())
        {
            best = Some((result, disturbance));
        }
        if disturbance.sum() <= LIMIT {
            break;
        }
        println!("  disturbed: {disturbance}");
    }
    best.ok_or_else(|| "nothing was measured".into())
}
