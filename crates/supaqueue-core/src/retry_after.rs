//! The `retry-after` header (RFC 9110, section 10.2.3).

use crate::time::{Timestamp, fraction_ms, saturate_to_integer};

/// How long to wait, in milliseconds from `now`. None if the header is malformed.
///
/// The RFC allows whole seconds or a date; real APIs also send fractions of a
/// second. If two headers were merged into a list, the longest wait counts: the
/// sender of either may not be called before.
pub(crate) fn retry_after_ms(value: &str, now: Timestamp) -> Option<u32> {
    // This also splits a date after its day of the week, which is not needed.
    let parts = value.split(',').map(str::trim);
    let waits = parts.filter_map(|part| {
        let date = || Timestamp::from_http_date(part);
        seconds_as_ms(part).or_else(|| date().map(|date| date.since(now)))
    });
    waits.max().map(saturate_to_integer)
}

fn seconds_as_ms(value: &str) -> Option<u64> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, fraction) = value.split_at_checked(digits)?;
    let fraction = fraction_ms(fraction).filter(|_| digits > 0)?;
    // A number that is too large to parse still means a long wait.
    let seconds: u64 = whole.parse().unwrap_or(u64::MAX);
    Some(seconds.saturating_mul(1000).saturating_add(fraction))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_ms(784_111_777_000);

    #[test]
    fn seconds_and_dates_are_understood() {
        let cases = [
            ("0", Some(0)),
            (" 120 ", Some(120_000)),
            ("299.997", Some(299_997)),
            ("1.5", Some(1500)),
            ("0.0004", Some(0)),
            ("99999999999999999999999", Some(i32::MAX as u32)),
            ("Sun, 06 Nov 1994 08:49:38 GMT", Some(1000)),
            ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
            ("Sunday, 06-Nov-94 08:49:38 GMT", Some(1000)),
            ("Sun Nov  6 08:49:38 1994", Some(1000)),
            ("-1", None),
            ("1.", None),
            (".5", None),
            ("1e3", None),
            ("1.5s", None),
            ("soon", None),
            ("", None),
        ];
        for (value, want) in cases {
            assert_eq!(retry_after_ms(value, NOW), want, "{value:?}");
        }
    }

    #[test]
    fn the_longest_of_merged_values_counts() {
        let cases = [
            ("120, 60", Some(120_000)),
            ("60,120", Some(120_000)),
            ("soon, 60", Some(60_000)),
            ("1, Sun, 06 Nov 1994 08:49:39 GMT", Some(2000)),
            ("Sunday, 06-Nov-94 08:49:38 GMT, 3", Some(3000)),
            (
                "Sun, 06 Nov 1994 08:49:38 GMT, Sun, 06 Nov 1994 08:49:39 GMT",
                Some(2000),
            ),
            (",", None),
        ];
        for (value, want) in cases {
            assert_eq!(retry_after_ms(value, NOW), want, "{value:?}");
        }
    }
}
