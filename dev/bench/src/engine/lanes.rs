//! Lanes: connections that report a success, get the next job in the answer, and so on.

use std::time::{Duration, Instant};

use procfs::process::Process;
use tokio_postgres::{Client, Statement};

use super::database::TestDatabase;
use crate::Result;

/// The report as the supaqueue function sends it.
pub(crate) const SETTLE: &str =
    "select public.end_current_job($1::text::uuid, true, true, $2::text::jsonb, 100000)
  #>> '{next,current_job,id}'";
pub(crate) const REPORT: &str =
    r#"{"http_status": 200, "duration_ms": 100, "result": {"ok": true}}"#;

/// A connection and its current call.
struct Lane {
    client: Client,
    process: i32,
    settle: Statement,
    call: String,
}

impl Lane {
    /// Settles jobs until the time is over. Returns the number of jobs in each second.
    async fn run(mut self, start: Instant, time: Duration) -> Result<(Self, Vec<u32>)> {
        let seconds = usize::try_from(time.as_secs())? + 1;
        let mut counts = vec![0; seconds];
        while start.elapsed() < time {
            let row = self
                .client
                .query_one(&self.settle, &[&self.call, &REPORT])
                .await?;
            self.call = row
                .get::<_, Option<String>>(0)
                .ok_or("there are too few jobs for this duration")?;
            let second = usize::try_from(start.elapsed().as_secs())?.min(seconds - 1);
            counts[second] += 1;
        }
        Ok((self, counts))
    }

    /// Settles jobs until there is no next one. Returns their number.
    async fn drain(self) -> Result<u32> {
        let (mut call, mut settled) = (Some(self.call), 0);
        while let Some(current) = call {
            let row = self
                .client
                .query_one(&self.settle, &[&current, &REPORT])
                .await?;
            call = row.get(0);
            settled += 1;
        }
        Ok(settled)
    }
}

/// The lanes of a database, one for each busy worker.
pub(crate) struct Lanes(Vec<Lane>);

impl Lanes {
    /// Acknowledges every call of the database.
    pub(crate) async fn of(database: &TestDatabase) -> Result<Self> {
        let calls = database
            .client()
            .query(
                "select id::text from supaqueue.current_job order by id",
                &[],
            )
            .await?;
        let mut lanes = Vec::new();
        for call in calls {
            let client = database.connect().await?;
            let settle = client.prepare(SETTLE).await?;
            let call: String = call.get(0);
            client
                .execute(
                    "select public.end_current_job($1::text::uuid, false, false,
                       jsonb_build_object('lane', gen_random_uuid()))",
                    &[&call],
                )
                .await?;
            let process = client
                .query_one("select pg_backend_pid()", &[])
                .await?
                .get(0);
            lanes.push(Lane {
                process,
                client,
                settle,
                call,
            });
        }
        Ok(Self(lanes))
    }

    /// Sets whether commits wait for the disk.
    pub(crate) async fn set_synchronous_commit(&self, on: bool) -> Result<()> {
        for lane in &self.0 {
            let value = if on { "on" } else { "off" };
            lane.client
                .batch_execute(&format!("set synchronous_commit = {value}"))
                .await?;
        }
        Ok(())
    }

    /// Runs the first `lanes` lanes at once. Returns the number of jobs in each second.
    pub(crate) async fn run(&mut self, lanes: usize, time: Duration) -> Result<Vec<u32>> {
        let start = Instant::now();
        let idle = self.0.split_off(lanes.min(self.0.len()));
        let running: Vec<_> = self
            .0
            .drain(..)
            .map(|lane| tokio::spawn(lane.run(start, time)))
            .collect();
        let mut total = vec![0; usize::try_from(time.as_secs())? + 1];
        for lane in running {
            let (lane, counts) = lane.await??;
            self.0.push(lane);
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        self.0.extend(idle);
        Ok(total)
    }

    /// Settles all jobs. Returns their number.
    pub(crate) async fn drain(&mut self) -> Result<u32> {
        let lanes: Vec<_> = self
            .0
            .drain(..)
            .map(|lane| tokio::spawn(lane.drain()))
            .collect();
        let mut settled = 0;
        for lane in lanes {
            settled += lane.await??;
        }
        Ok(settled)
    }

    /// Runs lanes as [`Self::run`] does. Returns the number of jobs per second.
    pub(crate) async fn rate(&mut self, lanes: usize, time: Duration) -> Result<f64> {
        let counts = self.run(lanes, time).await?;
        Ok(f64::from(counts.iter().sum::<u32>()) / time.as_secs_f64())
    }

    /// The CPU time of the first lane's Postgres process so far, in milliseconds. Schedstat counts it in
    /// nanoseconds, without the time of other processes.
    pub(crate) fn cpu_ms(&self) -> Result<f64> {
        let lane = self.0.first().ok_or("the database has no lanes")?;
        let time = Process::new(lane.process)?.schedstat()?.sum_exec_runtime;
        Ok(Duration::from_nanos(time).as_secs_f64() * 1000.0)
    }
}
