//! Looks at the stack again and again, until the last job has ended.
//!
//! A look that fails is noted, and the next one is as good as ever: what was not read of finished
//! jobs is read then.

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
use crate::machine::{Disturbance, Moment};
use crate::project::Project;

/// How long a look may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was seen so far.
pub(super) struct Watch<'a> {
    stack: &'a Stack,
    scale: Scale,
    arrivals: &'a Arrivals,
    errors: &'a Errors,
    client: Client,
    start: Instant,
    /// The window that is not at its end yet.
    open: Edge,
    /// Windows at their end, not read yet.
    ended: Vec<Ended>,
    samples: Vec<Sample>,
    windows: Vec<Window>,
    vacuumed: Vec<Vacuumed>,
}

/// A moment between two windows.
#[derive(Debug, Clone, Copy)]
struct Edge {
    at: Instant,
    /// Seconds since 1970.
    clock: f64,
    arrived: u32,
    machine: Moment,
}

/// A window at its end. It is read with the next look, when all reports of its time are committed.
#[derive(Debug, Clone, Copy)]
struct Ended {
    begun: Instant,
    minute: f64,
    from: f64,
    to: f64,
    seconds: f64,
    arrived: u32,
    disturbance: Disturbance,
}

impl<'a> Watch<'a> {
    pub(super) async fn new(
        project: &'a Project,
        scale: Scale,
        arrivals: &'a Arrivals,
        errors: &'a Errors,
    ) -> Result<Self> {
        let open = Edge {
            // The first jobs may have arrived already.
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
            start: open.at,
            open,
            ended: Vec::new(),
            samples: Vec::new(),
            windows: Vec::new(),
            vacuumed: Vec::new(),
        })
    }

    /// Looks until no more jobs are to arrive.
    pub(super) async fn until_the_end(&mut self) {
        let pause = self.scale.interval();
        let window = self.scale.window();
        let mut looks = interval_at(self.start + pause, pause);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.start.elapsed() + pause <= self.scale.time {
            looks.tick().await;
            match patiently(self.look()).await {
                Ok(sample) => self.samples.push(sample),
                Err(error) => self.errors.add("a look failed", error),
            }
            self.read_windows().await;
            if self.open.at.elapsed() >= window {
                self.end_window().await;
            }
            if self.vacuumed.is_empty() && self.start.elapsed() >= self.scale.first_third() {
                self.vacuum().await;
            }
        }
    }

    /// Waits until no job is left, and reads what is not read yet; how many are left all the same.
    pub(super) async fn drained(&mut self, limit: Duration) -> Option<i64> {
        let deadline = Instant::now() + limit;
        // The last one has no end: nothing follows it.
        self.end_window().await;
        if let Some(last) = self.ended.last_mut() {
            last.to = f64::INFINITY;
        }
        let mut left = None;
        while Instant::now() < deadline {
            match patiently(self.backlog()).await {
                Ok(0) => {
                    left = Some(0);
                    break;
                }
                Ok(number) => left = Some(number),
                Err(error) => self.errors.add("the jobs left were not counted", error),
            }
            sleep(Duration::from_millis(200)).await;
        }
        while !self.ended.is_empty() && Instant::now() < deadline {
            self.read_windows().await;
        }
        left
    }

    /// Vacuums the tables, and keeps their sizes after it.
    pub(super) async fn vacuum(&mut self) {
        let vacuum = async || -> Result<Vacuumed> {
            let admin = self.stack.database().connect_as_admin().await?;
            admin
                .batch_execute(
                    "vacuum supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue_front",
                )
                .await?;
            Ok(Vacuumed {
                minute: self.minute(),
                sizes: sizes(&admin).await?,
            })
        };
        match patiently(vacuum()).await {
            Ok(vacuumed) => self.vacuumed.push(vacuumed),
            Err(error) => self.errors.add("the tables were not vacuumed", error),
        }
    }

    pub(super) fn successful(&self) -> u32 {
        let all = self.windows.iter();
        all.map(|window| window.finished.successful).sum()
    }

    pub(super) fn repeated(&self) -> u32 {
        let all = self.windows.iter();
        all.map(|window| window.finished.repeated).sum()
    }

    /// Jobs that ended without success; these are kept.
    pub(super) async fn failed(&mut self) -> Option<i64> {
        match patiently(self.count_failed()).await {
            Ok(failed) => Some(failed),
            Err(error) => {
                self.errors.add("the failed jobs were not counted", error);
                None
            }
        }
    }

    pub(super) fn seen(self) -> (Vec<Sample>, Vec<Window>, Vec<Vacuumed>) {
        (self.samples, self.windows, self.vacuumed)
    }

    async fn look(&mut self) -> Result<Sample> {
        self.connect().await?;
        let parts = Parts {
            function: self.stack.function_pids("supaqueue").await,
            target: self.stack.function_pids("wait").await,
            postgres: self.stack.postgres().map(|postgres| postgres.pid()),
        };
        // The gateway runs beside this, and must not wait for it.
        let memory = tokio::task::spawn_blocking(move || Memory::of(&parts)).await??;
        Ok(Sample {
            minute: self.minute(),
            memory,
            sizes: sizes(&self.client).await?,
            backlog: backlog(&self.client).await?,
        })
    }

    async fn backlog(&mut self) -> Result<i64> {
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
            Err(error) => return self.errors.add("a window was not ended", error),
        };
        self.ended.push(Ended {
            begun: self.open.at,
            minute: self.minute(),
            from: self.open.clock,
            to: edge.clock,
            seconds: (edge.at - self.open.at).as_secs_f64(),
            arrived: edge.arrived - self.open.arrived,
            disturbance: edge.machine.since(&self.open.machine),
        });
        self.open = edge;
    }

    async fn read_windows(&mut self) {
        while let Some(ended) = self.ended.first().copied() {
            match patiently(self.read(ended)).await {
                Ok(window) => {
                    show(&window, self.samples.last());
                    self.windows.push(window);
                    self.ended.remove(0);
                }
                Err(error) => return self.errors.add("finished jobs were not read", error),
            }
        }
    }

    async fn read(&mut self, ended: Ended) -> Result<Window> {
        self.connect().await?;
        let finished = finished(&self.client, ended.from, ended.to).await?;
        if ended.begun.elapsed() > self.scale.retention() {
            let late = "some of its jobs may be deleted already, and are then missed below";
            self.errors
                .add(&format!("minute {:.1} was read late", ended.minute), late);
        }
        Ok(Window {
            minute: ended.minute,
            arrived_per_second: f64::from(ended.arrived) / ended.seconds,
            successful_per_second: f64::from(finished.successful) / ended.seconds,
            finished,
            disturbance: ended.disturbance,
        })
    }

    /// Connects again where the connection was lost.
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

/// Waits for a result, but not for ever.
async fn patiently<T>(result: impl Future<Output = Result<T>>) -> Result<T> {
    let in_time = tokio::time::timeout(PATIENCE, result).await;
    in_time.map_err(|_| format!("it took more than {} s", PATIENCE.as_secs()))?
}

async fn edge(arrivals: &Arrivals) -> Result<Edge> {
    Ok(Edge {
        machine: tokio::task::spawn_blocking(Moment::now).await??,
        at: Instant::now(),
        clock: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64(),
        arrived: arrivals.inserted(),
    })
}

fn show(window: &Window, sample: Option<&Sample>) {
    let ms = |value: Option<f64>| value.map_or_else(|| "?".into(), |ms| format!("{ms:.0}"));
    let finished = &window.finished;
    println!(
        "  minute {:.1}: {:.0} jobs/s, {} left, p50 {} ms, p95 {} ms, p99 {} ms; {}",
        window.minute,
        window.successful_per_second,
        sample.map_or(0, |sample| sample.backlog),
        ms(finished.p50_ms),
        ms(finished.p95_ms),
        ms(finished.p99_ms),
        window.disturbance
    );
}
