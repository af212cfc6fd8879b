//! The processor time of the stack's parts.

use serde::Serialize;
use supaqueue_local::Stack;

use crate::Result;
use crate::machine::{milliseconds, processes};

/// Milliseconds of processor time, by part.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Share {
    pub(super) postgres: f64,
    /// The stack's own process: the gateway, the stand-ins, and this measurement.
    pub(super) gateway: f64,
    pub(super) function: f64,
    pub(super) target: f64,
}

impl Share {
    /// What each part has used so far. Parts that ended meanwhile are not in it.
    pub(super) async fn now(stack: &Stack) -> Result<Self> {
        let postgres = stack.postgres().map(|postgres| postgres.pid());
        let function = stack.function_pid("supaqueue").await;
        let target = stack.function_pid("wait").await;
        let own = i32::try_from(std::process::id())?;
        let mut share = Self::default();
        for stat in processes() {
            let ms = milliseconds(&stat);
            let pid = Some(stat.pid);
            if stat.pid == own {
                share.gateway += ms;
            } else if pid == function {
                share.function += ms;
            } else if pid == target {
                share.target += ms;
            } else if pid == postgres || Some(stat.ppid) == postgres {
                share.postgres += ms;
            }
        }
        Ok(share)
    }

    /// What was used since, for each of some number of jobs.
    pub(super) fn since(self, before: Self, jobs: f64) -> Self {
        Self {
            postgres: (self.postgres - before.postgres) / jobs,
            gateway: (self.gateway - before.gateway) / jobs,
            function: (self.function - before.function) / jobs,
            target: (self.target - before.target) / jobs,
        }
    }

    pub(super) fn sum(self) -> f64 {
        self.postgres + self.gateway + self.function + self.target
    }
}
