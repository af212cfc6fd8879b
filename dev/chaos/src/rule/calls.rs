//! Rules that hold what the targets saw against the tables.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::facts::JobRow;
use super::{Facts, Rule, Violation};
use crate::log::Call;

/// A call whose caller has gone is noticed later than it happened: by so much at most.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// Each job with its calls.
fn jobs(facts: &Facts) -> impl Iterator<Item = (&String, &JobRow, &[Call])> {
    facts.rows.iter().map(|(id, row)| {
        let calls = facts.calls.get(id).map(Vec::as_slice).unwrap_or_default();
        (id, row, calls)
    })
}

pub(super) fn once_per_attempt(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, calls) in &facts.calls {
        let mut times = HashMap::<u32, u32>::new();
        for call in calls {
            *times.entry(call.attempt).or_default() += 1;
        }
        for (attempt, times) in times.into_iter().filter(|(_, times)| *times > 1) {
            let what = format!("attempt {attempt} of job {id} called its target {times} times");
            found.push(Violation::new(Rule::OncePerAttempt, what));
        }
    }
    found
}

pub(super) fn repetitions_are_explained(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, row, calls) in jobs(facts) {
        let last = calls.iter().map(|call| call.attempt).max().unwrap_or(0);
        for attempt in (1..last.max(row.attempts)).filter(|attempt| row.error(*attempt).is_none()) {
            let what = format!(
                "job {id} has {} attempts, its target saw attempt {last}, and nothing is recorded of {attempt}: {:?}",
                row.attempts, row.errors
            );
            found.push(Violation::new(Rule::RepetitionsAreExplained, what));
        }
    }
    found
}

pub(super) fn status_is_true(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, row, calls) in jobs(facts) {
        let is_doomed = facts.known.get(id).is_some_and(|job| job.is_doomed);
        if let Err(what) = agree(row, calls, is_doomed) {
            let what = format!("job {id} {what}\n    row: {row:?}\n    calls: {calls:?}");
            found.push(Violation::new(Rule::StatusIsTrue, what));
        }
    }
    found
}

/// Whether a row says what the targets saw.
fn agree(row: &JobRow, calls: &[Call], is_doomed: bool) -> Result<(), String> {
    let call = |attempt| calls.iter().find(|call| call.attempt == attempt);
    if calls.iter().any(|call| call.attempt > row.attempts) {
        return Err("was called in an attempt that it has not".into());
    }
    for attempt in 1..=row.attempts {
        // An entry without a status is a call that was lost somewhere: the target may have seen anything.
        let Some(said) = row
            .error(attempt)
            .and_then(|entry| entry["status"].as_u64())
        else {
            continue;
        };
        let seen = call(attempt).and_then(|call| call.status).map(u64::from);
        if seen != Some(said) {
            return Err(format!(
                "records status {said} of attempt {attempt}, the target {seen:?}"
            ));
        }
    }
    match row.status.as_str() {
        "successful" => {
            if is_doomed {
                return Err("is successful and can only fail".into());
            }
            let Some(last) = call(row.attempts).filter(|call| call.is_success()) else {
                return Err("is successful without a call that succeeded".into());
            };
            if row.http_status != last.status.map(i32::from) {
                return Err("has another HTTP status than its last call".into());
            }
            if row.result["attempt"]
                .as_u64()
                .is_some_and(|of| of != u64::from(row.attempts))
            {
                return Err("has the result of another attempt".into());
            }
        }
        "failed" if row.attempts < row.max_attempts => {
            return Err("is failed before its attempts are spent".into());
        }
        "failed" if row.error(row.attempts).is_none() => {
            return Err("is failed, and its last attempt is not recorded".into());
        }
        "cancelled" if !calls.is_empty() => return Err("is cancelled and was called".into()),
        _ => {}
    }
    Ok(())
}

pub(super) fn within_workers(facts: &Facts) -> Vec<Violation> {
    let mut by_queue = HashMap::<&str, Vec<&Call>>::new();
    for call in facts.calls.values().flatten() {
        by_queue.entry(&call.queue).or_default().push(call);
    }
    let mut found = Vec::new();
    for (queue, calls) in by_queue {
        let workers = facts.workers.get(queue).copied().unwrap_or(0);
        let most = most_at_once(&calls);
        if most > workers {
            let what = format!("{queue} had {most} calls at once, and has {workers} workers");
            found.push(Violation::new(Rule::WithinWorkers, what));
        }
    }
    for (id, calls) in &facts.calls {
        if most_at_once(&calls.iter().collect::<Vec<_>>()) > 1 {
            let what = format!("job {id} was called twice at once");
            found.push(Violation::new(Rule::WithinWorkers, what));
        }
    }
    found
}

/// When a call was over at the latest. One that was cut off had been over for a while when the
/// target noticed.
fn end(call: &Call) -> Option<Instant> {
    let end = call.ended?;
    match call.is_cut {
        true => Some(end.checked_sub(NOTICED_WITHIN)?.max(call.begun)),
        false => Some(end),
    }
}

/// How many calls were under way at once, at most.
fn most_at_once(calls: &[&Call]) -> usize {
    let mut changes: Vec<(Instant, isize)> = Vec::new();
    for call in calls {
        changes.push((call.begun, 1));
        changes.extend(end(call).map(|end| (end, -1)));
    }
    // At the same moment, an end comes first.
    changes.sort();
    let mut now = 0;
    let counts = changes.iter().map(|(_, change)| {
        now += change;
        now
    });
    counts.max().unwrap_or(0).unsigned_abs()
}

pub(super) fn in_order(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    for (id, job) in &facts.known {
        let Some(first) = facts.calls.get(id).and_then(|calls| calls.first()) else {
            continue;
        };
        for source in &job.sources {
            let succeeded =
                facts.calls.get(source).into_iter().flatten().any(|call| {
                    call.is_success() && end(call).is_some_and(|end| end <= first.begun)
                });
            if !succeeded {
                let what = format!("job {id} was called before its source {source} succeeded");
                found.push(Violation::new(Rule::InOrder, what));
            }
        }
    }
    found
}
