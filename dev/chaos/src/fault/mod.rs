//! What is made to fail.

mod database;
mod disk;
mod kill;
mod project;
mod way;

use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

pub use disk::DISK;

use crate::proxy::{DispatchFault, RpcFault, TargetFault};
use crate::random::Random;
use crate::{Pace, Result, Scene, Violation};

/// One thing that fails, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// Nothing: what the load is like by itself
    None,
    /// kill -9 of the supaqueue function's process, several times
    FunctionKilled,
    /// The gateway is gone, with all that was under way through it
    GatewayKilled,
    /// kill -9 of the worker of pg_net: its tables are emptied
    NetWorkerKilled,
    /// kill -9 of a backend of Postgres, which restarts all of them
    BackendKilled,
    /// kill -9 of Postgres; it recovers as from a crash
    PostgresKilled,
    /// pg_net sends nothing for a minute
    NetDown,
    /// Dispatches arrive 30 seconds late
    DispatchDelayed,
    /// Dispatches arrive three times
    DispatchRepeated,
    /// Dispatches arrive behind those that came after them
    DispatchReordered,
    /// Dispatches are sent again by somebody who has recorded them
    DispatchReplayed,
    /// Dispatches are sent again an hour later
    DispatchReplayedLate,
    /// Acknowledgements and reports are done, and their answers lost
    ReportAnswerLost,
    /// The database's functions answer 500
    Rpc500,
    /// The database's functions answer 429
    Rpc429,
    /// The database's functions do not answer
    RpcHangs,
    /// Targets do not answer
    TargetHangs,
    /// Targets cut the connection, before or within the answer
    TargetCuts,
    /// Targets answer byte by byte
    TargetDrips,
    /// Targets answer 100 MB
    TargetFloods,
    /// The function's clock is ten minutes ahead
    ClockAhead,
    /// The function's clock is ten minutes behind
    ClockBehind,
    /// A user's transaction with new jobs is left open for minutes
    TransactionOpen,
    /// The secret is replaced by a new one
    SecretRotated,
    /// The newest migration and the add-on are installed again, several times
    Upgraded,
    /// Postgres' disk is full
    DiskFull,
}

/// What a fault is to know.
#[derive(Debug)]
struct Scope<'a> {
    scene: &'a Arc<Scene>,
    /// How long it is to go on.
    time: Duration,
    random: Random,
}

impl Fault {
    /// Its name, as on the command line.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// All that there are, but [`Self::DiskFull`], which needs a scene of its own.
    pub fn all() -> Vec<Self> {
        let is_fault = |fault: &Self| ![Self::None, Self::DiskFull].contains(fault);
        Self::value_variants()
            .iter()
            .copied()
            .filter(is_fault)
            .collect()
    }

    /// Injects it for so long, and ends it; what was other than it should be meanwhile.
    pub(crate) async fn inject(self, scene: &Arc<Scene>, time: Duration) -> Result<Vec<Violation>> {
        let mut scope = Scope {
            scene,
            time,
            random: scene.random(&self.name()),
        };
        match self {
            Self::None => tokio::time::sleep(time).await,
            Self::FunctionKilled => return Ok(scope.kill_function().await),
            Self::GatewayKilled => scope.kill_gateway().await?,
            Self::NetWorkerKilled => scope.kill_net_worker().await?,
            Self::BackendKilled => scope.kill_backend().await?,
            Self::PostgresKilled => scope.kill_postgres().await?,
            Self::NetDown => scope.stop_net().await,
            Self::DispatchDelayed => {
                let late = match scene.pace {
                    // Longer than the lease: by then it has been sent again.
                    Pace::Quick => Duration::from_secs(3),
                    Pace::Real => Duration::from_secs(30),
                };
                return Ok(scope.set_dispatch(DispatchFault::Delayed(late)).await);
            }
            Self::DispatchRepeated => return Ok(scope.set_dispatch(DispatchFault::Repeated).await),
            Self::DispatchReordered => {
                return Ok(scope.set_dispatch(DispatchFault::Reordered).await);
            }
            Self::DispatchReplayed => return scope.replay().await,
            Self::DispatchReplayedLate => return scope.replay_late().await,
            Self::ReportAnswerLost => return Ok(scope.set_rpc(RpcFault::AnswerLost).await),
            Self::Rpc500 => return Ok(scope.set_rpc(RpcFault::Status(500)).await),
            Self::Rpc429 => return Ok(scope.set_rpc(RpcFault::Status(429)).await),
            Self::RpcHangs => return Ok(scope.set_rpc(RpcFault::Hangs).await),
            Self::TargetHangs => return Ok(scope.set_target(TargetFault::Hangs).await),
            Self::TargetCuts => return Ok(scope.set_target(TargetFault::Cuts).await),
            Self::TargetDrips => return Ok(scope.set_target(TargetFault::Drips).await),
            Self::TargetFloods => return Ok(scope.set_target(TargetFault::Floods).await),
            Self::ClockAhead => return scope.set_clock(600_000).await,
            Self::ClockBehind => return scope.set_clock(-600_000).await,
            Self::TransactionOpen => scope.leave_transaction_open().await?,
            Self::SecretRotated => scope.rotate_secret().await?,
            Self::Upgraded => scope.upgrade().await?,
            Self::DiskFull => return scope.fill_disk().await,
        }
        Ok(Vec::new())
    }
}
