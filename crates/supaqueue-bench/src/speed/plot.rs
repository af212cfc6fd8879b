//! The results as one picture: efficiency and latency beside growing tables.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::result::Run;
use crate::Result;
use crate::table::grouped;

/// A colour for each number of other jobs.
const COLOURS: [RGBColor; 3] = [
    RGBColor(62, 207, 142),
    RGBColor(36, 130, 92),
    RGBColor(20, 60, 50),
];
const SIZE: (u32, u32) = (960, 400);

/// Writes the picture.
pub(super) fn write(run: &Run, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(SIZE.0 / 2);

    let efficiency: Vec<Vec<f64>> = series(run, |size| {
        size.efficiency.iter().map(|one| one.efficiency).collect()
    });
    let names: Vec<String> = run.sizes.first().map_or_else(Vec::new, |size| {
        let name = |way: &str| if way == "supaqueue" { "" } else { "usual " };
        size.efficiency
            .iter()
            .map(|one| format!("{}{}×{} ms", name(one.way), one.workers, one.call_ms))
            .collect()
    });
    bars(
        &left,
        "jobs/s ÷ (workers ÷ call time)",
        1.0,
        &names,
        &efficiency,
        run,
    )?;

    let latency: Vec<Vec<f64>> = series(run, |size| {
        let three = size.latency.iter();
        three
            .flat_map(|one| [one.p50_ms, one.p95_ms, one.p99_ms])
            .collect()
    });
    let names: Vec<String> = ["idle", "load"]
        .iter()
        .flat_map(|when| ["p50", "p95", "p99"].map(|p| format!("{when} {p}")))
        .collect();
    let top = latency.iter().flatten().copied().fold(10.0, f64::max) * 1.1;
    bars(
        &right,
        "ms from commit to target",
        top,
        &names,
        &latency,
        run,
    )?;
    area.present()?;
    Ok(())
}

fn series(run: &Run, values: impl Fn(&super::result::Size) -> Vec<f64>) -> Vec<Vec<f64>> {
    run.sizes.iter().map(values).collect()
}

/// Groups of bars: a group for each name, in it a bar for each size.
fn bars(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    caption: &str,
    top: f64,
    names: &[String],
    series: &[Vec<f64>],
    run: &Run,
) -> Result<()> {
    let groups = f64::from(u32::try_from(names.len())?);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..groups, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(0)
        .y_labels(6)
        .label_style(("sans-serif", 12))
        .draw()?;
    let bars = f64::from(u32::try_from(series.len().max(1))?);
    for ((number, values), colour) in (0_u32..).zip(series).zip(COLOURS.iter().cycle()) {
        let colour = *colour;
        let label = run
            .sizes
            .get(usize::try_from(number)?)
            .map_or_else(String::new, |size| {
                format!("{} other jobs", grouped(size.other_jobs))
            });
        chart
            .draw_series((0_u32..).zip(values).map(|(group, value)| {
                let from = f64::from(group) + 0.1 + 0.8 * f64::from(number) / bars;
                Rectangle::new([(from, 0.0), (from + 0.8 / bars, *value)], colour.filled())
            }))?
            .label(label)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 10, y + 5)], colour.filled()));
    }
    for (group, name) in (0_u32..).zip(names) {
        let (x, y) = chart.backend_coord(&(f64::from(group) + 0.5, 0.0));
        let (left, above) = area.get_base_pixel();
        let style = ("sans-serif", 11).into_font().into_text_style(area);
        let style = style.pos(plotters::style::text_anchor::Pos::new(
            plotters::style::text_anchor::HPos::Center,
            plotters::style::text_anchor::VPos::Top,
        ));
        area.draw_text(name, &style, (x - left, y - above + 6))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 12))
        .draw()?;
    Ok(())
}
