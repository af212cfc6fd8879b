//! Lanes that behave like those of the supaqueue function, including its failures.

use std::sync::Arc;
use std::time::Duration;

use supaqueue_tests::lane::{Answer, Call, acknowledge};
use supaqueue_tests::{TICK, get, try_get};
use tokio_postgres::Client;

use super::ledger::{Ledger, Outcome};
use crate::random::Random;

/// Picks dispatched calls and runs lanes from them until the storm ends.
pub(super) async fn run(client: Client, mut random: Random, ledger: Arc<Ledger>) {
    while !ledger.has_ended() {
        let sent = get(
            &client,
            "select c.id, c.job, q.name
             from supaqueue.current_job c
             join supaqueue.queue q on q.id = c.queue
             where c.acknowledged_at is null
             order by random() limit 1",
        )
        .await;
        let columns: Vec<_> = sent.split('|').map(str::to_owned).collect();
        let [current_job, job, queue] = columns.try_into().unwrap_or_default();
        if current_job.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        if let Err(error) = run_lane(
            &client,
            &mut random,
            &ledger,
            Call {
                current_job,
                job,
                queue,
            },
        )
        .await
        {
            ledger.violation(error);
        }
    }
}

/// Acknowledges the call, then runs it and every next one.
async fn run_lane(
    client: &Client,
    random: &mut Random,
    ledger: &Ledger,
    call: Call,
) -> Result<(), String> {
    if random.percent(3) {
        // The request never reached the function.
        return expire(client, &call, "acknowledged_at is null").await;
    }
    let lane = get(client, "select gen_random_uuid()").await;
    let acknowledgement = acknowledge(&quoted(&call), &lane);
    let mut answer = send(client, &acknowledgement).await?;
    if random.percent(10) && answer.state == "started" {
        answer = send(client, &acknowledgement).await?;
        // The job may have been cancelled in between; only its row can tell.
        let status = format!("select status from supaqueue.job where id = '{}'", call.job);
        if answer.state != "started" && get(client, &status).await != "cancelled" {
            return Err("a repeated acknowledgement was refused".into());
        }
    }
    if answer.state != "started" {
        return Ok(());
    }

    let mut next = Some(call);
    while let Some(call) = next {
        ledger.starts(&call);
        // The call itself: usually instant, so that many run, sometimes long, so that others overlap it.
        let call_ms = if random.percent(80) {
            0
        } else {
            random.below(20)
        };
        tokio::time::sleep(Duration::from_millis(call_ms)).await;
        ledger.ends(&call);
        next = end(client, random, ledger, &call, &lane).await?;
    }
    Ok(())
}

/// Reports a call, or dies; returns the next call.
async fn end(
    client: &Client,
    random: &mut Random,
    ledger: &Ledger,
    call: &Call,
    lane: &str,
) -> Result<Option<Call>, String> {
    let outcome = match random.below(100) {
        0..70 => Outcome::Successful,
        70..85 => Outcome::Failed,
        85..90 => Outcome::FailedForGood,
        90..96 => Outcome::GivenBack,
        _ => Outcome::Lost,
    };
    let next = random.pick(&["null", "50000", "100000", "100000"]);
    let report = report(call, lane, outcome, next);
    if outcome == Outcome::Lost {
        // Recorded before the lease ends: afterwards another lane may run the job.
        ledger.reported(call, Outcome::Lost);
        expire(client, call, "true").await?;
        return die(client, random, call, &report).await;
    }
    ledger.reported(call, outcome);
    let answer = send(client, &report).await?;
    if answer.state != "settled" {
        return Err(format!("a report of job {} was refused", call.job));
    }
    // No one else knows the next call yet, so the repeated report must return it again.
    if random.percent(10) && answer.next.is_some() && send(client, &report).await? != answer {
        return Err(format!(
            "a repeated report of job {} got another answer",
            call.job
        ));
    }
    Ok(answer.next)
}

/// The lane is dead: a report that still arrives must change nothing once its call was recovered.
async fn die(
    client: &Client,
    random: &mut Random,
    call: &Call,
    report: &str,
) -> Result<Option<Call>, String> {
    if random.percent(50) {
        try_get(client, TICK).await?;
        let is_gone = format!(
            "select not exists (select from supaqueue.current_job where id = {})",
            quoted(call)
        );
        if get(client, &is_gone).await == "t" && send(client, report).await?.state != "refused" {
            return Err(format!("a late report of job {} was settled", call.job));
        }
    }
    Ok(None)
}

fn report(call: &Call, lane: &str, outcome: Outcome, next: &str) -> String {
    let (is_successful, more) = match outcome {
        Outcome::Successful => (true, r#""result": 1"#),
        Outcome::Failed | Outcome::Lost => (false, r#""error": {"message": "no"}"#),
        Outcome::FailedForGood => (false, r#""is_final": true"#),
        Outcome::GivenBack => (false, r#""is_attempt": false, "retry_after_ms": 5"#),
    };
    format!(
        r#"select public.end_current_job({}, true, {is_successful}, '{{"lane": "{lane}", {more}}}', {next})"#,
        quoted(call)
    )
}

fn quoted(call: &Call) -> String {
    format!("'{}'", call.current_job)
}

/// Ends a call's lease.
async fn expire(client: &Client, call: &Call, condition: &str) -> Result<(), String> {
    let sql = format!(
        "update supaqueue.current_job set lease_until = '-infinity' where id = {} and {condition}",
        quoted(call)
    );
    try_get(client, &sql).await.map(drop)
}

/// Sends a statement, and repeats it while it fails as retryable.
async fn send(client: &Client, sql: &str) -> Result<Answer, String> {
    loop {
        match try_get(client, sql).await {
            Ok(text) => return Ok(Answer::parse(&text)),
            Err(error) if error.starts_with("55P03") => tokio::task::yield_now().await,
            Err(error) => return Err(format!("{sql} failed: {error}")),
        }
    }
}
