//! The time from the commit of an insert until the call reaches the target.
//!
//! It begins when the client has received the answer to the commit, and ends at the first line of the
//! target's handler. Both use the clock of this machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::Scale;
use super::peer::{Inserts, Load, Peer};
use super::target::Target;
use super::usage::Usage;
use crate::Result;
use crate::project::{Project, vacuum};

/// The load of which half arrives.
pub(super) const LOAD: Load = Load {
    places: 10,
    call_ms: 100,
};
/// The connections that insert jobs, more than are busy at once.
const CONNECTIONS: usize = 8;
/// How long the last job may take to be settled after its call.
const SETTLED: Duration = Duration::from_secs(1);
/// The pause between jobs of an idle queue. At times it is longer than anything lingers.
pub(super) const PAUSE_MS: std::ops::Range<u64> = 1000..6000;

/// When jobs arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) enum Arrivals {
    /// One at a time, with pauses.
    Idle,
    /// At random times, half as many as the queue can call.
    HalfLoad,
}

impl Arrivals {
    pub(super) const BOTH: [Self; 2] = [Self::Idle, Self::HalfLoad];

    /// When each job is due.
    fn times(self, project: &Project, scale: Scale) -> Vec<Duration> {
        let mut time = Duration::ZERO;
        let mut times = Vec::new();
        match self {
            Self::Idle => {
                for _ in 0..scale.idle_jobs {
                    time += Duration::from_millis(fastrand::u64(PAUSE_MS));
                    times.push(time);
                }
            }
            Self::HalfLoad => {
                let rate = half_load(project);
                while time < scale.window {
                    // Exponential pauses, as of arrivals that know nothing of each other.
                    time += Duration::from_secs_f64(-(1.0 - fastrand::f64()).ln() / rate);
                    times.push(time);
                }
            }
        }
        times
    }
}

/// Jobs per second at half load.
pub(super) fn half_load(project: &Project) -> f64 {
    project.limit(LOAD.places, LOAD.call_ms) / 2.0
}

/// A result.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    /// Of each job, in milliseconds.
    pub(super) times: Vec<f64>,
    pub(super) most_in_flight: u32,
    /// From the insert of a job to its end.
    pub(super) usage: Usage,
}

pub(super) async fn measure(
    project: &Project,
    target: &Target,
    peer: Peer,
    arrivals: Arrivals,
    scale: Scale,
) -> Result<Latency> {
    let running = peer.start(project, target, LOAD).await?;
    vacuum(project.stack.database()).await?;
    let admin = project.stack.database().connect_as_admin().await?;
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push((Inserts::of(project, peer).await?, Vec::new()));
    }
    // The first calls start the functions.
    for (probe, (inserts, _)) in (0..).zip(&connections) {
        inserts.insert(1, &payload(probe)).await?;
    }
    target.until(CONNECTIONS).await?;
    let before = Usage::now(project, &admin).await?;

    let times = arrivals.times(project, scale);
    let jobs = times.len();
    for (number, time) in times.into_iter().enumerate() {
        if let Some((_, due)) = connections.get_mut(number % CONNECTIONS) {
            due.push((u32::try_from(CONNECTIONS + number)?, time));
        }
    }
    let start = Instant::now();
    let mut inserting = JoinSet::new();
    for (inserts, due) in connections {
        inserting.spawn(async move {
            let mut committed = Vec::new();
            for (probe, time) in due {
                sleep_until(start + time).await;
                inserts.insert(1, &payload(probe)).await?;
                let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
                committed.push((probe, now.as_secs_f64() * 1000.0));
            }
            Result::<_>::Ok(committed)
        });
    }
    let mut committed = Vec::new();
    while let Some(some) = inserting.join_next().await {
        committed.extend(some??);
    }
    let collected = target.until(CONNECTIONS + jobs).await?;
    // What is reported later belongs to these jobs, too.
    sleep(SETTLED).await;
    let usage = Usage::now(project, &admin).await?;
    running.stop().await?;
    let reached = |(probe, committed)| Some(collected.probes.get(&probe)? - committed);
    Ok(Latency {
        times: committed.into_iter().filter_map(reached).collect(),
        most_in_flight: collected.most_in_flight,
        usage: usage.per_job(before, u32::try_from(jobs)?),
    })
}

/// The payload of a job of which the target remembers when it came.
fn payload(probe: u32) -> String {
    format!(r#"{{"ms": {}, "probe": {probe}}}"#, LOAD.call_ms)
}
