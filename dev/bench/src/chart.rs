//! Diagrams.

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;

/// A part of a picture.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";
const SMALL: i32 = 12;
const MARGIN: i32 = 12;

/// Writes a title and a legend. Returns the area below them.
pub(crate) fn heading<'a>(
    area: &Area<'a>,
    title: &str,
    legend: &[(&str, RGBColor)],
) -> Result<Area<'a>> {
    area.draw_text(title, &text(area, 15, HPos::Left), (MARGIN, MARGIN))?;
    let mut x = MARGIN;
    for (name, colour) in legend {
        let y = MARGIN + 24;
        area.draw(&Rectangle::new([(x, y), (x + 10, y + 10)], colour.filled()))?;
        area.draw_text(name, &text(area, SMALL, HPos::Left), (x + 15, y))?;
        // An estimate: the width of a character depends on the reader's browser.
        x += 15 + i32::try_from(name.chars().count())? * SMALL * 3 / 5 + 16;
    }
    Ok(area.margin(MARGIN + 42, 0, 0, 0))
}

fn text<'a>(area: &Area<'_>, size: i32, at: HPos) -> TextStyle<'a> {
    let style = (FONT, size).into_font().into_text_style(area);
    style.pos(Pos::new(at, VPos::Top))
}

/// A line of a diagram.
pub(crate) struct Curve<'a> {
    pub(crate) name: &'a str,
    pub(crate) colour: RGBColor,
    /// Pairs of minute and value.
    pub(crate) points: Vec<(f64, f64)>,
}

/// The time axis of a diagram, in minutes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Minutes {
    pub(crate) all: f64,
    /// The part at the beginning that has a grey background.
    pub(crate) grey: f64,
}

/// Draws values over time.
pub(crate) fn curves(
    area: &Area<'_>,
    title: &str,
    minutes: Minutes,
    curves: &[Curve<'_>],
) -> Result<()> {
    let legend: Vec<_> = curves.iter().map(|one| (one.name, one.colour)).collect();
    let area = heading(area, title, &legend)?;
    let all = curves.iter().flat_map(|curve| &curve.points);
    let top = all.map(|point| point.1).fold(0.0, f64::max);
    // An empty diagram needs some height, too.
    let top = if top > 0.0 { top * 1.08 } else { 1.0 };
    let digits = usize::from(top < 5.0);
    let minute_digits = usize::from(minutes.all < 7.0);
    let mut chart = ChartBuilder::on(&area)
        .margin(MARGIN)
        .margin_top(0)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..minutes.all, 0.0..top)?;
    let grey = Rectangle::new(
        [(0.0, 0.0), (minutes.grey, top)],
        RGBColor(240, 240, 240).filled(),
    );
    chart.draw_series([grey])?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("minutes")
        .x_labels(7)
        .y_labels(6)
        .x_label_formatter(&|minute| format!("{minute:.minute_digits$}"))
        .y_label_formatter(&|value| format!("{value:.digits$}"))
        .label_style((FONT, SMALL))
        .draw()?;
    for curve in curves {
        let style = curve.colour.stroke_width(2);
        chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
    }
    Ok(())
}

/// Draws a group of bars for each name, which may have several lines, with a bar for each series.
pub(crate) fn bars(
    area: &Area<'_>,
    title: &str,
    top: f64,
    names: &[Vec<String>],
    series: &[(String, RGBColor, Vec<f64>)],
) -> Result<()> {
    let legend: Vec<_> = series
        .iter()
        .map(|(name, colour, _)| (name.as_str(), *colour))
        .collect();
    let area = heading(area, title, &legend)?;
    let groups = f64::from(u32::try_from(names.len())?);
    let digits = usize::from(top < 5.0);
    let mut chart = ChartBuilder::on(&area)
        .margin(MARGIN)
        .margin_top(0)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..groups, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(0)
        .y_labels(6)
        .y_label_formatter(&|value| format!("{value:.digits$}"))
        .label_style((FONT, SMALL))
        .draw()?;
    let width = 0.8 / f64::from(u32::try_from(series.len().max(1))?);
    for (number, (_, colour, values)) in (0_u32..).zip(series) {
        chart.draw_series((0_u32..).zip(values).map(|(group, value)| {
            let from = f64::from(group) + 0.1 + width * f64::from(number);
            Rectangle::new([(from, 0.0), (from + width, *value)], colour.filled())
        }))?;
    }
    let (left, above) = area.get_base_pixel();
    let style = text(&area, 11, HPos::Center);
    for (group, name) in (0_u32..).zip(names) {
        let (x, y) = chart.backend_coord(&(f64::from(group) + 0.5, 0.0));
        for (line, words) in (0_i32..).zip(name) {
            area.draw_text(words, &style, (x - left, y - above + 6 + 14 * line))?;
        }
    }
    Ok(())
}
