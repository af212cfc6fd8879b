//! Rules that compare the targets' log with the tables.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::Facts;
use super::facts::JobRow;
use crate::log::Call;

/// The target notices within this time that its caller has disconnected.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// Each job with its row and its calls.
fn jobs(facts: &Facts) -> impl Iterator<Item = (&String, &JobRow, &[Call])> {
    facts.rows.iter().map(|(id, row)| {
        let calls = facts.calls.get(id).map(Vec::as_slice).unwrap_or_default();
        (id, row, calls)
    })
}

pub(super) fn once_per_attempt(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (id, calls) in &facts.calls {
        let mut times = HashMap::<u32, u32>::new();
        for call in calls {
            *times.entry(call.attempt).or_default() += 1;
        }
        for (attempt, times) in times.into_iter().filter(|(_, times)| *times > 1) {
            found.push(format!(
                "attempt {attempt} of job {id} called its target {times} times"
            ));
        }
    }
    found
}

pub(super) fn retries_are_explained(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (id, row, calls) in jobs(facts) {
        let last = calls.iter().map(|call| call.attempt).max().unwrap_or(0);
        for attempt in (1..last.max(row.attempts)).filter(|attempt| row.error(*attempt).is_none()) {
            found.push(format!(
                "job {id} has {} attempts and its target saw attempt {last}, but no error is recorded for attempt {attempt}: {:?}",
                row.attempts, row.errors
            ));
        }
    }
    found
}

pub(super) fn status_is_true(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (id, row, calls) in jobs(facts) {
        let is_doomed = facts.inserted.get(id).is_some_and(|job| job.is_doomed);
        if let Err(detail) = check(row, calls, is_doomed) {
            found.push(format!(
                "job {id} {detail}\n    row: {row:?}\n    calls: {calls:?}"
            ));
        }
    }
    found
}

/// Checks that a row matches what the targets saw.
fn check(row: &JobRow, calls: &[Call], is_doomed: bool) -> Result<(), String> {
    let call = |attempt| calls.iter().find(|call| call.attempt == attempt);
    if calls.iter().any(|call| call.attempt > row.attempts) {
        return Err("was called for an attempt that is not counted".into());
    }
    for attempt in 1..=row.attempts {
        // Without a status, the call or its answer was lost, and the target may have seen anything.
        let Some(recorded) = row
            .error(attempt)
            .and_then(|entry| entry["status"].as_u64())
        else {
            continue;
        };
        let seen = call(attempt).and_then(|call| call.status).map(u64::from);
        if seen != Some(recorded) {
            return Err(format!(
                "records status {recorded} for attempt {attempt}, but the target answered {seen:?}"
            ));
        }
    }
    match row.status.as_str() {
        "successful" => {
            if is_doomed {
                return Err("is successful but can only fail".into());
            }
            let Some(last) = call(row.attempts).filter(|call| call.is_success()) else {
                return Err("is successful without a successful call".into());
            };
            if row.http_status != last.status.map(i32::from) {
                return Err("does not have the HTTP status of its last call".into());
            }
            if row.result["attempt"]
                .as_u64()
                .is_some_and(|of| of != u64::from(row.attempts))
            {
                return Err("has the result of another attempt".into());
            }
        }
        "failed" if row.attempts < row.max_attempts => {
            return Err("failed before using all its attempts".into());
        }
        "failed" if row.error(row.attempts).is_none() => {
            return Err("failed, but the error of its last attempt is not recorded".into());
        }
        "cancelled" if !calls.is_empty() => return Err("is cancelled but was called".into()),
        _ => {}
    }
    Ok(())
}

pub(super) fn within_workers(facts: &Facts) -> Vec<String> {
    let mut by_queue = HashMap::<&str, Vec<&Call>>::new();
    for call in facts.calls.values().flatten() {
        by_queue.entry(&call.queue).or_default().push(call);
    }
    let mut found = Vec::new();
    for (queue, calls) in by_queue {
        let workers = facts.workers.get(queue).copied().unwrap_or(0);
        let peak = max_concurrent(&calls);
        if peak > workers {
            found.push(format!(
                "{queue} had {peak} calls in flight with {workers} workers"
            ));
        }
    }
    for (id, calls) in &facts.calls {
        if max_concurrent(&calls.iter().collect::<Vec<_>>()) > 1 {
            found.push(format!("job {id} had two calls in flight"));
        }
    }
    found
}

/// The earliest time at which a call may have ended: the target notices late that it was cut off.
fn end(call: &Call) -> Option<Instant> {
    let end = call.ended?;
    match call.is_cut {
        true => Some(end.checked_sub(NOTICED_WITHIN)?.max(call.begun)),
        false => Some(end),
    }
}

/// The maximum number of calls in flight at the same time.
fn max_concurrent(calls: &[&Call]) -> usize {
    let mut changes: Vec<(Instant, isize)> = Vec::new();
    for call in calls {
        changes.push((call.begun, 1));
        changes.extend(end(call).map(|end| (end, -1)));
    }
    // Of changes at the same moment, an end comes first.
    changes.sort();
    let mut now = 0;
    let counts = changes.iter().map(|(_, change)| {
        now += change;
        now
    });
    counts.max().unwrap_or(0).unsigned_abs()
}

pub(super) fn in_order(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    for (id, job) in &facts.inserted {
        let Some(first) = facts.calls.get(id).and_then(|calls| calls.first()) else {
            continue;
        };
        for source in &job.sources {
            let succeeded =
                facts.calls.get(source).into_iter().flatten().any(|call| {
                    call.is_success() && end(call).is_some_and(|end| end <= first.begun)
                });
            if !succeeded {
                found.push(format!(
                    "job {id} was called before job {source}, on which it depends, had succeeded"
                ));
            }
        }
    }
    found
}
