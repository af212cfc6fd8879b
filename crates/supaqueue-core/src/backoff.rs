//! How long to wait before calling the database again.

/// Upper bound of the first wait, in milliseconds.
const BASE_MS: u64 = 250;
/// What that bound grows to.
const MAX_MS: u64 = 10_000;
/// Full jitter can come out as zero, and a wait must move the clock.
const MIN_MS: u64 = 50;

/// The wait after the `tries`th failed try, counted from 1: random below a bound
/// that doubles with each try (full jitter), but never less than `retry_after_ms`.
/// `random` is uniform over all of `u64`.
pub(crate) fn wait_ms(tries: u32, random: u64, retry_after_ms: Option<u32>) -> u64 {
    let bound = BASE_MS
        .saturating_mul(1 << tries.saturating_sub(1).min(16))
        .min(MAX_MS);
    let jitter = ((u128::from(random) * u128::from(bound)) >> 64) as u64;
    jitter.max(MIN_MS).max(retry_after_ms.unwrap_or(0).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bound_doubles_up_to_ten_seconds() {
        let bounds: Vec<u64> = (1..=8)
            .map(|tries| wait_ms(tries, u64::MAX, None) + 1)
            .collect();
        assert_eq!(bounds, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        assert_eq!(wait_ms(3, u64::MAX / 2, None), 499, "half of the bound");
        assert_eq!(wait_ms(3, 0, None), 50, "never zero");
        assert_eq!(wait_ms(3, 0, Some(7000)), 7000, "never sooner than asked");
    }

    proptest! {
        #[test]
        fn a_wait_stays_within_its_bounds(tries in any::<u32>(), random in any::<u64>()) {
            prop_assert!((MIN_MS..=MAX_MS).contains(&wait_ms(tries, random, None)));
        }
    }
}
