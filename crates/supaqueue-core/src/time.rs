//! Moments, and the three ways in which they are written around us.

use core::fmt;

const DAY_S: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A moment: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment `ms` milliseconds after the epoch.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The moment `ms` milliseconds later.
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this moment; 0 where it is not earlier.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads an HTTP date in the one form that is allowed to be sent,
    /// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7).
    pub fn from_http_date(text: &str) -> Option<Self> {
        let mut parts = text.trim().split(' ');
        parts.next()?.strip_suffix(',')?;
        let day = digits(parts.next()?, 2)?;
        let name = parts.next()?;
        let month = MONTHS.iter().position(|m| *m == name)? as i64 + 1;
        let year = digits(parts.next()?, 4)?;
        let time = clock(parts.next()?)?;
        (parts.next() == Some("GMT") && parts.next().is_none()).then_some(())?;
        Self::from_seconds(days(year, month, day)? * DAY_S + time)
    }

    /// Reads a `timestamptz` as `to_jsonb` writes it:
    /// `2026-11-23T07:12:39.123456+00:00`, in whatever zone the session has.
    pub fn from_timestamptz(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T')?;
        let mut parts = date.split('-');
        let (year, month, day) = (
            digits(parts.next()?, 4)?,
            digits(parts.next()?, 2)?,
            digits(parts.next()?, 2)?,
        );
        let hms = clock(time.get(..8)?)?;
        let rest = time.get(8..)?;
        let zone_at = rest.find(['+', '-', 'Z'])?;
        let seconds = days(year, month, day)? * DAY_S + hms - offset(rest.get(zone_at..)?)?;
        Some(Self::from_seconds(seconds)?.plus(fraction_ms(rest.get(..zone_at)?)?))
    }

    fn from_seconds(seconds: i64) -> Option<Self> {
        u64::try_from(seconds).ok()?.checked_mul(1000).map(Self)
    }
}

/// RFC 3339 in UTC with milliseconds, which `new Date(…)` and every other reader of dates understands.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0 / 1000, self.0 % 1000);
        let (y, m, d) = civil((s / DAY_S as u64) as i64);
        let (h, min, sec) = (s / 3600 % 24, s / 60 % 60, s % 60);
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{sec:02}.{ms:03}Z")
    }
}

fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    text.parse().ok()
}

fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (h, m, s) = (
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
        digits(parts.next()?, 2)?,
    );
    // 60 is a leap second.
    (h < 24 && m < 60 && s <= 60 && parts.next().is_none()).then_some(h * 3600 + m * 60 + s)
}

/// The milliseconds of `.123456`, of `.5` and of nothing.
fn fraction_ms(text: &str) -> Option<u64> {
    let Some(digits) = text.strip_prefix('.') else {
        return text.is_empty().then_some(0);
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| {
        digits
            .bytes()
            .chain(*b"00")
            .take(3)
            .fold(0, |ms, b| ms * 10 + u64::from(b - b'0'))
    })
}

fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let (h, m) = match zone.get(1..)?.split_once(':') {
        Some((h, m)) => (digits(h, 2)?, digits(m, 2)?),
        None => (digits(zone.get(1..)?, 2)?, 0),
    };
    Some(sign * (h * 3600 + m * 60))
}

/// Days from the epoch to a date of the Gregorian calendar, counted in years
/// that begin in March, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(())?;
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468)
}

/// The date of a day since the epoch: the inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn http_dates() {
        let cases = [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thu, 29 Feb 2024 23:59:60 GMT", Some(1_709_251_200)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sunday, 06-Nov-94 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("", None),
        ];
        for (input, want) in cases {
            assert_eq!(
                Timestamp::from_http_date(input).map(Timestamp::seconds),
                want,
                "{input}"
            );
        }
    }

    #[test]
    fn timestamptz_as_postgres_writes_it() {
        // The right-hand sides are Postgres' own: extract(epoch from …) * 1000.
        let cases = [
            ("2026-11-23T07:12:39.123456+00:00", Some(1_795_417_959_123)),
            ("2026-11-23T07:12:39+00:00", Some(1_795_417_959_000)),
            ("2026-11-23T07:12:39.5+00:00", Some(1_795_417_959_500)),
            ("2026-11-23T08:12:39.25+01:00", Some(1_795_417_959_250)),
            ("2026-11-23T03:42:39-03:30", Some(1_795_417_959_000)),
            ("2026-11-23T07:12:39Z", Some(1_795_417_959_000)),
            ("infinity", None),
            ("2026-11-23 07:12:39+00", None),
            ("2026-13-23T07:12:39Z", None),
            ("2026-11-23T07:12:39", None),
            ("2026-11-23T07:12:3é+00:00", None),
        ];
        for (input, want) in cases {
            assert_eq!(
                Timestamp::from_timestamptz(input).map(Timestamp::ms),
                want,
                "{input}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0u64..253_402_300_800_000) {
            let written = Timestamp::from_ms(ms);
            prop_assert_eq!(Timestamp::from_timestamptz(&written.to_string()), Some(written));
        }

        #[test]
        fn no_text_breaks_the_readers(text in ".{0,40}") {
            let _ = Timestamp::from_timestamptz(&text);
            let _ = Timestamp::from_http_date(&text);
        }
    }
}
