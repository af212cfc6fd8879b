//! The results as a page of diagrams, one for everything that could grow.

use std::path::Path;

use plotters::prelude::*;

use super::memory::Generation;
use super::result::{Run, Sample, Window};
use super::size::{dead_rows, job_indexes_mb, job_table_mb, other_tables_mb};
use crate::Result;
use crate::chart::{Curve, Minutes, curves};

const SIZE: (u32, u32) = (1080, 1200);
const GREEN: RGBColor = RGBColor(30, 150, 100);
const BLUE: RGBColor = RGBColor(45, 100, 200);
const ORANGE: RGBColor = RGBColor(225, 120, 20);
const GREY: RGBColor = RGBColor(130, 130, 130);

/// Writes the diagrams.
pub(super) fn write(run: &Run, path: &Path) -> Result<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let parts = area.split_evenly((4, 2));
    let window = |name, colour, value: fn(&Window) -> f64| Curve {
        name,
        colour,
        points: run
            .windows
            .iter()
            .map(|one| (one.minute, value(one)))
            .collect(),
    };
    let sample = |name, colour, value: fn(&Sample) -> f64| Curve {
        name,
        colour,
        points: run
            .samples
            .iter()
            .map(|one| (one.minute, value(one)))
            .collect(),
    };
    let diagrams: [(&str, Vec<Curve<'_>>); 8] = [
        (
            "jobs per second",
            vec![
                window("arrived", GREY, |one| one.arrived_per_second),
                window("successful", GREEN, |one| one.successful_per_second),
            ],
        ),
        (
            "latency: from insert to target, ms",
            vec![
                window("p50", GREEN, |one| one.finished.p50_ms.unwrap_or(0.0)),
                window("p95", BLUE, |one| one.finished.p95_ms.unwrap_or(0.0)),
                window("p99", ORANGE, |one| one.finished.p99_ms.unwrap_or(0.0)),
            ],
        ),
        (
            "memory of the functions: largest process, MB",
            vec![
                sample("supaqueue function", GREEN, |one| {
                    largest(&one.memory.function)
                }),
                sample("target", BLUE, |one| largest(&one.memory.target)),
            ],
        ),
        (
            "memory of the rest, MB",
            vec![
                sample("Postgres without shared buffers", ORANGE, |one| {
                    one.memory.postgres_private_mb
                }),
                sample("gateway", GREY, |one| one.memory.gateway_mb),
            ],
        ),
        (
            "size, MB",
            vec![
                sample("job table", GREEN, |one| job_table_mb(&one.sizes)),
                sample("its indexes", BLUE, |one| job_indexes_mb(&one.sizes)),
                sample("other tables, with indexes", ORANGE, |one| {
                    other_tables_mb(&one.sizes)
                }),
            ],
        ),
        (
            "dead rows",
            vec![
                sample("of jobs", GREEN, |one| dead_rows(&one.sizes, true)),
                sample("of other tables", ORANGE, |one| {
                    dead_rows(&one.sizes, false)
                }),
            ],
        ),
        (
            "unfinished jobs",
            vec![sample("pending and in progress", GREEN, |one| one.backlog)],
        ),
        (
            "noise: CPU time, %",
            vec![
                window("other processes", GREY, |one| one.noise.others * 100.0),
                window("steal", ORANGE, |one| one.noise.steal * 100.0),
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

fn largest(processes: &[Generation]) -> f64 {
    let all = processes.iter().map(|one| one.resident_mb);
    all.fold(0.0, f64::max)
}
