//! The faults, and how each is injected.

mod database;
mod disk;
mod kill;
mod memory;
mod network;
mod project;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use fastrand::Rng;

pub use disk::DISK;

use crate::proxy::{DispatchFault, Faults, PulseFault, RpcFault, TargetFault};
use crate::{Pace, Result, Rule, Scene, Violation};

/// A fault that is injected for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// No fault: the load alone
    None,
    /// kill -9 of the supaqueue function's process, several times
    FunctionKilled,
    /// The gateway stops, cutting every request under way
    GatewayKilled,
    /// kill -9 of pg_net's worker, which empties its tables
    NetWorkerKilled,
    /// kill -9 of a Postgres backend, after which Postgres restarts them all
    BackendKilled,
    /// kill -9 of Postgres, which then recovers from the crash
    PostgresKilled,
    /// pg_net sends nothing
    NetDown,
    /// Dispatches arrive 30 seconds late
    DispatchDelayed,
    /// Dispatches arrive three times
    DispatchRepeated,
    /// Dispatches arrive in reverse order
    DispatchReordered,
    /// Recorded dispatches are replayed
    DispatchReplayed,
    /// Recorded dispatches are replayed an hour later
    DispatchReplayedLate,
    /// Pulses, or their answers, are lost
    PulseLost,
    /// Pulses arrive after they have been sent again
    PulseDelayed,
    /// Pulses arrive three times
    PulseRepeated,
    /// Pulses and reports are executed, but their answers are lost
    RpcAnswerLost,
    /// The database API answers everything with 401
    Rpc401,
    /// The database API answers everything with 403
    Rpc403,
    /// The database API answers 500
    Rpc500,
    /// The database API answers 429
    Rpc429,
    /// The database API does not answer
    RpcHangs,
    /// Targets do not answer
    TargetHangs,
    /// Targets cut the connection, before or during the answer
    TargetCuts,
    /// Targets answer byte by byte
    TargetDrips,
    /// Targets answer with 100 MB
    TargetFloods,
    /// Twenty jobs with the largest payloads at once, and an isolate without memory for them all
    PayloadsLarge,
    /// The function's clock is ten minutes ahead
    ClockAhead,
    /// The function's clock is ten minutes behind
    ClockBehind,
    /// A transaction that inserted jobs stays open for minutes
    TransactionOpen,
    /// A trigger of the user raises at every update of some jobs
    TriggerRaises,
    /// The right to send requests through pg_net is taken away and given back, several times
    NetForbidden,
    /// The secret is rotated
    SecretRotated,
    /// The newest migration and the add-on are installed again, several times
    Upgraded,
    /// The disk with Postgres' data is full
    DiskFull,
}

/// The context of one injection.
#[derive(Debug)]
struct Injection<'a> {
    scene: &'a Arc<Scene>,
    /// How long the fault lasts.
    time: Duration,
    rng: Rng,
    violations: Vec<Violation>,
}

impl Injection<'_> {
    /// Checks that the fault took effect.
    fn check(&mut self, took_effect: bool, otherwise: &str) {
        if !took_effect {
            let violation = Violation::new(Rule::FaultTookEffect, otherwise);
            self.violations.push(violation);
        }
    }
}

impl Fault {
    /// The fault's name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// All faults except [`Self::DiskFull`], which needs a scene of its own.
    pub fn all() -> Vec<Self> {
        let mut faults = Self::value_variants().to_vec();
        faults.retain(|fault| ![Self::None, Self::DiskFull].contains(fault));
        faults
    }

    /// Injects the fault for the given time and removes it. Returns a violation if it had no effect.
    pub(crate) async fn inject(self, scene: &Arc<Scene>, time: Duration) -> Result<Vec<Violation>> {
        let mut injection = Injection {
            scene,
            time,
            rng: scene.rng(&self.name()),
            violations: Vec::new(),
        };
        match self {
            Self::None => tokio::time::sleep(time).await,
            Self::FunctionKilled => injection.kill_function().await?,
            Self::GatewayKilled => injection.kill_gateway().await?,
            Self::NetWorkerKilled => injection.kill_net_worker().await?,
            Self::BackendKilled => injection.kill_backend().await?,
            Self::PostgresKilled => injection.kill_postgres().await?,
            Self::NetDown => injection.stop_net_worker().await,
            Self::DispatchReplayed => injection.replay().await?,
            Self::DispatchReplayedLate => injection.replay_late().await?,
            Self::ClockAhead => injection.set_clock(600_000).await?,
            Self::ClockBehind => injection.set_clock(-600_000).await?,
            Self::TransactionOpen => injection.leave_transaction_open().await?,
            Self::TriggerRaises => injection.raise_in_trigger().await?,
            Self::NetForbidden => injection.forbid_net().await?,
            Self::SecretRotated => injection.rotate_secret().await?,
            Self::Upgraded => injection.upgrade().await?,
            Self::DiskFull => injection.fill_disk().await?,
            Self::PayloadsLarge => injection.insert_large_payloads().await?,
            _ => {
                let faults = self.proxy_faults(scene.pace);
                injection.set_proxy(faults).await?;
            }
        }
        Ok(injection.violations)
    }

    /// What the proxy does for the faults of messages; nothing for the others.
    fn proxy_faults(self, pace: Pace) -> Faults {
        let mut faults = Faults::default();
        match self {
            Self::DispatchDelayed => {
                // Longer than the lease, so that the jobs are dispatched again in the meantime.
                faults.dispatch = DispatchFault::Delayed(match pace {
                    Pace::Quick => Duration::from_secs(3),
                    Pace::Real => Duration::from_secs(30),
                });
            }
            Self::DispatchRepeated => faults.dispatch = DispatchFault::Repeated,
            Self::DispatchReordered => faults.dispatch = DispatchFault::Reordered,
            Self::PulseLost => faults.pulse = PulseFault::Lost,
            Self::PulseDelayed => {
                // Longer than the function waits for an answer.
                faults.pulse = PulseFault::Delayed(match pace {
                    Pace::Quick => Duration::from_secs(3),
                    Pace::Real => Duration::from_secs(10),
                });
            }
            Self::PulseRepeated => faults.pulse = PulseFault::Repeated,
            Self::RpcAnswerLost => faults.rpc = RpcFault::AnswerLost,
            Self::Rpc401 => faults.rpc = RpcFault::Refused(401),
            Self::Rpc403 => faults.rpc = RpcFault::Refused(403),
            Self::Rpc500 => faults.rpc = RpcFault::Status(500),
            Self::Rpc429 => faults.rpc = RpcFault::Status(429),
            Self::RpcHangs => faults.rpc = RpcFault::Hangs,
            Self::TargetHangs => faults.target = TargetFault::Hangs,
            Self::TargetCuts => faults.target = TargetFault::Cuts,
            Self::TargetDrips => faults.target = TargetFault::Drips,
            Self::TargetFloods => faults.target = TargetFault::Floods,
            _ => {}
        }
        faults
    }
}
