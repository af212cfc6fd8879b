//! Charts as SVG, each with a table of the same numbers.
//!
//! The drawing is stretched to the width of its place, so it contains no text; names and numbers are HTML around it.

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::context::Context;
use crate::error::Error;
use crate::{text, time};

/// The size of a drawing, in its own units.
const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

/// What is charted: how far back, and in which steps.
#[derive(Debug, PartialEq)]
pub(crate) struct Period {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) since: &'static str,
    pub(crate) step: &'static str,
    time_format: &'static str,
}

pub(crate) const PERIODS: [Period; 4] = [
    Period {
        name: "1h",
        label: "1 hour",
        since: "1 hour",
        step: "1 minute",
        time_format: "%H:%M",
    },
    Period {
        name: "24h",
        label: "24 hours",
        since: "1 day",
        step: "30 minutes",
        time_format: "%H:%M",
    },
    Period {
        name: "7d",
        label: "7 days",
        since: "7 days",
        step: "3 hours",
        time_format: "%b %-d, %H:%M",
    },
    Period {
        name: "30d",
        label: "30 days",
        since: "30 days",
        step: "12 hours",
        time_format: "%b %-d, %H:%M",
    },
];

impl Period {
    /// The period of the many small charts of a page: a day at most, as they would read a row per minute of each queue.
    pub(crate) fn of_sparks(&self) -> &'static Self {
        match self.name {
            "1h" => &PERIODS[0],
            _ => &PERIODS[1],
        }
    }

    /// The period that a page's address names.
    pub(crate) fn of_page(context: &Context) -> &'static Self {
        Self::of(context.query.get("period"))
    }

    /// Links to the same page with other periods.
    pub(crate) fn choice(&self, context: &Context) -> Markup {
        html! {
            div.segments role="group" aria-label="Period" {
                @for period in &PERIODS {
                    a href=(context.link_with("period", Some(period.name))) aria-current=[(period == self).then_some("true")] { (period.label) }
                }
            }
        }
    }

    /// The period of a name, else the last hour.
    pub(crate) fn of(name: Option<&str>) -> &'static Self {
        let named = PERIODS.iter().find(|period| Some(period.name) == name);
        named.unwrap_or(&PERIODS[0])
    }
}

const QUERY: &str = include_str!("chart.sql");

/// The numbers of one place.
#[derive(Debug, Deserialize)]
pub(crate) struct Charts {
    pub(crate) points: Vec<Point>,
    /// Over the whole period: the median and the 95th percentile, in milliseconds.
    pub(crate) wait: [Option<f64>; 2],
    pub(crate) run: [Option<f64>; 2],
}

/// One step.
#[derive(Debug, Deserialize)]
pub(crate) struct Point {
    at: String,
    pub(crate) succeeded: i64,
    pub(crate) failed: i64,
    pub(crate) cancelled: i64,
    pub(crate) retried: i64,
    wait: [Option<f64>; 2],
    run: [Option<f64>; 2],
}

/// What a bar is a stack of: its name, its class, its number.
struct Series {
    name: &'static str,
    class: &'static str,
    of: fn(&Point) -> i64,
}

const ENDED: [Series; 3] = [
    Series {
        name: "failed",
        class: "bar-failed",
        of: |point| point.failed,
    },
    Series {
        name: "cancelled",
        class: "bar-cancelled",
        of: |point| point.cancelled,
    },
    Series {
        name: "successful",
        class: "bar-succeeded",
        of: |point| point.succeeded,
    },
];

const FAILURES: [Series; 2] = [
    Series {
        name: "failed",
        class: "bar-failed",
        of: |point| point.failed,
    },
    Series {
        name: "retried",
        class: "bar-retried",
        of: |point| point.retried,
    },
];

impl Charts {
    /// The charts of a queue, or of all.
    pub(crate) async fn load(
        context: &Context,
        queue: Option<&str>,
        period: &Period,
    ) -> Result<Self, Error> {
        let parameters = [queue, Some(period.since), Some(period.step)];
        context.database().read(QUERY, &parameters).await
    }

    /// The sum of a number over the period.
    pub(crate) fn total(&self, of: fn(&Point) -> i64) -> i64 {
        self.points.iter().map(of).sum()
    }

    /// The four charts.
    pub(crate) fn show(&self, period: &Period) -> Markup {
        html! {
            div.charts {
                (self.bars("ended", "Finished jobs", &ENDED, period))
                (self.bars("failed", "Failed attempts", &FAILURES, period))
                (self.lines("wait", "Wait time", self.wait, |point| point.wait, period))
                (self.lines("run", "Call duration", self.run, |point| point.run, period))
            }
        }
    }

    /// The ended jobs of a queue, small, without anything around.
    pub(crate) fn spark(points: &[[i64; 2]]) -> Markup {
        let most = points.iter().map(|point| point.iter().sum::<i64>()).max();
        let most = most.unwrap_or_default();
        let [succeeded, failed] =
            [0, 1].map(|index| -> i64 { points.iter().map(|point: &[i64; 2]| point[index]).sum() });
        let label = format!(
            "{} ended, {} of them failed",
            text::count(succeeded + failed, "job"),
            text::number(failed)
        );
        html! {
            svg.spark viewBox="0 0 600 100" preserveAspectRatio="none" role="img" aria-label=(label) {
                title { (label) }
                path.grid d="M0 100H600" {}
                @if most > 0 {
                    @let classes = ["bar-succeeded", "bar-failed"];
                    @for (index, point) in points.iter().enumerate() {
                        (stack(index, points.len(), most as f64, &[(classes[1], point[1]), (classes[0], point[0])]))
                    }
                }
            }
        }
    }

    fn bars(&self, id: &str, title: &str, series: &[Series], period: &Period) -> Markup {
        let sum = |point: &Point| series.iter().map(|one| (one.of)(point)).sum::<i64>();
        let most = nice(self.points.iter().map(sum).max().unwrap_or_default());
        let totals: Vec<String> = series
            .iter()
            .map(|one| format!("{} {}", text::number(self.total(one.of)), one.name))
            .collect();
        let drawing = html! {
            @for (index, point) in self.points.iter().enumerate() {
                @if sum(point) > 0 {
                    g {
                        title {
                            (time_of(point, period))
                            @for one in series { @if (one.of)(point) > 0 { ": " (text::number((one.of)(point))) " " (one.name) } }
                        }
                        (hit(index, self.points.len()))
                        (stack(index, self.points.len(), most as f64, &series.iter().map(|one| (one.class, (one.of)(point))).collect::<Vec<_>>()))
                    }
                }
            }
        };
        let table = html! {
            thead { tr {
                th scope="col" { "From (UTC)" }
                @for one in series { th.number scope="col" { (one.name) } }
            } }
            tbody {
                @for point in &self.points {
                    tr { th scope="row" { (time_of(point, period)) } @for one in series { td.number { (text::number((one.of)(point))) } } }
                }
            }
        };
        let legend = html! {
            @for (one, total) in series.iter().zip(&totals).rev() {
                span.legend { svg viewBox="0 0 14 8" aria-hidden="true" { rect class=(one.class) width="14" height="8" rx="2" {} } (total) }
            }
        };
        self.figure(
            id,
            title,
            &totals.join(", "),
            &legend,
            &text::number(most),
            period,
            &drawing,
            &table,
        )
    }

    fn lines(
        &self,
        id: &str,
        title: &str,
        over_all: [Option<f64>; 2],
        of: fn(&Point) -> [Option<f64>; 2],
        period: &Period,
    ) -> Markup {
        let values = self.points.iter().flat_map(of).flatten();
        let most = nice_ms(values.fold(0.0, f64::max));
        let of_all = |index: usize| over_all[index].map_or_else(|| "–".into(), time::duration);
        let (median, high) = (
            format!("median {}", of_all(0)),
            format!("p95 {}", of_all(1)),
        );
        let drawing = html! {
            @for (index, point) in self.points.iter().enumerate() {
                @if let [Some(median), Some(high)] = of(point) {
                    g {
                        title { (time_of(point, period)) ": median " (time::duration(median)) ", p95 " (time::duration(high)) }
                        (hit(index, self.points.len()))
                    }
                }
            }
            path.line-middle d=(self.path(|point| of(point)[0], most)) {}
            path.line-high d=(self.path(|point| of(point)[1], most)) {}
        };
        let cell = |value: Option<f64>| value.map_or_else(|| "–".into(), time::duration);
        let table = html! {
            thead { tr { th scope="col" { "From (UTC)" } th.number scope="col" { "Median" } th.number scope="col" { "p95" } } }
            tbody {
                @for point in &self.points {
                    @let [median, high] = of(point);
                    tr { th scope="row" { (time_of(point, period)) } td.number { (cell(median)) } td.number { (cell(high)) } }
                }
            }
        };
        let legend = html! {
            span.legend { svg viewBox="0 0 14 8" aria-hidden="true" { path.line-high d="M1 4H13" {} } (high) }
            span.legend { svg viewBox="0 0 14 8" aria-hidden="true" { path.line-middle d="M1 4H13" {} } (median) }
        };
        self.figure(
            id,
            title,
            &format!("{median}, {high}"),
            &legend,
            &time::duration(most),
            period,
            &drawing,
            &table,
        )
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of a figure")]
    fn figure(
        &self,
        id: &str,
        title: &str,
        summary: &str,
        legend: &Markup,
        most: &str,
        period: &Period,
        drawing: &Markup,
        table: &Markup,
    ) -> Markup {
        let first = self.points.first().map(|point| time_of(point, period));
        html! {
            figure.chart id=(format!("chart-{id}")) {
                figcaption { h3 { (title) } (legend) }
                div.plot {
                    span.most aria-hidden="true" { (most) }
                    svg viewBox="0 0 600 100" preserveAspectRatio="none" role="img" aria-label=(format!("{title}: {summary}")) {
                        path.grid d="M0 0.5H600M0 50H600M0 99.5H600" {}
                        (drawing)
                    }
                }
                div.axis aria-hidden="true" { span { (first.unwrap_or_default()) " UTC" } span { "now" } }
                details {
                    summary { "Table" }
                    div.table tabindex="0" role="region" aria-label=(format!("{title}, as a table")) {
                        table { caption.hidden { (title) } (table) }
                    }
                }
            }
        }
    }

    /// A line through the values; where there is none, it is interrupted.
    fn path(&self, value: impl Fn(&Point) -> Option<f64>, most: f64) -> String {
        let step = WIDTH / self.points.len().max(1) as f64;
        let values: Vec<Option<f64>> = self.points.iter().map(value).collect();
        let is_at = |index: usize| values.get(index).is_some_and(Option::is_some);
        let mut path = String::new();
        for (index, value) in values.iter().enumerate() {
            let Some(value) = value else { continue };
            let x = step * (index as f64 + 0.5);
            let y = HEIGHT - HEIGHT * (value / most).min(1.0);
            let follows = index > 0 && is_at(index - 1);
            path += &match follows {
                true => format!("L{x:.1} {y:.1}"),
                false if is_at(index + 1) => format!("M{x:.1} {y:.1}"),
                // Alone, a dash.
                false => format!("M{:.1} {y:.1}h4", x - 2.0),
            };
        }
        path
    }
}

/// The parts of a bar, the first one at the bottom.
fn stack(index: usize, of: usize, most: f64, parts: &[(&str, i64)]) -> Markup {
    let step = WIDTH / of as f64;
    let (x, width) = (step * (index as f64 + 0.12), step * 0.76);
    let mut bottom = HEIGHT;
    html! {
        @for (class, number) in parts {
            @if *number > 0 {
                // What is there is seen, however little it is.
                @let height = (HEIGHT * *number as f64 / most).max(1.5);
                @let y = { bottom -= height; bottom };
                rect class=(class) x=(format!("{x:.1}")) y=(format!("{y:.1}")) width=(format!("{width:.1}")) height=(format!("{height:.1}")) {}
            }
        }
    }
}

/// The place of a step over the whole height, which shows its title.
fn hit(index: usize, of: usize) -> Markup {
    let step = WIDTH / of as f64;
    html! { rect.hit x=(format!("{:.1}", step * index as f64)) width=(format!("{step:.1}")) height="100" {} }
}

fn time_of(point: &Point, period: &Period) -> String {
    match point.at.parse::<Timestamp>() {
        Ok(at) => time::format(at, period.time_format),
        Err(_) => point.at.clone(),
    }
}

/// The next larger one of 1, 2, 5, 10, 20, 50, …
fn nice(number: i64) -> i64 {
    let mut step = 1;
    loop {
        for factor in [1, 2, 5] {
            if number <= step * factor {
                return step * factor;
            }
        }
        step *= 10;
    }
}

/// The next larger one of the round durations, in milliseconds.
fn nice_ms(ms: f64) -> f64 {
    let round = [
        10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1e3, 2.5e3, 5e3, 10e3, 30e3, 60e3, 150e3,
    ];
    round.into_iter().find(|most| ms <= *most).unwrap_or(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(succeeded: i64, failed: i64, wait: Option<f64>) -> Point {
        Point {
            at: "2026-11-30T02:20:00+00:00".into(),
            succeeded,
            failed,
            cancelled: 0,
            retried: 0,
            wait: [wait, wait],
            run: [None, None],
        }
    }

    fn charts(points: Vec<Point>) -> Charts {
        Charts {
            points,
            wait: [None, None],
            run: [None, None],
        }
    }

    #[test]
    fn the_scale_is_a_round_number_that_holds_everything() {
        for (number, want) in [(0, 1), (1, 1), (3, 5), (10, 10), (11, 20), (4_321, 5_000)] {
            assert_eq!(nice(number), want);
        }
        for (ms, want) in [(0.0, 10.0), (11.0, 25.0), (200_000.0, 200_000.0)] {
            assert_eq!(nice_ms(ms), want);
        }
    }

    #[test]
    fn bars_stand_on_each_other_and_few_are_still_seen() {
        let markup = stack(1, 2, 1_000.0, &[("a", 500), ("b", 250), ("c", 1), ("d", 0)]);
        let markup = markup.into_string();
        for part in [
            r#"class="a" x="336.0" y="50.0" width="228.0" height="50.0""#,
            r#"class="b" x="336.0" y="25.0" width="228.0" height="25.0""#,
            r#"class="c" x="336.0" y="23.5" width="228.0" height="1.5""#,
        ] {
            assert!(markup.contains(part), "{markup} lacks {part}");
        }
        assert!(!markup.contains("class=\"d\""));
    }

    #[test]
    fn a_line_is_interrupted_where_there_is_no_value() {
        let values = [Some(50.0), Some(100.0), None, Some(0.0)];
        let charts = charts(values.map(|wait| point(1, 0, wait)).into());
        assert_eq!(
            charts.path(|point| point.wait[0], 100.0),
            "M75.0 50.0L225.0 0.0M523.0 100.0h4"
        );
    }

    #[test]
    fn a_chart_says_in_words_what_it_shows() {
        let charts = charts(vec![point(1_000, 2, None), point(234, 0, None)]);
        let markup = charts.show(Period::of(None)).into_string();
        assert!(
            markup
                .contains("aria-label=\"Finished jobs: 2 failed, 0 cancelled, 1,234 successful\""),
            "{markup}"
        );
        assert!(markup.contains("<th scope=\"row\">02:20</th>"));
        assert!(!markup.contains("style="), "the policy forbids it");
    }
}
