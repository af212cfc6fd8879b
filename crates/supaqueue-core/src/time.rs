//! Points in time, and the formats they travel in.

use core::fmt;

const DAY_S: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A point in time: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// `ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0 / 1000
    }

    /// `ms` milliseconds later.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds since `earlier`; 0 if that is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Reads any of the three formats of an HTTP date (RFC 9110, section 5.6.7), with or
    /// without the day of the week. (The `httpdate` crate would be 8 KB of the module.)
    pub(crate) fn from_http_date(text: &str) -> Option<Self> {
        let is_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let parts = text.split([' ', ',', '-']).filter(|part| !part.is_empty());
        let mut parts = parts.skip(if is_number(text) { 0 } else { 1 });
        let mut next = || parts.next();
        // `06 Nov 1994 08:49:37 GMT`, `06-Nov-94 08:49:37 GMT` or `Nov  6 08:49:37 1994`.
        let (a, b, c, d) = (next()?, next()?, next()?, next()?);
        let (day, month, year, time) = if is_number(a) {
            (next()? == "GMT").then_some((a, b, c, d))?
        } else {
            (b, a, d, c)
        };
        let day = digits(day, day.len().min(2))?;
        let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
        let year = match digits(year, 2) {
            Some(year @ 70..) => year + 1900,
            Some(year) => year + 2000,
            None => digits(year, 4)?,
        };
        let seconds = days(year, month, day)? * DAY_S + clock(time)?;
        next().is_none().then(|| Self::from_seconds(seconds))?
    }

    fn from_seconds(seconds: i64) -> Option<Self> {
        u64::try_from(seconds).ok()?.checked_mul(1000).map(Self)
    }
}

/// RFC 3339 in UTC with milliseconds, which `new Date(…)` and every other date parser reads.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, ms) = (self.0 / 1000, self.0 % 1000);
        let (y, m, d) = civil((s / DAY_S as u64) as i64);
        let (h, min, sec) = (s / 3600 % 24, s / 60 % 60, s % 60);
        write!(f, "{y:04}-{m:02}-{d:02}T{h:02}:{min:02}:{sec:02}.{ms:03}Z")
    }
}

/// The earlier of two times, of which either may be missing.
pub(crate) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// The largest value of a Postgres `integer` that is not above `ms`: 24 days at most.
pub(crate) fn saturate_to_integer(ms: u64) -> u32 {
    ms.min(i32::MAX as u64) as u32
}

/// A number of exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|b| b.is_ascii_digit())).then_some(())?;
    text.parse().ok()
}

/// Three numbers of these many digits, separated by `separator`.
fn three(text: &str, separator: char, counts: [usize; 3]) -> Option<[i64; 3]> {
    let mut parts = text.split(separator);
    let mut next = |count| digits(parts.next()?, count);
    let numbers = [next(counts[0])?, next(counts[1])?, next(counts[2])?];
    parts.next().is_none().then_some(numbers)
}

/// Seconds since midnight of `08:49:37`.
fn clock(text: &str) -> Option<i64> {
    let [h, m, s] = three(text, ':', [2, 2, 2])?;
    // 60 is a leap second.
    (h < 24 && m < 60 && s <= 60).then_some(h * 3600 + m * 60 + s)
}

/// Whole milliseconds of a fraction of a second: `.123456`, `.5`, or nothing.
pub(crate) fn fraction_ms(text: &str) -> Option<u64> {
    let Some(digits) = text.strip_prefix('.') else {
        return text.is_empty().then_some(0);
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| {
        let padded = digits.bytes().chain(*b"00").take(3);
        padded.fold(0, |ms, b| ms * 10 + u64::from(b - b'0'))
    })
}

/// Days from the epoch to a date of the Gregorian calendar. Counts years that
/// begin in March, so that the leap day is the last day of one.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then_some(())?;
    let y = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(365 * y + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) + day_of_year - 719_468)
}

/// Year, month and day of a day since the epoch: the inverse of [`days`].
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
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Wed Nov 16 08:49:37 1994", Some(784_975_777)),
            ("06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Thursday, 01-Jan-70 00:00:00 GMT", Some(0)),
            ("Tuesday, 31-Dec-69 00:00:00 GMT", Some(3_155_673_600)),
            ("Thu, 29 Feb 2024 23:59:60 GMT", Some(1_709_251_200)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37", None),
            ("Sun, 06 Nov 1994 24:49:37 GMT", None),
            ("Sun, +6 Nov 1994 08:49:37 GMT", None),
            ("Sun, 6é Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
            ("Sun, 006 Nov 1994 08:49:37 GMT", None),
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

    proptest! {
        /// `httpdate` is the oracle: it writes the preferred format, and the others are made of it.
        #[test]
        fn every_http_date_is_read(s in 0u64..253_402_300_800) {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(s);
            let date = httpdate::fmt_http_date(time);
            let (day, month, year, time) = (&date[5..7], &date[8..11], &date[12..16], &date[17..25]);
            let read = |text: &str| Timestamp::from_http_date(text).map(Timestamp::seconds);
            prop_assert_eq!(read(&date), Some(s));
            let asctime = format!("Sun {month} {:>2} {time} {year}", day.trim_start_matches('0'));
            prop_assert_eq!(read(&asctime), Some(s));
            if (1970..2070).contains(&year.parse::<u16>().unwrap()) {
                let rfc850 = format!("Sunday, {day}-{month}-{} {time} GMT", &year[2..]);
                prop_assert_eq!(read(&rfc850), Some(s));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = Timestamp::from_http_date(&text);
        }
    }
}
