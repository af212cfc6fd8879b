//! The results as one picture: a diagram for each thing that could grow.

use std::path::Path;

use plotters::prelude::*;

use super::memory::Generation;
use super::result::{Run, Sample, Window};
use super::size::Size;
use crate::Result;
use crate::chart::{Curve, Minutes, curves};

const SIZE: (u32, u32) = (1080, 1200);
const GREEN: RGBColor = RGBColor(30, 150, 100);
const BLUE: RGBColor = RGBColor(45, 100, 200);
const ORANGE: RGBColor = RGBColor(225, 120, 20);
const GREY: RGBColor = RGBColor(130, 130, 130);

/// Writes the picture.
pub(super) fn write(run: &Run, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let parts = area.split_evenly((4, 2));
    let (windows, samples) = (&run.windows, &run.samples);
    let others = |one: &Window| one.disturbance.others * 100.0;
    let stolen = |one: &Window| one.disturbance.stolen * 100.0;
    let diagrams: [(&str, Vec<Curve<'_>>); 8] = [
        (
            "jobs per second",
            vec![
                over(windows, "arrived", GREY, |one| one.arrived_per_second),
                over(windows, "successful", GREEN, |one| {
                    one.successful_per_second
                }),
            ],
        ),
        (
            "latency: from insert to target, ms",
            vec![
                over(windows, "p50", GREEN, |one| ms(one.finished.p50_ms)),
                over(windows, "p95", BLUE, |one| ms(one.finished.p95_ms)),
                over(windows, "p99", ORANGE, |one| ms(one.finished.p99_ms)),
            ],
        ),
        (
            "memory of the functions: their largest process, MB",
            vec![
                at(samples, "supaqueue function", GREEN, |one| {
                    largest(&one.memory.function)
                }),
                at(samples, "target", BLUE, |one| largest(&one.memory.target)),
            ],
        ),
        (
            "memory of the rest, MB",
            vec![
                at(samples, "Postgres without shared buffers", ORANGE, |one| {
                    one.memory.postgres_own_mb
                }),
                at(samples, "gateway", GREY, |one| one.memory.gateway_mb),
            ],
        ),
        (
            "size, MB",
            vec![
                at(samples, "table of jobs", GREEN, |one| {
                    sum(one, true, |size| size.table_mb)
                }),
                at(samples, "its indexes", BLUE, |one| {
                    sum(one, true, |size| size.indexes_mb)
                }),
                at(samples, "other tables, with indexes", ORANGE, |one| {
                    sum(one, false, |size| size.table_mb + size.indexes_mb)
                }),
            ],
        ),
        (
            "dead rows",
            vec![
                at(samples, "of jobs", GREEN, |one| {
                    sum(one, true, |size| number(size.dead_rows))
                }),
                at(samples, "of other tables", ORANGE, |one| {
                    sum(one, false, |size| number(size.dead_rows))
                }),
            ],
        ),
        (
            "jobs that are not finished",
            vec![at(samples, "pending and in progress", GREEN, |one| {
                number(one.backlog)
            })],
        ),
        (
            "what others had of the machine, %",
            vec![
                over(windows, "other programs", GREY, others),
                over(windows, "other machines of the host", ORANGE, stolen),
            ],
        ),
    ];
    let minutes = Minutes {
        all: run.minutes,
        grey: run.warm_up_minutes,
    };
    for (part, (title, lines)) in parts.iter().zip(&diagrams) {
        curves(part, title, minutes, lines)?;
    }
    area.present()?;
    Ok(())
}

fn over<'a>(
    windows: &[Window],
    name: &'a str,
    colour: RGBColor,
    of: impl Fn(&Window) -> f64,
) -> Curve<'a> {
    Curve {
        name,
        colour,
        points: windows.iter().map(|one| (one.minute, of(one))).collect(),
    }
}

fn at<'a>(
    samples: &[Sample],
    name: &'a str,
    colour: RGBColor,
    of: impl Fn(&Sample) -> f64,
) -> Curve<'a> {
    Curve {
        name,
        colour,
        points: samples.iter().map(|one| (one.minute, of(one))).collect(),
    }
}

fn ms(time: Option<f64>) -> f64 {
    time.unwrap_or(0.0)
}

fn largest(processes: &[Generation]) -> f64 {
    let all = processes.iter().map(|one| one.resident_mb);
    all.fold(0.0, f64::max)
}

fn sum(sample: &Sample, is_of_jobs: bool, of: impl Fn(&Size) -> f64) -> f64 {
    let sizes = sample.sizes.iter();
    sizes
        .filter(|size| (size.table == "job") == is_of_jobs)
        .map(of)
        .sum()
}

fn number(rows: i64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rows = rows as f64;
    rows
}
