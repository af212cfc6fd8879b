//! Checks a running installation: requests, tick, privileges, jobs.

use std::collections::BTreeSet;

use anyhow::Result;
use serde::Deserialize;
use supaqueue_files::DatabaseState;

use super::finding::Finding;
use super::function::{self, Queue};
use crate::project::Project;

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
    queues: Option<Vec<Queue>>,
}

/// When the tick last started, and when it last finished, in seconds before now.
#[derive(Clone, Copy, Deserialize)]
struct LastTick {
    started: i64,
    finished: Option<i64>,
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

/// Runs the checks. `with_jwt` are the functions whose calls need a JWT.
pub(super) async fn examine(
    project: &Project,
    state: &DatabaseState,
    with_jwt: &BTreeSet<String>,
) -> Result<Vec<Finding>> {
    let report: Report = project.database.query(include_str!("runtime.sql")).await?;
    let mut findings = vec![requests(report.requests.unwrap_or(0))];
    findings.push(tick(state, report.last_tick.as_ref()));
    let privileges = report.privileges.unwrap_or_default();
    findings.push(match privileges.is_empty() {
        true => Finding::ok("privileges", "only postgres and service_role have access"),
        false => Finding::failed(
            "privileges",
            privileges.join("; "),
            format!(
                "Revoke these privileges by hand, or run `{}` and then `{}`, which sets the right ones.",
                project.command("remove").word("--keep-data"),
                project.command("install")
            ),
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
    let queues = report.queues.unwrap_or_default();
    findings.extend(function::without_jwt(&project.deployment, queues, with_jwt).await);
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
    let failed = |message: String| {
        Finding::failed("tick", message, "Run: select supaqueue.schedule_tick();")
    };
    let Some(tick) = &state.tick else {
        return match state.has_cron {
            true => failed("it is not scheduled".into()),
            false => Finding::warning(
                "tick",
                "it does not run: pg_cron is missing",
                "Install the extension pg_cron, then run: select supaqueue.schedule_tick();",
            ),
        };
    };
    if !tick.active {
        return failed("its pg_cron job supaqueue_tick is inactive".into());
    }
    if !tick.is_tick() {
        let message = format!(
            "the pg_cron job supaqueue_tick runs something else: {}",
            tick.command
        );
        return failed(message);
    }
    let scheduled = format!("scheduled ({})", tick.schedule);
    let Some(last) = last else {
        return Finding::warning(
            "tick",
            format!("{scheduled}, but it never ran"),
            "Run this again in two minutes. If it still has not run, pg_cron has stopped: restart the project's database.",
        );
    };
    let is_late = |seconds: i64| seconds > LATE_TICK_SECONDS;
    match last.finished {
        _ if is_late(last.started) => Finding::failed(
            "tick",
            format!("{scheduled}, but it last ran {} s ago", last.started),
            "Either pg_cron has stopped, or the tick fails at once. Run: call supaqueue.tick(in_one_transaction => true); and if that raises no error, restart the project's database.",
        ),
        Some(seconds) if !is_late(seconds) => {
            Finding::ok("tick", format!("{scheduled}, last ran {seconds} s ago"))
        }
        finished => Finding::failed(
            "tick",
            match finished {
                Some(seconds) => format!("{scheduled}, but it last finished {seconds} s ago"),
                None => format!("{scheduled}, but it has never finished"),
            },
            "It fails or hangs. Run: call supaqueue.tick(in_one_transaction => true); and fix what it reports.",
        ),
    }
}

fn stuck(jobs: &Jobs, has_problems: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if jobs.overdue > 0 || jobs.without_call > 0 {
        findings.push(Finding::failed(
            "stuck jobs",
            format!("calls more than a minute past their lease: {}; workers locked without a call: {}", jobs.overdue, jobs.without_call),
            "The tick recovers them: see the finding about the tick, or run: call supaqueue.tick(in_one_transaction => true);",
        ));
    }
    if jobs.startable > 0 {
        findings.push(Finding::warning(
            "stuck jobs",
            format!(
                "jobs due for more than a minute despite free workers: {}",
                jobs.startable
            ),
            "The tick starts them: see the finding about the tick, or run: call supaqueue.tick(in_one_transaction => true);",
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
    fn the_tick_is_judged_by_its_job_and_its_last_run() {
        let run = |started, finished| Some(LastTick { started, finished });
        let call = "call supaqueue.tick()";
        let job = |active, command: &str| {
            Some(CronJob {
                schedule: "5 seconds".into(),
                command: command.into(),
                active,
            })
        };
        let check = |job: Option<CronJob>, last: Option<LastTick>, severity, words: &str| {
            let state = DatabaseState {
                has_cron: true,
                tick: job,
                ..DatabaseState::default()
            };
            let finding = tick(&state, last.as_ref());
            assert_eq!(finding.severity, severity, "{}", finding.message);
            assert!(finding.message.contains(words), "{}", finding.message);
        };
        use Severity::{Failed, Ok, Warning};
        check(job(true, call), run(3, Some(3)), Ok, "last ran 3 s ago");
        check(
            job(true, " CALL  supaqueue.tick();"),
            run(3, Some(8)),
            Ok,
            "last ran 8 s ago",
        );
        check(job(true, call), None, Warning, "it never ran");
        check(
            job(true, call),
            run(600, Some(599)),
            Failed,
            "last ran 600 s ago",
        );
        check(
            job(true, call),
            run(3, Some(600)),
            Failed,
            "last finished 600 s ago",
        );
        check(job(true, call), run(3, None), Failed, "has never finished");
        check(job(false, call), run(3, Some(3)), Failed, "is inactive");
        check(
            job(true, "select 1"),
            run(3, Some(3)),
            Failed,
            "runs something else: select 1",
        );
        check(
            job(true, "select supaqueue.tick()"),
            None,
            Failed,
            "runs something else",
        );
        check(None, run(3, Some(3)), Failed, "is not scheduled");
        assert_eq!(tick(&DatabaseState::default(), None).severity, Warning);
    }
}
