//! The cost of a tick with nothing to do, and of one with many schedules that are due.

use std::time::Instant;

use tokio_postgres::Client;

use super::database::Server;
use super::median_ms;
use super::settle::{Backlog, QUEUE};
use crate::Result;
use crate::numbers::grouped;
use crate::table::Table;

/// The number of schedules in the goal for the tick.
const SCHEDULES: u32 = 10_000;

/// The tick as pg_cron runs it.
pub(crate) async fn command(client: &Client) -> Result<String> {
    let row = client
        .query_one("select supaqueue.tick_command()", &[])
        .await?;
    Ok(row.get(0))
}

pub(crate) async fn idle(backlogs: &[Backlog], table: &mut Table) -> Result<()> {
    for backlog in backlogs {
        // Does the work that earlier measurements left, so that the next tick has none.
        let client = backlog.database.client();
        let command = command(client).await?;
        client.batch_execute(&command).await?;
        backlog.database.vacuum().await?;
        let client = backlog.database.connect().await?;
        client.batch_execute("set synchronous_commit = off").await?;
        let round_trip = median_ms(&client, "select 1").await?;
        let tick = median_ms(&client, &command).await? - round_trip;
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

/// With many schedules, at rest, and when all of them are due.
pub(crate) async fn schedules(server: &Server, table: &mut Table) -> Result<()> {
    let database = server.database().await?;
    database.create_queues(&[QUEUE], 0).await?;
    let client = database.client();
    client
        .batch_execute(&format!(
            "set synchronous_commit = off;
             insert into supaqueue.schedule (name, queue, cron, timezone)
             select 'schedule ' || number, supaqueue.queue_id('{QUEUE}'), number % 60 || ' 0 1 1 *', 'Europe/Berlin'
             from generate_series(1, {SCHEDULES}) as number"
        ))
        .await?;
    let command = command(client).await?;
    client.batch_execute(&command).await?;
    database.vacuum().await?;
    let round_trip = median_ms(client, "select 1").await?;
    let tick = median_ms(client, &command).await? - round_trip;
    table.add(
        format!("idle tick, {} schedules", grouped(SCHEDULES)),
        format!("{tick:.2} ms in the database"),
        format!("{tick:.2}"),
        "< 20 ms",
        tick < 20.0,
    );
    client
        .batch_execute("update supaqueue.schedule set next_at = clock_timestamp()")
        .await?;
    let start = Instant::now();
    let mut jobs = 0;
    // A tick serves schedules for five seconds at most.
    while jobs < i64::from(SCHEDULES) {
        client.batch_execute(&command).await?;
        jobs = client
            .query_one("select count(*) from supaqueue.job", &[])
            .await?
            .get(0);
    }
    let seconds = start.elapsed().as_secs_f64();
    table.add(
        format!("serve {} schedules that are due", grouped(SCHEDULES)),
        format!("{seconds:.2} s"),
        format!("{seconds:.2}"),
        "< 10 s",
        seconds < 10.0,
    );
    Ok(())
}
