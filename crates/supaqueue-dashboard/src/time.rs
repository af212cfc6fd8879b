//! Times and durations as people read them.

use jiff::Timestamp;
use jiff::fmt::strtime;
use maud::{Markup, html};

/// A time of the database (ISO 8601) as the distance from now, with the exact time (UTC) as its title.
/// What is no time, as `infinity`, is shown as it is.
pub(crate) fn relative(time: &str) -> Markup {
    let Ok(at) = time.parse::<Timestamp>() else {
        return html! { (time) };
    };
    let seconds = at.as_second() - Timestamp::now().as_second();
    html! { time datetime=(at) title=(utc(at)) { (distance(seconds)) } }
}

/// A time of the database as the exact time (UTC).
pub(crate) fn exact(time: &str) -> Markup {
    match time.parse::<Timestamp>() {
        Ok(at) => html! { time datetime=(at) { (utc(at)) } },
        Err(_) => html! { (time) },
    }
}

/// `2026-11-30 02:20:29 UTC`.
pub(crate) fn utc(at: Timestamp) -> String {
    format(at, "%Y-%m-%d %H:%M:%S UTC")
}

/// The time (UTC) by a format of `strftime`.
pub(crate) fn format(at: Timestamp, format: &str) -> String {
    strtime::format(format, at).unwrap_or_else(|_| at.to_string())
}

/// `3 min ago`, `in 2 h`, `now`.
fn distance(seconds: i64) -> String {
    match seconds {
        0 | -1 => "now".into(),
        1.. => format!("in {}", rough(seconds)),
        _ => format!("{} ago", rough(-seconds)),
    }
}

/// The largest unit of a number of seconds.
fn rough(seconds: i64) -> String {
    match seconds {
        ..100 => format!("{seconds} s"),
        100..6_000 => format!("{} min", seconds / 60),
        6_000..172_800 => format!("{} h", seconds / 3_600),
        172_800..63_072_000 => format!("{} d", seconds / 86_400),
        _ => format!("{} years", seconds / 31_536_000),
    }
}

/// A duration in milliseconds: `85 ms`, `1.2 s`, `3.5 min`.
pub(crate) fn duration(ms: f64) -> String {
    match ms {
        ..1_000.0 => format!("{ms:.0} ms"),
        ..10_000.0 => format!("{:.1} s", ms / 1_000.0),
        ..100_000.0 => format!("{:.0} s", ms / 1_000.0),
        ..600_000.0 => format!("{:.1} min", ms / 60_000.0),
        ..6_000_000.0 => format!("{:.0} min", ms / 60_000.0),
        _ => format!("{:.1} h", ms / 3_600_000.0),
    }
}

/// An interval as Postgres writes it, without zeros: `30 s`, `1 day 2 h`.
pub(crate) fn interval(text: &str) -> String {
    let Some((rest, time)) = text
        .rsplit_once(' ')
        .or(Some(("", text)))
        .filter(|(_, time)| time.contains(':'))
    else {
        return text.to_owned();
    };
    let units = ["h", "min", "s"];
    let parts = time.split(':').zip(units).filter_map(|(number, unit)| {
        let number = number.trim_start_matches('0');
        (!number.is_empty()).then(|| format!("{number} {unit}"))
    });
    let parts: Vec<String> = Some(rest.to_owned())
        .filter(|rest| !rest.is_empty())
        .into_iter()
        .chain(parts)
        .collect();
    match parts.is_empty() {
        true => "0 s".into(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_units() {
        for (text, want) in [
            ("00:00:30", "30 s"),
            ("1 day 02:00:00", "1 day 2 h"),
            ("01:30:00", "1 h 30 min"),
            ("7 days", "7 days"),
            ("00:00:00", "0 s"),
        ] {
            assert_eq!(interval(text), want);
        }
    }

    #[test]
    fn distances_have_one_unit() {
        for (seconds, want) in [
            (0, "now"),
            (-5, "5 s ago"),
            (-99, "99 s ago"),
            (-125, "2 min ago"),
            (7_300, "in 2 h"),
            (-259_200, "3 d ago"),
        ] {
            assert_eq!(distance(seconds), want);
        }
    }

    #[test]
    fn durations_have_two_digits_or_more() {
        for (ms, want) in [
            (0.4, "0 ms"),
            (850.0, "850 ms"),
            (1_234.0, "1.2 s"),
            (61_000.0, "61 s"),
            (150_000.0, "2.5 min"),
            (7_200_000.0, "2.0 h"),
        ] {
            assert_eq!(duration(ms), want);
        }
    }

    #[test]
    fn a_time_has_its_exact_form_too() {
        let markup = relative("2020-01-02T03:04:05.678+00:00").into_string();
        assert!(
            markup.contains("title=\"2020-01-02 03:04:05 UTC\""),
            "{markup}"
        );
        assert_eq!(relative("infinity").into_string(), "infinity");
    }
}
