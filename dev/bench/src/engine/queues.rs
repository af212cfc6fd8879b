//! Projects with many queues.

use std::time::Instant;

use super::database::Server;
use super::tick;
use super::{Scale, median_ms};
use crate::Result;
use crate::numbers::grouped;
use crate::table::Table;

/// The number of idle queues in the goal for the tick.
const IDLE: u32 = 10_000;

pub(crate) async fn measure(server: &Server, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.database().await?;
    let client = database.client();
    client.batch_execute("set synchronous_commit = off").await?;
    let create = async |first: u32, last: u32| -> Result<()> {
        client
            .batch_execute(&format!(
                "insert into supaqueue.queue (name, edge_function_name)
                 select 'queue ' || number, 'wait' from generate_series({first}, {last}) as number;
                 insert into supaqueue.worker (queue)
                 select q.id from supaqueue.queue q
                 where not exists (select from supaqueue.worker w where w.queue = q.id)"
            ))
            .await?;
        database.vacuum().await
    };

    create(1, IDLE).await?;
    let round_trip = median_ms(client, "select 1").await?;
    let command = tick::command(client).await?;
    let tick = median_ms(client, &command).await? - round_trip;
    table.add(
        format!("idle tick, {} idle queues", grouped(IDLE)),
        format!("{tick:.2} ms in the database"),
        format!("{tick:.2}"),
        "< 5 ms",
        tick < 5.0,
    );

    let queues = scale.queues;
    if queues > IDLE {
        create(IDLE + 1, queues).await?;
    }
    let insert = median_ms(
        client,
        &format!(
            "insert into supaqueue.job (queue) select id from supaqueue.queue
             where name = (select 'queue ' || ceil(random() * {queues})::integer)"
        ),
    )
    .await?
        - round_trip;
    table.add(
        format!("insert one job, {} queues", grouped(queues)),
        format!("{insert:.2} ms in the database"),
        format!("{insert:.2}"),
        "< 2 ms",
        insert < 2.0,
    );

    let start = Instant::now();
    client
        .batch_execute("insert into supaqueue.job (queue) select id from supaqueue.queue")
        .await?;
    let insert = start.elapsed().as_secs_f64();
    table.add(
        format!("insert a job into each of {} queues", grouped(queues)),
        format!("{insert:.2} s including the commit"),
        format!("{insert:.2}"),
        "< 2 s",
        insert < 2.0,
    );
    let start = Instant::now();
    client.batch_execute(&command).await?;
    let tick = start.elapsed().as_secs_f64();
    let idle: i64 = client
        .query_one(
            "select count(*) from supaqueue.worker w where not w.locked",
            &[],
        )
        .await?
        .get(0);
    table.add(
        "the tick that starts them all",
        format!("{tick:.2} s; {idle} left"),
        format!("{tick:.2}"),
        "all",
        idle == 0,
    );
    Ok(())
}
