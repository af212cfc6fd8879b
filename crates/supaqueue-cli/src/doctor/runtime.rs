//! Checks a running installation: requests, tick, privileges, jobs.

use anyhow::Result;
use serde::Deserialize;
use supaqueue_files::DatabaseState;

use super::finding::Finding;
use crate::project::database::Database;

/// Two missed ticks of an old pg_cron, which runs them every minute; a newer one does every five
/// seconds.
const LATE_TICK_SECONDS: i64 = 150;

/// More than pg_net sends in a minute.
const MANY_REQUESTS: i64 = 5_000;

#[derive(Deserialize)]
struct Report {
    requests: Option<i64>,
    last_tick: Option<LastTick>,
    privileges: Option<Vec<String>>,
    problems: Option<Vec<Problem>>,
    jobs: Option<Jobs>,
}

#[derive(Deserialize)]
struct LastTick {
    status: String,
    message: Option<String>,
    seconds_ago: i64,
}

#[derive(Deserialize)]
struct Problem {
    what: String,
    remedy: Option<String>,
}

#[derive(Deserialize)]
struct Jobs {
    overdue: i64,
    without_call: i64,
    startable: i64,
    not_dispatched: Vec<String>,
}

/// Runs the checks.
pub(super) async fn examine(database: &Database, state: &DatabaseState) -> Result<Vec<Finding>> {
    let report: Report = database.query(include_str!("runtime.sql")).await?;
    let mut findings = vec![requests(report.requests.unwrap_or(0))];
    findings.push(tick(state, report.last_tick.as_ref()));
    let privileges = report.privileges.unwrap_or_default();
    findings.push(match privileges.is_empty() {
        true => Finding::ok("privileges", "only postgres and service_role have access"),
        false => Finding::failed(
            "privileges",
            privileges.join("; "),
            "Revoke these privileges by hand, or run `supaqueue remove --keep-data` and then `supaqueue install`, which sets the right ones.",
        ),
    });
    let problems = report.problems.unwrap_or_default();
    let has_problems = !problems.is_empty();
    findings.extend(
        problems.into_iter().map(|problem| {
            Finding::failed("jobs", problem.what, problem.remedy.unwrap_or_default())
        }),
    );
    if let Some(jobs) = report.jobs {
        findings.extend(stuck(&jobs, has_problems));
    }
    Ok(findings)
}

fn requests(waiting: i64) -> Finding {
    match waiting > MANY_REQUESTS {
        true => Finding::warning(
            "pg_net",
            format!("queued requests: {waiting}; dispatches wait behind them"),
            "Find out where they go: select url, count(*) from net.http_request_queue group by url; If their number does not shrink: select net.worker_restart();",
        ),
        false => Finding::ok("pg_net", format!("queued requests: {waiting}")),
    }
}

fn tick(state: &DatabaseState, last: Option<&LastTick>) -> Finding {
    let remedy = "Run: select supaqueue.schedule_tick();";
    match (&state.tick, last) {
        _ if !state.has_cron => Finding::warning(
            "tick",
            "it does not run: pg_cron is missing",
            "Install the extension pg_cron, then run: select supaqueue.schedule_tick();",
        ),
        (None, _) => Finding::failed(
            "tick",
            "it is not scheduled, or its pg_cron job is not active",
            remedy,
        ),
        (Some(tick), _) if !tick.command.contains("supaqueue.tick()") => Finding::failed(
            "tick",
            format!(
                "the pg_cron job supaqueue_tick runs something else: {}",
                tick.command
            ),
            remedy,
        ),
        (Some(tick), Some(last)) if last.status == "failed" => Finding::failed(
            "tick",
            format!(
                "scheduled ({}), but its last run failed: {}",
                tick.schedule,
                last.message.as_deref().unwrap_or("no reason given")
            ),
            "Fix the cause; cron.job_run_details has more.",
        ),
        (Some(tick), Some(last)) if last.seconds_ago > LATE_TICK_SECONDS => Finding::failed(
            "tick",
            format!(
                "scheduled ({}), but the last run was {} s ago",
                tick.schedule, last.seconds_ago
            ),
            "pg_cron seems to have stopped: restart the project's database, and check its logs.",
        ),
        (Some(tick), Some(last)) => Finding::ok(
            "tick",
            format!(
                "scheduled ({}), last run {} s ago",
                tick.schedule, last.seconds_ago
            ),
        ),
        (Some(tick), None) => Finding::warning(
            "tick",
            format!("scheduled ({}), but it has not run yet", tick.schedule),
            "Run this again in two minutes. If it still has not run, pg_cron has stopped.",
        ),
    }
}

fn stuck(jobs: &Jobs, has_problems: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if jobs.overdue > 0 || jobs.without_call > 0 {
        findings.push(Finding::failed(
            "stuck jobs",
            format!("calls more than a minute past their lease: {}; workers locked without a call: {}", jobs.overdue, jobs.without_call),
            "The tick recovers them: see the finding about the tick, or run: select supaqueue.tick();",
        ));
    }
    if jobs.startable > 0 {
        findings.push(Finding::warning(
            "stuck jobs",
            format!(
                "jobs due for more than a minute despite free workers: {}",
                jobs.startable
            ),
            "The tick starts them: see the finding about the tick, or run: select supaqueue.tick();",
        ));
    }
    for message in &jobs.not_dispatched {
        findings.push(Finding::failed(
            "dispatch",
            message,
            "See the findings about the function below.",
        ));
    }
    if findings.is_empty() && !has_problems {
        findings.push(Finding::ok("jobs", "no stuck jobs, no failed dispatches"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;
    use supaqueue_files::CronJob;

    #[test]
    fn the_tick_is_judged_by_its_last_run() {
        let last = |status: &str, seconds_ago| LastTick {
            status: status.into(),
            message: None,
            seconds_ago,
        };
        let scheduled = || {
            Some(CronJob {
                schedule: "5 seconds".into(),
                command: "select supaqueue.tick()".into(),
            })
        };
        let check = |job: Option<CronJob>, last: Option<LastTick>, want| {
            let state = DatabaseState {
                has_cron: true,
                tick: job,
                ..DatabaseState::default()
            };
            assert_eq!(tick(&state, last.as_ref()).severity, want);
        };
        check(scheduled(), Some(last("succeeded", 3)), Severity::Ok);
        check(scheduled(), Some(last("succeeded", 600)), Severity::Failed);
        check(scheduled(), Some(last("failed", 3)), Severity::Failed);
        check(scheduled(), None, Severity::Warning);
        check(None, Some(last("succeeded", 3)), Severity::Failed);
        assert_eq!(
            tick(&DatabaseState::default(), None).severity,
            Severity::Warning
        );
    }
}
