//! The results as a diagram: efficiency and latency at growing table sizes.

use std::path::Path;

use plotters::prelude::*;

use super::report::BASELINE;
use super::result::{Run, Size};
use crate::Result;
use crate::chart::{Area, bars};
use crate::numbers::grouped;

/// A colour for each number of other jobs.
const COLOURS: [RGBColor; 3] = [
    RGBColor(62, 207, 142),
    RGBColor(36, 130, 92),
    RGBColor(20, 60, 50),
];
const SIZE: (u32, u32) = (1080, 420);
/// The right edge of the left diagram.
const MIDDLE: i32 = 560;

/// Writes the diagram.
pub(super) fn write(run: &Run, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.split_horizontally(MIDDLE);
    efficiency(run, &left)?;
    latency(run, &right)?;
    area.present()?;
    Ok(())
}

fn efficiency(run: &Run, area: &Area<'_>) -> Result<()> {
    let Some(first) = run.sizes.first() else {
        return Ok(());
    };
    let names: Vec<Vec<String>> = first
        .efficiency
        .iter()
        .map(|one| {
            let load = format!("{} × {} ms", one.workers, one.call_ms);
            match one.is_baseline {
                false => vec![load],
                true => vec![load, BASELINE.to_owned()],
            }
        })
        .collect();
    let values = series(run, |size| {
        size.efficiency.iter().map(|one| one.efficiency).collect()
    });
    let title = "efficiency: jobs/s ÷ (workers ÷ time of a call)";
    bars(area, title, 1.0, &names, &values)
}

fn latency(run: &Run, area: &Area<'_>) -> Result<()> {
    let Some(first) = run.sizes.first() else {
        return Ok(());
    };
    let names: Vec<Vec<String>> = first
        .latency
        .iter()
        .flat_map(|one| {
            ["p50", "p95", one.highest()].map(|p| vec![p.to_owned(), one.when.to_owned()])
        })
        .collect();
    let values = series(run, |size| {
        let all = size.latency.iter();
        all.flat_map(|one| [one.p50_ms, one.p95_ms, one.p99_ms])
            .collect()
    });
    let all = values.iter().flat_map(|(_, _, values)| values);
    let top = all.copied().fold(10.0, f64::max) * 1.08;
    bars(
        area,
        "latency: from commit to target, ms",
        top,
        &names,
        &values,
    )
}

/// A series of values for each number of other jobs, with its name and colour.
fn series(run: &Run, values: impl Fn(&Size) -> Vec<f64>) -> Vec<(String, RGBColor, Vec<f64>)> {
    let sizes = run.sizes.iter().zip(COLOURS.into_iter().cycle());
    sizes
        .map(|(size, colour)| {
            let name = format!("{} other jobs", grouped(size.other_jobs));
            (name, colour, values(size))
        })
        .collect()
}
