//! Samples the stack until the last job has finished.
//!
//! A sample that fails is recorded as an error. Finished jobs that could not be read are read with the
//! next sample.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use supaqueue_local::Stack;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_postgres::Client;

use super::Scale;
use super::arrivals::Arrivals;
use super::errors::Errors;
use super::latency::finished;
use super::memory::{Memory, Parts};
use super::result::{Sample, Vacuumed, Window};
use super::size::{backlog, sizes};
use crate::Result;
use crate::machine::{CpuSnapshot, Noise};
use crate::project::Project;

/// The maximum duration of a query.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The samples taken so far.
pub(super) struct Monitor<'a> {
    stack: &'a Stack,
    scale: Scale,
    arrivals: &'a Arrivals,
    errors: &'a Errors,
    client: Client,
    start: Instant,
    /// The start of the current window.
    current: Edge,
    /// Windows that have ended but are not read yet.
    unread: Vec<Unread>,
    samples: Vec<Sample>,
    windows: Vec<Window>,
    vacuumed: Vec<Vacuumed>,
}

/// The boundary between two windows.
#[derive(Debug, Clone, Copy)]
struct Edge {
    at: Instant,
    /// Seconds since 1970.
    clock: f64,
    arrived: u32,
    cpu: CpuSnapshot,
}

/// A window that has ended. It is read with the next sample, when all its reports are committed.
#[derive(Debug, Clone, Copy)]
struct Unread {
    begun: Instant,
    minute: f64,
    from: f64,
    to: f64,
    seconds: f64,
    arrived: u32,
    noise: Noise,
}

impl<'a> Monitor<'a> {
    pub(super) async fn new(
        project: &'a Project,
        scale: Scale,
        arrivals: &'a Arrivals,
        errors: &'a Errors,
    ) -> Result<Self> {
        let current = Edge {
            // Includes jobs that have arrived already.
            clock: 0.0,
            arrived: 0,
            ..edge(arrivals).await?
        };
        Ok(Self {
            stack: &project.stack,
            scale,
            arrivals,
            errors,
            client: project.stack.database().connect().await?,
            start: current.at,
            current,
            unread: Vec::new(),
            samples: Vec::new(),
            windows: Vec::new(),
            vacuumed: Vec::new(),
        })
    }

    /// Takes samples until no more jobs arrive.
    pub(super) async fn run(&mut self) {
        let pause = self.scale.interval();
        let window = self.scale.window();
        let mut ticks = interval_at(self.start + pause, pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.start.elapsed() + pause <= self.scale.time {
            ticks.tick().await;
            match with_timeout(self.sample()).await {
                Ok(sample) => self.samples.push(sample),
                Err(error) => self.errors.add("cannot take a sample", error),
            }
            self.read_windows().await;
            if self.current.at.elapsed() >= window {
                self.end_window().await;
            }
            if self.vacuumed.is_empty() && self.start.elapsed() >= self.scale.first_third() {
                self.vacuum().await;
            }
        }
    }

    /// Waits until all jobs have finished and are read. Returns the number of unfinished jobs.
    pub(super) async fn drain(&mut self, limit: Duration) -> Option<f64> {
        let deadline = Instant::now() + limit;
        // The last window has no end, because no other follows.
        self.end_window().await;
        if let Some(last) = self.unread.last_mut() {
            last.to = f64::INFINITY;
        }
        let mut unfinished = None;
        while unfinished != Some(0.0) && Instant::now() < deadline {
            match with_timeout(self.backlog()).await {
                Ok(number) => unfinished = Some(number),
                Err(error) => self.errors.add("cannot count unfinished jobs", error),
            }
            sleep(Duration::from_millis(200)).await;
        }
        while !self.unread.is_empty() && Instant::now() < deadline {
            self.read_windows().await;
        }
        unfinished
    }

    /// Vacuums the tables and records their sizes.
    pub(super) async fn vacuum(&mut self) {
        let vacuum = async || -> Result<Vacuumed> {
            let admin = self.stack.database().connect_as_admin().await?;
            admin
                .batch_execute(
                    "vacuum supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.ready_job, supaqueue.held_job",
                )
                .await?;
            Ok(Vacuumed {
                minute: self.minute(),
                sizes: sizes(&admin).await?,
            })
        };
        match with_timeout(vacuum()).await {
            Ok(vacuumed) => self.vacuumed.push(vacuumed),
            Err(error) => self.errors.add("cannot vacuum the tables", error),
        }
    }

    pub(super) fn successful(&self) -> u32 {
        let all = self.windows.iter();
        all.map(|window| window.finished.successful).sum()
    }

    pub(super) fn retried(&self) -> u32 {
        let all = self.windows.iter();
        all.map(|window| window.finished.retried).sum()
    }

    /// The number of jobs that failed, which are never deleted.
    pub(super) async fn failed(&mut self) -> Option<i64> {
        match with_timeout(self.count_failed()).await {
            Ok(failed) => Some(failed),
            Err(error) => {
                self.errors.add("cannot count failed jobs", error);
                None
            }
        }
    }

    pub(super) fn into_results(self) -> (Vec<Sample>, Vec<Window>, Vec<Vacuumed>) {
        (self.samples, self.windows, self.vacuumed)
    }

    async fn sample(&mut self) -> Result<Sample> {
        self.connect().await?;
        let parts = Parts {
            function: self.stack.function_pids("supaqueue").await,
            target: self.stack.function_pids("wait").await,
            postgres: self.stack.postgres().map(|postgres| postgres.pid()),
        };
        // Blocking here would delay the gateway, which runs in the same process.
        let memory = tokio::task::spawn_blocking(move || Memory::of(&parts)).await??;
        Ok(Sample {
            minute: self.minute(),
            memory,
            sizes: sizes(&self.client).await?,
            backlog: backlog(&self.client).await?,
        })
    }

    async fn backlog(&mut self) -> Result<f64> {
        self.connect().await?;
        backlog(&self.client).await
    }

    async fn count_failed(&mut self) -> Result<i64> {
        self.connect().await?;
        let sql = "select count(*) from supaqueue.job j where j.status in ('failed', 'cancelled')";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    async fn end_window(&mut self) {
        let edge = match edge(self.arrivals).await {
            Ok(edge) => edge,
            Err(error) => return self.errors.add("cannot end a window", error),
        };
        self.unread.push(Unread {
            begun: self.current.at,
            minute: self.minute(),
            from: self.current.clock,
            to: edge.clock,
            seconds: (edge.at - self.current.at).as_secs_f64(),
            arrived: edge.arrived - self.current.arrived,
            noise: edge.cpu.since(&self.current.cpu),
        });
        self.current = edge;
    }

    async fn read_windows(&mut self) {
        while let Some(window) = self.unread.first().copied() {
            match with_timeout(self.read(window)).await {
                Ok(window) => {
                    print(&window, self.samples.last());
                    self.windows.push(window);
                    self.unread.remove(0);
                }
                Err(error) => return self.errors.add("cannot read finished jobs", error),
            }
        }
    }

    async fn read(&mut self, window: Unread) -> Result<Window> {
        self.connect().await?;
        let finished = finished(&self.client, window.from, window.to).await?;
        if window.begun.elapsed() > self.scale.retention() {
            let reason = "some of its jobs may have been deleted and then count as lost";
            self.errors.add(
                &format!("minute {:.1} was read late", window.minute),
                reason,
            );
        }
        Ok(Window {
            minute: window.minute,
            arrived_per_second: f64::from(window.arrived) / window.seconds,
            successful_per_second: f64::from(finished.successful) / window.seconds,
            finished,
            noise: window.noise,
        })
    }

    /// Reconnects if the connection was lost.
    async fn connect(&mut self) -> Result<()> {
        if self.client.is_closed() {
            self.client = self.stack.database().connect().await?;
        }
        Ok(())
    }

    fn minute(&self) -> f64 {
        self.start.elapsed().as_secs_f64() / 60.0
    }
}

async fn with_timeout<T>(result: impl Future<Output = Result<T>>) -> Result<T> {
    let in_time = tokio::time::timeout(TIMEOUT, result).await;
    in_time.map_err(|_| format!("timed out after {} s", TIMEOUT.as_secs()))?
}

async fn edge(arrivals: &Arrivals) -> Result<Edge> {
    Ok(Edge {
        cpu: tokio::task::spawn_blocking(CpuSnapshot::now).await??,
        at: Instant::now(),
        clock: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64(),
        arrived: arrivals.inserted(),
    })
}

fn print(window: &Window, sample: Option<&Sample>) {
    let ms = |value: Option<f64>| value.map_or_else(|| "?".into(), |ms| format!("{ms:.0}"));
    let finished = &window.finished;
    println!(
        "  minute {:.1}: {:.0} jobs/s, {:.0} unfinished, p50 {} ms, p95 {} ms, p99 {} ms; {}",
        window.minute,
        window.successful_per_second,
        sample.map_or(0.0, |sample| sample.backlog),
        ms(finished.p50_ms),
        ms(finished.p95_ms),
        ms(finished.p99_ms),
        window.noise
    );
}
