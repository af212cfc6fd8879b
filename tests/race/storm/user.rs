//! Users who interfere, and the tick.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use super::QUEUES;
use super::ledger::Ledger;
use crate::random::Random;
use supaqueue_tests::protocol::Answer;
use supaqueue_tests::{TICK, try_get};

/// The time between two ticks, and between two actions of a user.
const PAUSE: Duration = Duration::from_millis(10);

/// Changes the number of workers, pauses, cancels and settles by hand until all jobs are inserted; then restores the
/// queues.
pub(super) async fn interfere(client: Client, mut random: Random, ledger: Arc<Ledger>) {
    while !ledger.has_no_more_jobs() && !ledger.has_ended() {
        let (queue, workers) = *random.pick(&QUEUES);
        let is_cancelling = random.percent(30);
        let sql = match random.below(3) {
            _ if is_cancelling => cancel(queue),
            0 => format!("select supaqueue.set_workers('{queue}', {workers})"),
            1 => format!(
                "select supaqueue.set_workers('{queue}', {})",
                random.below(u64::from(workers) + 1)
            ),
            _ => format!(
                "update supaqueue.queue set is_paused = {} where name = '{queue}'",
                random.percent(30)
            ),
        };
        if random.percent(10)
            && let Err(error) = settle_by_hand(&client, &ledger).await
        {
            ledger.violation(error);
        }
        match try_get(&client, &sql).await {
            Ok(ids) if is_cancelling => ledger.cancelled(&ids),
            Ok(_) => {}
            Err(error) => ledger.violation(format!("{sql} failed: {error}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
    for (queue, workers) in QUEUES {
        let sql = format!(
            "select supaqueue.set_workers('{queue}', {workers});
             update supaqueue.queue set is_paused = false where name = '{queue}'"
        );
        if let Err(error) = try_get(&client, &sql).await {
            ledger.violation(format!("{sql} failed: {error}"));
        }
    }
}

/// Settles a random call by hand.
async fn settle_by_hand(client: &Client, ledger: &Ledger) -> Result<(), String> {
    let call = "select c.id, c.job from supaqueue.current_job c order by random() limit 1";
    let call = try_get(client, call).await?;
    let Some((call, job)) = call.split_once('|') else {
        return Ok(());
    };
    let settle = format!("select public.end_current_job('{call}', true, true)");
    match try_get(client, &settle).await {
        Ok(answer) if Answer::parse(&answer).state == "settled" => {
            ledger.settled_by_hand(job);
            Ok(())
        }
        Err(error) if !error.starts_with("55P03") => Err(format!("{settle} failed: {error}")),
        _ => Ok(()),
    }
}

/// Cancels a random unfinished job.
fn cancel(queue: &str) -> String {
    format!(
        "update supaqueue.job j set status = 'cancelled'
         where j.status in ('pending', 'in_progress') and j.id = (
           select one.id from supaqueue.job one
           where one.queue = supaqueue.queue_id('{queue}') and one.status in ('pending', 'in_progress')
           order by random() limit 1)
         returning j.id"
    )
}

/// Ticks until the storm ends.
pub(super) async fn tick(client: Client, ledger: Arc<Ledger>) {
    while !ledger.has_ended() {
        if let Err(error) = try_get(&client, TICK).await {
            ledger.violation(format!("a tick failed: {error}"));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
