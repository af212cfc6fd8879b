//! The cost of inserting jobs.

use std::time::Instant;

use super::database::Server;
use super::median_ms;
use super::settle::{Backlog, QUEUE};
use crate::Result;
use crate::numbers::median;
use crate::table::Table;

/// Inserts one job into a queue whose workers are all busy.
pub(crate) async fn one_into_busy_queue(backlogs: &[Backlog], table: &mut Table) -> Result<()> {
    for backlog in backlogs {
        let client = backlog.database.connect().await?;
        let insert = format!(
            "insert into supaqueue.job (queue, payload)
             select id, '{{\"number\": 1}}' from supaqueue.queue where name = '{QUEUE}'"
        );
        let round_trip = median_ms(&client, "select 1").await?;
        let with_disk = median_ms(&client, &insert).await? - round_trip;
        // The goal does not include the time for which a commit waits for the disk.
        client.batch_execute("set synchronous_commit = off").await?;
        let insert = median_ms(&client, &insert).await? - round_trip;
        table.add(
            format!("insert one job, all workers busy, {}", backlog.name),
            format!("{insert:.2} ms in the database ({with_disk:.2} including the disk)"),
            format!("{insert:.2}"),
            "< 1 ms",
            insert < 1.0,
        );
    }
    Ok(())
}

/// Inserts ten thousand jobs in one statement into a queue with free workers.
pub(crate) async fn many_at_once(server: &Server, table: &mut Table) -> Result<()> {
    let database = server.database().await?;
    let mut times = Vec::new();
    let mut requests = Vec::new();
    for number in 0..5 {
        let queue = format!("queue {number}");
        database.create_queues(&[&queue], 8).await?;
        database
            .client()
            .execute("delete from net.http_request_queue", &[])
            .await?;
        let start = Instant::now();
        database.enqueue(&[&queue], 10_000).await?;
        times.push(start.elapsed().as_secs_f64());
        let row = database
            .client()
            .query_one("select count(*) from net.http_request_queue", &[])
            .await?;
        requests.push(row.get::<_, i64>(0));
    }
    let time = median(&mut times);
    table.add(
        "insert 10,000 jobs in one statement",
        format!("{time:.2} s including the commit"),
        format!("{time:.2}"),
        "< 1 s",
        time < 1.0,
    );
    table.add(
        "pg_net requests for these jobs",
        format!("{requests:?} for 8 free workers"),
        "1",
        "one",
        requests.iter().all(|requests| *requests == 1),
    );
    Ok(())
}

/// Enqueues jobs one after the other, each in a transaction that does not wait for the disk: without a key, with a
/// key of its own, and with one that another job holds.
pub(crate) async fn with_keys(server: &Server, table: &mut Table) -> Result<()> {
    const JOBS: u32 = 5000;
    let database = server.database().await?;
    database.create_queues(&["queue"], 0).await?;
    let client = database.connect().await?;
    client.batch_execute("set synchronous_commit = off").await?;
    for (name, key) in [
        ("without a key", "null"),
        ("with keys of their own", "'key ' || $1"),
        ("with a key that is held", "'key 1'"),
    ] {
        let enqueue = client
            .prepare(&format!(
                "select supaqueue.enqueue('queue', key => {key}) where $1::text is not null"
            ))
            .await?;
        let start = Instant::now();
        for number in 0..JOBS {
            client.execute(&enqueue, &[&number.to_string()]).await?;
        }
        let per_second = f64::from(JOBS) / start.elapsed().as_secs_f64();
        table.add(
            format!("enqueue one by one, {name}"),
            format!("{per_second:.0} per second on one connection"),
            format!("{per_second:.0}"),
            "-",
            true,
        );
    }
    Ok(())
}

/// Inserts ten thousand jobs with keys in one statement: at least 5,000 per second.
pub(crate) async fn many_with_keys(server: &Server, table: &mut Table) -> Result<()> {
    let database = server.database().await?;
    database.create_queues(&["queue"], 0).await?;
    for (name, insert) in [
        (
            "insert 10,000 jobs with keys in one statement",
            "insert into supaqueue.job (queue, key) select q.id, 'a ' || i from supaqueue.queue q, generate_series(1, 10000) i",
        ),
        (
            "enqueue_many with 10,000 keys",
            "select supaqueue.enqueue_many('queue', array_agg('{}'::jsonb), keys => array_agg('b ' || i)) from generate_series(1, 10000) i",
        ),
    ] {
        let start = Instant::now();
        database.client().batch_execute(insert).await?;
        let time = start.elapsed().as_secs_f64();
        table.add(
            name,
            format!("{time:.2} s including the commit"),
            format!("{time:.2}"),
            "< 2 s",
            time < 2.0,
        );
    }
    Ok(())
}
