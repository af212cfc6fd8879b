//! The tick when there is nothing to do.

use std::time::Instant;

use super::settle::Backlog;
use crate::Result;
use crate::table::{Table, median};

/// How long the client waits for `sql`, in milliseconds, in the middle of many times.
pub(crate) async fn median_ms(client: &tokio_postgres::Client, sql: &str) -> Result<f64> {
    let statement = client.prepare(sql).await?;
    let mut times = Vec::new();
    for _ in 0..300 {
        let start = Instant::now();
        client.execute(&statement, &[]).await?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(&mut times))
}

/// What a tick costs beside many jobs.
pub(crate) async fn idle(backlogs: &[Backlog], table: &mut Table) -> Result<()> {
    for backlog in backlogs {
        // What the turns before left to do is done first.
        backlog
            .stage
            .client()
            .batch_execute("select supaqueue.tick()")
            .await?;
        backlog.stage.settle_down().await?;
        let client = backlog.stage.connect().await?;
        client.batch_execute("set synchronous_commit = off").await?;
        let nothing = median_ms(&client, "select 1").await?;
        let tick = median_ms(&client, "select supaqueue.tick()").await? - nothing;
        table.add(
            format!("a tick with nothing to do beside {}", backlog.name),
            format!("{tick:.2} ms in the database"),
            format!("{tick:.2}"),
            "< 1 ms",
            tick < 1.0,
        );
    }
    Ok(())
}
