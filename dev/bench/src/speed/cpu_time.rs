//! The CPU time of each part of the stack.

use serde::Serialize;
use supaqueue_local::Stack;

use crate::Result;
use crate::machine::{cpu_ms, processes};

/// CPU time in milliseconds, by part.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct CpuTime {
    pub(super) postgres: f64,
    /// This process: the gateway, the emulated extensions, and the benchmark itself.
    pub(super) gateway: f64,
    pub(super) function: f64,
    pub(super) target: f64,
}

impl CpuTime {
    /// The time used so far by the processes that are still running.
    pub(super) async fn now(stack: &Stack) -> Result<Self> {
        let postgres = stack.postgres().map(|postgres| postgres.pid());
        let function = stack.function_pid("supaqueue").await;
        let target = stack.function_pid("wait").await;
        let own = i32::try_from(std::process::id())?;
        let mut time = Self::default();
        for stat in processes() {
            let ms = cpu_ms(&stat);
            let pid = Some(stat.pid);
            if stat.pid == own {
                time.gateway += ms;
            } else if pid == function {
                time.function += ms;
            } else if pid == target {
                time.target += ms;
            } else if pid == postgres || Some(stat.ppid) == postgres {
                time.postgres += ms;
            }
        }
        Ok(time)
    }

    /// The time used since `before`, divided by a number of jobs.
    pub(super) fn per_job_since(self, before: Self, jobs: f64) -> Self {
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
