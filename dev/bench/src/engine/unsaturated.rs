//! Inserts, acknowledgements and reports in a queue with free workers, where nothing is next: beside an open transaction,
//! and beside jobs that are due later.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::Scale;
use super::database::{Server, TestDatabase};
use super::lanes::{PULSE, SETTLE, acknowledging, report};
use super::median_ms;
use crate::Result;
use crate::numbers::{grouped, median};
use crate::table::Table;

/// How many jobs were taken while the transaction was open.
const TAKEN: u32 = 100_000;
/// The number of distinct priorities of the jobs due later.
const PRIORITIES: u32 = 20_000;
/// How much an insert or a report may cost, relative to what it cost before.
const MAX_RATIO: f64 = 1.5;

/// When it stops early: then it is far too slow anyway.
const MAX_TIME: Duration = Duration::from_secs(5);

/// Median times, in milliseconds.
struct Costs {
    insert: f64,
    acknowledge: f64,
    report: f64,
}

impl Costs {
    /// Inserts jobs that start immediately, acknowledges and reports them.
    async fn of(client: &Client) -> Result<Self> {
        let round_trip = median_ms(client, "select 1").await?;
        let insert = client
            .prepare(
                "insert into supaqueue.job (queue, priority)
                 select id, 1000000 from supaqueue.queue where name = 'queue' returning id::text",
            )
            .await?;
        let call = client
            .prepare("select id::text from supaqueue.current_job where job = $1::text::uuid")
            .await?;
        let pulse = client.prepare(PULSE).await?;
        let settle = client.prepare(SETTLE).await?;
        let run = "select gen_random_uuid()::text";
        let run: String = client.query_one(run, &[]).await?.get(0);
        let report = report(&run);
        let (mut inserts, mut acknowledgements, mut reports) = (Vec::new(), Vec::new(), Vec::new());
        let first = Instant::now();
        for number in 1..=200_i32 {
            if first.elapsed() > MAX_TIME {
                break;
            }
            let start = Instant::now();
            let job: String = client.query_one(&insert, &[]).await?.get(0);
            inserts.push(start.elapsed().as_secs_f64() * 1000.0 - round_trip);
            let call: String = client.query_one(&call, &[&job]).await?.get(0);
            let request = acknowledging(std::slice::from_ref(&call));
            let start = Instant::now();
            client.query_one(&pulse, &[&run, &number, &request]).await?;
            acknowledgements.push(start.elapsed().as_secs_f64() * 1000.0 - round_trip);
            let start = Instant::now();
            client.query_one(&settle, &[&call, &report]).await?;
            reports.push(start.elapsed().as_secs_f64() * 1000.0 - round_trip);
        }
        Ok(Self {
            insert: median(&mut inserts),
            acknowledge: median(&mut acknowledgements),
            report: median(&mut reports),
        })
    }

    fn compare(&self, before: &Self, what: &str, table: &mut Table) {
        for (name, now, before) in [
            ("insert", self.insert, before.insert),
            ("acknowledgement", self.acknowledge, before.acknowledge),
            ("report", self.report, before.report),
        ] {
            table.add(
                format!("{name}, free workers, {what}"),
                format!("{now:.2} ms; {before:.2} without"),
                format!("{:.2}", now / before),
                format!("≤ {MAX_RATIO}"),
                now / before <= MAX_RATIO,
            );
        }
    }
}

/// A database with a queue with free workers, and a connection whose commits do not wait for the disk.
async fn prepare(server: &Server) -> Result<(TestDatabase, Client)> {
    let database = server.database().await?;
    database.create_queues(&["queue"], 8).await?;
    let client = database.connect().await?;
    client.batch_execute("set synchronous_commit = off").await?;
    Ok((database, client))
}

pub(crate) async fn measure(server: &Server, scale: Scale, table: &mut Table) -> Result<()> {
    let (database, client) = prepare(server).await?;
    let before = Costs::of(&client).await?;
    let open = database.connect().await?;
    open.batch_execute("begin; select pg_current_xact_id()")
        .await?;
    for statement in [
        "update supaqueue.queue set is_paused = true",
        &format!(
            "insert into supaqueue.job (queue) select id from supaqueue.queue, generate_series(1, {TAKEN})"
        ),
        "update supaqueue.job set status = 'cancelled' where status = 'pending'",
        "update supaqueue.queue set is_paused = false",
    ] {
        client.batch_execute(statement).await?;
    }
    let after = Costs::of(&client).await?;
    open.batch_execute("commit").await?;
    let what = format!("{} taken jobs beside an open transaction", grouped(TAKEN));
    after.compare(&before, &what, table);

    let (database, client) = prepare(server).await?;
    let before = Costs::of(&client).await?;
    for (jobs, priority) in [(PRIORITIES, "number"), (scale.many, "0")] {
        client
            .batch_execute(&format!(
                "insert into supaqueue.job (queue, priority, run_at)
                 select id, {priority}, now() + interval '1 day' + number * interval '1 ms'
                 from supaqueue.queue, generate_series(1, {jobs}) as number"
            ))
            .await?;
        database.vacuum().await?;
        let what = match priority {
            "0" => format!("{} scheduled jobs", grouped(jobs)),
            _ => format!("{} priorities scheduled", grouped(jobs)),
        };
        Costs::of(&client).await?.compare(&before, &what, table);
    }
    Ok(())
}
