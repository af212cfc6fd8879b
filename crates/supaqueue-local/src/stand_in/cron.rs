//! Runs the jobs of `cron.job` when they are due, as the role that scheduled each.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Timelike, Utc};
use croner::Cron;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Trouble, connect};
use crate::error::describe;
use crate::log::LogSink;
use crate::postgres::{Database, quote_identifier};

/// pg_cron looks at its jobs once in a second too.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn serve(database: Database, mut trouble: Trouble) {
    loop {
        if let Err(error) = work(&database, &trouble.logs).await {
            trouble.tell(format!("runs nothing: {}", describe(&error)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A job as it stands in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    id: i64,
    schedule: String,
    command: String,
    role: String,
}

/// What is known of a job between two looks.
struct Known {
    last: DateTime<Utc>,
    run: Option<JoinHandle<()>>,
}

/// Works until the connection is lost.
async fn work(database: &Database, logs: &LogSink) -> Result<(), tokio_postgres::Error> {
    let client = connect(database, "pg_cron stand-in", || {}).await?;
    let mut known: HashMap<(i64, String), Known> = HashMap::new();
    let mut clock = tokio::time::interval(LOOK);
    loop {
        clock.tick().await;
        let jobs = jobs(&client).await?;
        known.retain(|(id, schedule), _| {
            jobs.iter()
                .any(|job| job.id == *id && job.schedule == *schedule)
        });
        let now = Utc::now();
        for job in jobs {
            let entry = known
                .entry((job.id, job.schedule.clone()))
                .or_insert_with(|| Known {
                    last: now,
                    run: None,
                });
            let busy = entry.run.as_ref().is_some_and(|run| !run.is_finished());
            if busy || !is_due(&job.schedule, entry.last, now) {
                continue;
            }
            entry.last = now;
            entry.run = Some(tokio::spawn(run(database.clone(), job, logs.clone())));
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

/// Whether a job that last ran (or was first seen) at `last` is to run now.
fn is_due(schedule: &str, last: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    let words: Vec<&str> = schedule.split_whitespace().collect();
    if let [seconds, unit] = words[..]
        && unit.to_ascii_lowercase().starts_with("second")
    {
        // Half a second of tolerance: looks are not exactly a second apart.
        return seconds
            .parse::<i64>()
            .is_ok_and(|seconds| (now - last).num_milliseconds() >= seconds * 1000 - 500);
    }
    // pg_cron writes the last day of the month as `$`.
    let pattern = schedule.trim().to_ascii_lowercase().replace('$', "L");
    let minute = |time: DateTime<Utc>| time.timestamp().div_euclid(60);
    let Ok(cron) = pattern.parse::<Cron>() else {
        return false;
    };
    minute(now) > minute(last)
        && now
            .with_second(0)
            .and_then(|now| now.with_nanosecond(0))
            .is_some_and(|start| cron.is_time_matching(&start).unwrap_or(false))
}

/// Runs one job once and records how it went.
async fn run(database: Database, job: Job, logs: LogSink) {
    let failed = match try_run(&database, &job).await {
        Ok(failed) => failed,
        Err(error) => Some(describe(&error)),
    };
    if let Some(error) = failed {
        logs.write("pg_cron", format!("{}: {error}", job.command));
    }
}

/// What the command failed with, if it did.
async fn try_run(database: &Database, job: &Job) -> Result<Option<String>, tokio_postgres::Error> {
    let client = connect(database, "pg_cron stand-in", || {}).await?;
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
        // Only a superuser may change to another role, and needs to.
        let role: String = session
            .query_one("select current_user::text", &[])
            .await?
            .get(0);
        if role != job.role {
            session
                .batch_execute(&format!(
                    "set session authorization {}",
                    quote_identifier(&job.role)
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

    fn at(time: &str) -> DateTime<Utc> {
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
