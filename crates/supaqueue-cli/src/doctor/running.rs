//! What can go wrong in a database while it runs: requests, tick, privileges, jobs.

use anyhow::Result;
use serde::Deserialize;

use super::finding::Finding;
use crate::project::database::Database;
use supaqueue_files::State;

/// The tick runs every five seconds, or every minute where pg_cron is old.
const TICK_IS_LATE: i64 = 150;

/// More requests than pg_net sends in a minute.
const MANY_REQUESTS: i64 = 5_000;

#[derive(Deserialize)]
struct Report {
    requests: Option<i64>,
    last_tick: Option<LastTick>,
    privileges: Option<Vec<String>>,
    problems: Option<Vec<Named>>,
    jobs: Option<Jobs>,
}

#[derive(Deserialize)]
struct LastTick {
    status: String,
    message: Option<String>,
    seconds_ago: i64,
}

#[derive(Deserialize)]
struct Named {
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

/// What has to be looked for: requests, tick, privileges, jobs.
pub(super) async fn examine(database: &Database, state: &State) -> Result<Vec<Finding>> {
    let report: Report = database.query(include_str!("doctor.sql")).await?;
    let mut findings = vec![requests(report.requests.unwrap_or(0))];
    findings.push(tick(state, report.last_tick.as_ref()));
    let privileges = report.privileges.unwrap_or_default();
    findings.push(match privileges.is_empty() {
        true => Finding::ok("privileges", "only postgres and service_role reach it"),
        false => Finding::failed(
            "privileges",
            privileges.join("; "),
            "Revoke what is named by hand, or run `supaqueue remove --keep-data` and `supaqueue install`: the schema comes with the right privileges.",
        ),
    });
    let problems = report.problems.unwrap_or_default();
    let is_well = problems.is_empty();
    findings.extend(
        problems.into_iter().map(|problem| {
            Finding::failed("jobs", problem.what, problem.remedy.unwrap_or_default())
        }),
    );
    if let Some(jobs) = report.jobs {
        findings.extend(stuck(&jobs, is_well));
    }
    Ok(findings)
}

fn requests(waiting: i64) -> Finding {
    match waiting > MANY_REQUESTS {
        true => Finding::warning(
            "pg_net",
            format!("{waiting} requests wait to be sent; dispatches wait behind them"),
            "Look for who sends so many: select url, count(*) from net.http_request_queue group by url. If their number does not shrink: select net.worker_restart();",
        ),
        false => Finding::ok("pg_net", format!("{waiting} requests wait to be sent")),
    }
}

fn tick(state: &State, last: Option<&LastTick>) -> Finding {
    let remedy = "Run: select supaqueue.schedule_tick();";
    match (&state.tick, last) {
        _ if !state.has_cron => Finding::warning(
            "tick",
            "nothing runs it: there is no pg_cron",
            "Install the extension pg_cron, then run: select supaqueue.schedule_tick();",
        ),
        (None, _) => Finding::failed(
            "tick",
            "it is not scheduled, or its job of pg_cron is not active",
            remedy,
        ),
        (Some(tick), _) if !tick.command.contains("supaqueue.tick()") => Finding::failed(
            "tick",
            format!(
                "the job supaqueue_tick of pg_cron runs something else: {}",
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
            "Mend what the message names; see cron.job_run_details for more.",
        ),
        (Some(tick), Some(last)) if last.seconds_ago > TICK_IS_LATE => Finding::failed(
            "tick",
            format!(
                "scheduled ({}), but it last ran {} s ago",
                tick.schedule, last.seconds_ago
            ),
            "pg_cron seems not to run: restart the project's database, and see its logs.",
        ),
        (Some(tick), Some(last)) => Finding::ok(
            "tick",
            format!(
                "scheduled ({}), ran {} s ago",
                tick.schedule, last.seconds_ago
            ),
        ),
        (Some(tick), None) => Finding::warning(
            "tick",
            format!(
                "scheduled ({}), but there is no run of it yet",
                tick.schedule
            ),
            "Run this again in two minutes; if it stays so, pg_cron does not run.",
        ),
    }
}

fn stuck(jobs: &Jobs, is_well: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if jobs.overdue > 0 || jobs.without_call > 0 {
        findings.push(Finding::failed(
            "stuck jobs",
            format!("{} calls are more than a minute past their lease, {} workers are taken without a call", jobs.overdue, jobs.without_call),
            "The tick takes them back: see the line about it, or run: select supaqueue.tick();",
        ));
    }
    if jobs.startable > 0 {
        findings.push(Finding::warning(
            "stuck jobs",
            format!(
                "{} jobs are due for more than a minute beside free workers",
                jobs.startable
            ),
            "The tick starts them: see the line about it, or run: select supaqueue.tick();",
        ));
    }
    for message in &jobs.not_dispatched {
        findings.push(Finding::failed(
            "dispatch",
            message,
            "See the lines about the function below.",
        ));
    }
    if findings.is_empty() && is_well {
        findings.push(Finding::ok("jobs", "none is stuck, no dispatch failed"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;
    use supaqueue_files::Tick;

    #[test]
    fn the_tick_is_judged_by_its_last_run() {
        let last = |status: &str, seconds_ago| LastTick {
            status: status.into(),
            message: None,
            seconds_ago,
        };
        let scheduled = || {
            Some(Tick {
                schedule: "5 seconds".into(),
                command: "select supaqueue.tick()".into(),
            })
        };
        let check = |job: Option<Tick>, last: Option<LastTick>, want| {
            let state = State {
                has_cron: true,
                tick: job,
                ..State::default()
            };
            assert_eq!(tick(&state, last.as_ref()).level, want);
        };
        check(scheduled(), Some(last("succeeded", 3)), Level::Ok);
        check(scheduled(), Some(last("succeeded", 600)), Level::Failed);
        check(scheduled(), Some(last("failed", 3)), Level::Failed);
        check(scheduled(), None, Level::Warning);
        check(None, Some(last("succeeded", 3)), Level::Failed);
        assert_eq!(tick(&State::default(), None).level, Level::Warning);
    }
}
