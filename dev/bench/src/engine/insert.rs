//! Inserting jobs.

use std::time::Instant;

use super::project::Project;
use super::settle::{Backlog, QUEUE};
use super::tick::median_ms;
use crate::Result;
use crate::table::{Table, median};

/// One job into a queue whose workers are all busy.
pub(crate) async fn one_into_busy_queue(backlogs: &[Backlog], table: &mut Table) -> Result<()> {
    for backlog in backlogs {
        let client = backlog.stage.connect().await?;
        let insert = format!(
            "insert into supaqueue.job (queue, payload)
             select id, '{{\"number\": 1}}' from supaqueue.queue where name = '{QUEUE}'"
        );
        let nothing = median_ms(&client, "select 1").await?;
        let with_disk = median_ms(&client, &insert).await? - nothing;
        // What the disk adds to a commit is not the engine's.
        client.batch_execute("set synchronous_commit = off").await?;
        let insert = median_ms(&client, &insert).await? - nothing;
        table.add(
            format!(
                "inserting one job beside {}, all workers busy",
                backlog.name
            ),
            format!("{insert:.2} ms in the database ({with_disk:.2} with the disk)"),
            format!("{insert:.2}"),
            "< 1 ms",
            insert < 1.0,
        );
    }
    Ok(())
}

/// Ten thousand jobs in one statement, into a queue with free workers.
pub(crate) async fn many_at_once(project: &Project, table: &mut Table) -> Result<()> {
    let stage = project.database().await?;
    let mut times = Vec::new();
    let mut requests = Vec::new();
    for number in 0..5 {
        let queue = format!("queue {number}");
        stage.queues(&[&queue], 8).await?;
        stage
            .client()
            .execute("delete from net.http_request_queue", &[])
            .await?;
        let start = Instant::now();
        stage.enqueue(&[&queue], 10_000).await?;
        times.push(start.elapsed().as_secs_f64());
        let row = stage
            .client()
            .query_one("select count(*) from net.http_request_queue", &[])
            .await?;
        requests.push(row.get::<_, i64>(0));
    }
    let time = median(&mut times);
    table.add(
        "inserting 10,000 jobs in one statement",
        format!("{time:.2} s, commit included"),
        format!("{time:.2}"),
        "< 1 s",
        time < 1.0,
    );
    table.add(
        "wake-ups of such a statement",
        format!("{requests:?} requests for 8 free workers"),
        "1",
        "one",
        requests.iter().all(|requests| *requests == 1),
    );
    Ok(())
}
