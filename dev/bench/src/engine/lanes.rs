//! A run's lanes: connections that report a success, get the next job in the answer, and so on. Its
//! pulse keeps its lease meanwhile.

use std::time::{Duration, Instant};

use procfs::process::Process;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Statement};

use super::database::TestDatabase;
use crate::Result;

/// The report as the supaqueue function sends it.
pub(crate) const SETTLE: &str = r#"select public.end_current_job($1::text::uuid, true, true, $2::text::jsonb,
  '{"within_ms": 100000, "bytes": 8000000}') #>> '{next,current_job,id}'"#;
/// The pulse as the supaqueue function sends it.
pub(crate) const PULSE: &str = "select public.supaqueue_pulse($1::text::uuid, $2, $3::text::jsonb)";
/// The time between two pulses, as with the default lease.
const PULSE_INTERVAL: Duration = Duration::from_secs(10);

/// What a run reports of a call.
pub(crate) fn report(run: &str) -> String {
    format!(
        r#"{{"run": "{run}", "http_status": 200, "duration_ms": 100, "result": {{"ok": true}}}}"#
    )
}

/// The request of a pulse that acknowledges calls.
pub(crate) fn acknowledging(calls: &[String]) -> String {
    format!(r#"{{"protocol": 2, "acknowledge": {calls:?}}}"#)
}

/// A run, which lives until this is dropped.
struct Run {
    id: String,
    pulses: JoinHandle<Result<()>>,
}

impl Run {
    /// Begins a run with these calls.
    async fn begin(client: Client, calls: &[String]) -> Result<Self> {
        let id = "select gen_random_uuid()::text";
        let id: String = client.query_one(id, &[]).await?.get(0);
        let pulse = client.prepare(PULSE).await?;
        client
            .execute(&pulse, &[&id, &1, &acknowledging(calls)])
            .await?;
        let started = "select count(*) from supaqueue.current_job where run = $1::text::uuid";
        let started: i64 = client.query_one(started, &[&id]).await?.get(0);
        if usize::try_from(started)? != calls.len() {
            return Err(format!("{started} of {} calls were started", calls.len()).into());
        }
        let pulses = tokio::spawn(keep_alive(client, pulse, id.clone()));
        Ok(Self { id, pulses })
    }
}

/// Pulses until the task is aborted.
async fn keep_alive(client: Client, pulse: Statement, run: String) -> Result<()> {
    let mut number = 1;
    loop {
        tokio::time::sleep(PULSE_INTERVAL).await;
        number += 1;
        let request = acknowledging(&[]);
        client.execute(&pulse, &[&run, &number, &request]).await?;
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.pulses.abort();
    }
}

/// A connection and its current call.
struct Lane {
    client: Client,
    process: i32,
    settle: Statement,
    report: String,
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
                .query_one(&self.settle, &[&self.call, &self.report])
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
                .query_one(&self.settle, &[&current, &self.report])
                .await?;
            call = row.get(0);
            settled += 1;
        }
        Ok(settled)
    }
}

/// A run of all calls of a database, with a lane for each busy worker.
pub(crate) struct Lanes {
    lanes: Vec<Lane>,
    _run: Run,
}

impl Lanes {
    /// Acknowledges every call of the database.
    pub(crate) async fn of(database: &TestDatabase) -> Result<Self> {
        let calls: Vec<String> = database
            .client()
            .query(
                "select id::text from supaqueue.current_job order by id",
                &[],
            )
            .await?
            .iter()
            .map(|call| call.get(0))
            .collect();
        let run = Run::begin(database.connect().await?, &calls).await?;
        let mut lanes = Vec::new();
        for call in calls {
            let client = database.connect().await?;
            let settle = client.prepare(SETTLE).await?;
            let process = client
                .query_one("select pg_backend_pid()", &[])
                .await?
                .get(0);
            lanes.push(Lane {
                process,
                client,
                settle,
                report: report(&run.id),
                call,
            });
        }
        Ok(Self { lanes, _run: run })
    }

    /// Sets whether commits wait for the disk.
    pub(crate) async fn set_synchronous_commit(&self, on: bool) -> Result<()> {
        for lane in &self.lanes {
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
        let idle = self.lanes.split_off(lanes.min(self.lanes.len()));
        let running: Vec<_> = self
            .lanes
            .drain(..)
            .map(|lane| tokio::spawn(lane.run(start, time)))
            .collect();
        let mut total = vec![0; usize::try_from(time.as_secs())? + 1];
        for lane in running {
            let (lane, counts) = lane.await??;
            self.lanes.push(lane);
            for (sum, count) in total.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        self.lanes.extend(idle);
        Ok(total)
    }

    /// Settles all jobs. Returns their number.
    pub(crate) async fn drain(&mut self) -> Result<u32> {
        let lanes: Vec<_> = self
            .lanes
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
        let lane = self.lanes.first().ok_or("the database has no lanes")?;
        let time = Process::new(lane.process)?.schedstat()?.sum_exec_runtime;
        Ok(Duration::from_nanos(time).as_secs_f64() * 1000.0)
    }
}
