//! Runs each job in `cron.job` when it is due, as the role that scheduled it.

use std::collections::HashMap;
use std::time::Duration;

use croner::Cron;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use postgres_protocol::escape::escape_identifier;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{ErrorLog, connect};
use crate::error::describe;
use crate::log::LogSink;
use crate::postgres::Database;

/// How often the jobs are checked, as in pg_cron.
const INTERVAL: Duration = Duration::from_secs(1);

pub(super) async fn run(database: Database, mut errors: ErrorLog) {
    loop {
        if let Err(error) = work(&database, &errors.logs).await {
            errors.write(format!("cannot run jobs: {}", describe(&error)));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// A row of `cron.job`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    id: i64,
    schedule: String,
    command: String,
    role: String,
}

/// What the worker remembers of a job between two checks.
struct LastRun {
    /// When it was last started, or first seen.
    at: Timestamp,
    task: Option<JoinHandle<()>>,
}

/// Works until the connection is lost.
async fn work(database: &Database, logs: &LogSink) -> Result<(), tokio_postgres::Error> {
    let client = connect(database, "pg_cron (emulated)", || {}).await?;
    let mut last_runs: HashMap<(i64, String), LastRun> = HashMap::new();
    let mut interval = tokio::time::interval(INTERVAL);
    loop {
        interval.tick().await;
        let jobs = jobs(&client).await?;
        last_runs.retain(|(id, schedule), _| {
            jobs.iter()
                .any(|job| job.id == *id && job.schedule == *schedule)
        });
        let now = Timestamp::now();
        for job in jobs {
            let last = last_runs
                .entry((job.id, job.schedule.clone()))
                .or_insert_with(|| LastRun {
                    at: now,
                    task: None,
                });
            let is_running = last.task.as_ref().is_some_and(|task| !task.is_finished());
            if is_running || !is_due(&job.schedule, last.at, now) {
                continue;
            }
            last.at = now;
            last.task = Some(tokio::spawn(run_job(database.clone(), job, logs.clone())));
        }
    }
}

async fn jobs(client: &Client) -> Result<Vec<Job>, tokio_postgres::Error> {
    let rows = client
        .query(
            "select jobid, schedule, command, username from cron.job where active order by jobid",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Job {
            id: row.get(0),
            schedule: row.get(1),
            command: row.get(2),
            role: row.get(3),
        })
        .collect())
}

/// Whether a job that was last started (or first seen) at `last` is due now.
fn is_due(schedule: &str, last: Timestamp, now: Timestamp) -> bool {
    let words: Vec<&str> = schedule.split_whitespace().collect();
    if let [seconds, unit] = words[..]
        && unit.to_ascii_lowercase().starts_with("second")
    {
        // Checks are not exactly a second apart, so allow for half a second.
        let elapsed = now.as_millisecond() - last.as_millisecond();
        return seconds
            .parse::<i64>()
            .is_ok_and(|seconds| elapsed >= seconds * 1000 - 500);
    }
    // pg_cron writes the last day of the month as `$`, croner as `L`.
    let pattern = schedule.trim().to_ascii_lowercase().replace('$', "L");
    let Ok(cron) = pattern.parse::<Cron>() else {
        return false;
    };
    let minute = |time: Timestamp| time.as_second().div_euclid(60);
    let Ok(start) = Timestamp::from_second(minute(now) * 60) else {
        return false;
    };
    minute(now) > minute(last)
        && cron
            .is_time_matching(&start.to_zoned(TimeZone::UTC).datetime())
            .unwrap_or(false)
}

/// Runs one job once and logs its error.
async fn run_job(database: Database, job: Job, logs: LogSink) {
    let error = match record_run(&database, &job).await {
        Ok(error) => error,
        Err(error) => Some(describe(&error)),
    };
    if let Some(error) = error {
        logs.write("pg_cron", format!("{}: {error}", job.command));
    }
}

/// Runs a job and records the run in `cron.job_run_details`. Returns the error of its command, if
/// it failed.
async fn record_run(
    database: &Database,
    job: &Job,
) -> Result<Option<String>, tokio_postgres::Error> {
    let client = connect(database, "pg_cron (emulated)", || {}).await?;
    let run: i64 = client
        .query_one(
            "insert into cron.job_run_details
               (jobid, job_pid, database, username, command, status, start_time)
             values ($1, pg_backend_pid(), current_database(), $2, $3, 'running', clock_timestamp())
             returning runid",
            &[&job.id, &job.role, &job.command],
        )
        .await?
        .get(0);
    let outcome = {
        let session = connect(database, "pg_cron", || {}).await?;
        // Only a superuser may change roles. In an external database we may be an ordinary role,
        // whose jobs are its own.
        let role: String = session
            .query_one("select current_user::text", &[])
            .await?
            .get(0);
        if role != job.role {
            session
                .batch_execute(&format!(
                    "set session authorization {}",
                    escape_identifier(&job.role)
                ))
                .await?;
        }
        session.simple_query(&job.command).await
    };
    let (status, message) = match outcome {
        Ok(messages) => ("succeeded", summary(&messages)),
        Err(error) => ("failed", format!("ERROR: {}", describe(&error))),
    };
    client
        .execute(
            "update cron.job_run_details
             set status = $2, return_message = $3, end_time = clock_timestamp()
             where runid = $1",
            &[&run, &status, &message],
        )
        .await?;
    Ok((status == "failed").then_some(message))
}

fn summary(messages: &[SimpleQueryMessage]) -> String {
    let rows = messages
        .iter()
        .rev()
        .find_map(|message| match message {
            SimpleQueryMessage::CommandComplete(rows) => Some(*rows),
            _ => None,
        })
        .unwrap_or(0);
    if rows == 1 {
        "1 row".into()
    } else {
        format!("{rows} rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn a_schedule_is_due_when_its_time_has_come() {
        let check = |schedule: &str, last: &str, now: &str, want: bool| {
            assert_eq!(
                is_due(schedule, at(last), at(now)),
                want,
                "{schedule} at {now} after {last}"
            );
        };
        check(
            "5 seconds",
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:00:04Z",
            false,
        );
        check(
            "5 seconds",
            "2026-11-23T10:00:00Z",
            "2026-11-23T10:00:05Z",
            true,
        );
        check(
            "* * * * *",
            "2026-11-23T10:00:10Z",
            "2026-11-23T10:00:59Z",
            false,
        );
        check(
            "* * * * *",
            "2026-11-23T10:00:59Z",
            "2026-11-23T10:01:00Z",
            true,
        );
        check(
            "*/5 * * * *",
            "2026-11-23T10:00:59Z",
            "2026-11-23T10:04:30Z",
            false,
        );
        check(
            "*/5 * * * *",
            "2026-11-23T10:04:59Z",
            "2026-11-23T10:05:01Z",
            true,
        );
        check(
            "0 3 * * mon",
            "2026-11-23T02:59:59Z",
            "2026-11-23T03:00:01Z",
            true,
        );
        check(
            "0 3 * * tue",
            "2026-11-23T02:59:59Z",
            "2026-11-23T03:00:01Z",
            false,
        );
        check(
            "0 0 $ * *",
            "2026-11-29T23:59:59Z",
            "2026-11-30T00:00:00Z",
            true,
        );
        check(
            "0 0 $ * *",
            "2026-11-28T23:59:59Z",
            "2026-11-29T00:00:00Z",
            false,
        );
        check(
            "@hourly",
            "2026-11-23T02:59:59Z",
            "2026-11-23T03:00:01Z",
            true,
        );
    }
}
