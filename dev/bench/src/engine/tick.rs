//! The cost of a tick with nothing to do.

use super::median_ms;
use super::settle::Backlog;
use crate::Result;
use crate::table::Table;

/// The tick as pg_cron runs it.
pub(crate) const TICK: &str = "call supaqueue.tick()";

pub(crate) async fn idle(backlogs: &[Backlog], table: &mut Table) -> Result<()> {
    for backlog in backlogs {
        // Does the work that earlier measurements left, so that the next tick has none.
        let client = backlog.database.client();
        client.batch_execute(TICK).await?;
        backlog.database.vacuum().await?;
        let client = backlog.database.connect().await?;
        client.batch_execute("set synchronous_commit = off").await?;
        let round_trip = median_ms(&client, "select 1").await?;
        let tick = median_ms(&client, TICK).await? - round_trip;
        table.add(
            format!("idle tick, {}", backlog.name),
            format!("{tick:.2} ms in the database"),
            format!("{tick:.2}"),
            "< 1 ms",
            tick < 1.0,
        );
    }
    Ok(())
}
