//! What `supaqueue status` prints.

use console::Style;
use jiff::Timestamp;
use serde_json::Value;

use super::table::{self, Column};
use super::{Detail, Hour, Percentiles, Problem, Queue, Status, moment};
use crate::text::{
    Rows, cut, duration, moment_and_age, number, printable, sparkline, with_remedy, wrap,
};

/// The status as text, with at most so many lines.
pub(super) fn text(
    status: &Status,
    project: &str,
    width: Option<usize>,
    height: Option<usize>,
) -> String {
    let dim = Style::new().dim();
    let title = format!("{}, {} UTC", printable(project), moment(status.at));
    let title = dim.apply_to(wrap(&title, width, 0)).to_string();
    let mut lines: Vec<String> = title.lines().map(str::to_owned).collect();
    for problem in &status.problems {
        lines.extend(of_problem(problem, width).lines().map(str::to_owned));
    }
    if status.problems.is_empty() {
        let ok = Style::new().green().apply_to("ok");
        lines.push(format!("{ok}       no problems"));
    }
    lines.push(String::new());
    match status.queues.as_slice() {
        [] => lines.push("There are no queues.".into()),
        [queue] if queue.detail.is_some() => lines.extend(of_queue(queue, status.at, width)),
        queues => {
            let rows = table::lines(columns(queues), width);
            let room = height.map_or(usize::MAX, |height| height.saturating_sub(lines.len()));
            if rows.len() <= room {
                lines.extend(rows);
            } else {
                let shown = room.saturating_sub(1);
                let left = rows.len() - shown;
                lines.extend(rows.into_iter().take(shown));
                lines.push(dim.apply_to(format!("and {left} more queues")).to_string());
            }
        }
    }
    lines.join("\n")
}

/// Says that what follows is not of now.
pub(super) fn lost(why: &str, at: Timestamp, width: Option<usize>) -> String {
    let style = Style::new().yellow();
    let message = format!("{why}. What follows is of {} UTC.", moment(at));
    with_remedy("lost", &style, &message, None, width) + "\n"
}

fn of_problem(problem: &Problem, width: Option<usize>) -> String {
    let queue = problem
        .queue
        .as_ref()
        .map(|queue| format!("queue {queue}: "));
    let job = problem.job.as_ref().map(|job| format!("job {job}: "));
    let message = [queue, job, Some(problem.problem.clone())];
    let message: String = message.into_iter().flatten().collect();
    let remedy = Some(problem.remedy.as_str());
    with_remedy("problem", &Style::new().red(), &message, remedy, width)
}

fn columns(queues: &[Queue]) -> Vec<Column> {
    let column = |title, is_number, dispensable, group, cell: &dyn Fn(&Queue) -> String| Column {
        title,
        cells: queues.iter().map(cell).collect(),
        is_number,
        dispensable,
        group,
    };
    let count = |title, dispensable, of: &dyn Fn(&Queue) -> i64| {
        column(title, true, dispensable, "", &|queue| number(of(queue)))
    };
    const HOUR: &str = "LAST HOUR, P50/P95";
    let hour = |title, dispensable, of: &dyn Fn(&Hour) -> Option<i64>| {
        column(title, true, dispensable, HOUR, &|queue| {
            number(of(&queue.last_hour).unwrap_or(0))
        })
    };
    let time = |title, dispensable, of: &dyn Fn(&Hour) -> String| {
        column(
            title,
            true,
            dispensable,
            HOUR,
            &|queue| of(&queue.last_hour),
        )
    };
    let failed = |queue: &Queue| {
        let failed = queue.last_hour.failed.unwrap_or(0);
        let style = if failed > 0 {
            Style::new().red()
        } else {
            Style::new()
        };
        style.apply_to(number(failed)).to_string()
    };
    let columns = [
        (true, column("QUEUE", false, 0, "", &name)),
        (
            queues.iter().any(|queue| queue.name != queue.function),
            column("FUNCTION", false, 6, "", &|queue| {
                printable(&queue.function)
            }),
        ),
        (
            true,
            column("BUSY", true, 0, "", &|queue| {
                format!("{}/{}", queue.busy_workers, queue.workers)
            }),
        ),
        (true, count("DUE", 0, &|queue| queue.due)),
        (
            queues.iter().any(|queue| queue.later > 0),
            count("LATER", 2, &|queue| queue.later),
        ),
        (
            queues.iter().any(|queue| queue.waiting > 0),
            count("WAITING", 3, &|queue| queue.waiting),
        ),
        (true, hour("OK", 0, &|hour| hour.successful)),
        (true, column("FAILED", true, 0, HOUR, &failed)),
        (true, hour("RETRIED", 4, &|hour| hour.retried)),
        (true, hour("CANCELLED", 8, &|hour| hour.cancelled)),
        (true, time("WAIT", 1, &|hour| percentiles(&hour.wait_ms))),
        (true, time("RUN", 1, &|hour| percentiles(&hour.run_ms))),
    ];
    let is_shown = |(is_wanted, column): &(bool, Column)| {
        *is_wanted && !(column.dispensable >= 4 && column.is_number && column.is_empty())
    };
    let shown = columns.into_iter().filter(is_shown);
    shown.map(|(_, column)| column).collect()
}

fn name(queue: &Queue) -> String {
    let name = printable(&queue.name);
    match queue.is_paused {
        true => format!("{name} {}", Style::new().yellow().apply_to("(paused)")),
        false => name,
    }
}

fn percentiles(of: &Percentiles) -> String {
    match (of.p50, of.p95) {
        (Some(p50), Some(p95)) => format!("{}/{}", duration(p50), duration(p95)),
        _ => "-".into(),
    }
}

/// One queue in detail.
fn of_queue(queue: &Queue, now: Timestamp, width: Option<usize>) -> Vec<String> {
    let heading = format!("{} → {}", name(queue), printable(&queue.function));
    let mut rows = Rows {
        lines: Vec::new(),
        width,
    };
    let heading = Style::new().bold().apply_to(wrap(&heading, width, 0));
    rows.add(&heading.to_string());
    let busy = format!("{} of {} busy", queue.busy_workers, queue.workers);
    rows.row("workers", &busy);
    let (due, later) = (number(queue.due), number(queue.later));
    rows.row("pending", &format!("{due} due, {later} later"));
    rows.row("waiting", &number(queue.waiting));
    let held = match queue.held {
        0 => String::new(),
        held => format!(", of which {} are held ready behind a call", number(held)),
    };
    rows.row(
        "in progress",
        &format!("{}{held}", number(queue.in_progress)),
    );
    let hour = &queue.last_hour;
    let of = |count: Option<i64>| number(count.unwrap_or(0));
    let (started, successful, failed) = (of(hour.started), of(hour.successful), of(hour.failed));
    let (cancelled, retried) = (of(hour.cancelled), of(hour.retried));
    rows.row(
        "last hour",
        &format!("{started} started, {successful} successful, {failed} failed, {cancelled} cancelled, {retried} retried"),
    );
    if hour.run_ms.p50.is_some() || hour.wait_ms.p50.is_some() {
        let (wait, run) = (percentiles(&hour.wait_ms), percentiles(&hour.run_ms));
        rows.row("  p50/p95", &format!("wait {wait}, run {run}"));
    }
    if let Some(detail) = &queue.detail {
        of_detail(&mut rows, detail, now);
    }
    rows.lines
}

fn of_detail(rows: &mut Rows, detail: &Detail, now: Timestamp) {
    let minutes = detail.minutes.as_deref().unwrap_or_default();
    let ended: Vec<_> = minutes.iter().map(|minutes| minutes.ended).collect();
    let failed: Vec<_> = minutes.iter().map(|minutes| minutes.failed).collect();
    for (name, numbers, style) in [
        ("  ended", ended, Style::new()),
        ("  failed", failed, Style::new().red()),
    ] {
        let most = numbers.iter().copied().max().unwrap_or(0);
        if most > 0 {
            let bars = style.apply_to(sparkline(&numbers));
            rows.row(
                name,
                &format!("│{bars}│ at most {} in 2 minutes", number(most)),
            );
        }
    }
    if let Some(settings) = settings(detail) {
        rows.row("settings", &settings);
    }
    if let Some(due) = &detail.oldest_due {
        let since = moment_and_age(due.run_at, now);
        let explain = printable(&due.explain);
        rows.row(
            "oldest due",
            &format!("{} since {since}: {explain}", due.id),
        );
    }
    for (at, failure) in detail.failures.iter().enumerate() {
        let text = |text: &str| cut(&printable(text), 200);
        let (jobs, group) = (number(failure.jobs), text(&failure.error_group));
        let last = moment_and_age(failure.last_at, now);
        let message = failure.message.as_deref().map(text);
        let message = message.filter(|message| *message != group);
        let message = message.map_or_else(String::new, |message| format!(": {message}"));
        rows.row(
            if at == 0 { "failures" } else { "" },
            &format!(
                "{jobs} × {group}; last {last}, job {}{message}",
                failure.last_job
            ),
        );
    }
}

/// `max_attempts 5 (default 3)` and so on.
fn settings(detail: &Detail) -> Option<String> {
    let settings = detail.settings.iter().map(|(name, setting)| {
        let text = |key: &str| match setting.get(key) {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) => cut(&printable(text), 100),
            Some(other) => other.to_string(),
        };
        format!("{name} {} (default {})", text("value"), text("default"))
    });
    let settings: Vec<_> = settings.collect();
    (!settings.is_empty()).then(|| settings.join(", "))
}
