//! What goes wrong on the way between database, function and targets.

use std::time::{Duration, Instant};

use super::Scope;
use crate::proxy::{DispatchFault, Faults, RpcFault, TargetFault};
use crate::{Result, Rule, Violation};

/// How long a message that has to come is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

impl Scope<'_> {
    /// Sets a fault for so long, and until something has met it.
    async fn set(&self, change: impl FnOnce(&mut Faults)) -> Vec<Violation> {
        let proxy = &self.scene.proxy;
        proxy.take_met();
        proxy.set(change);
        tokio::time::sleep(self.time).await;
        let deadline = Instant::now() + PATIENCE;
        let mut met = proxy.take_met();
        while met == 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            met = proxy.take_met();
        }
        proxy.set(|faults| *faults = Faults::default());
        match met {
            0 => vec![Violation::new(Rule::AsExpected, "nothing met the fault")],
            _ => Vec::new(),
        }
    }

    pub(super) async fn set_dispatch(&self, fault: DispatchFault) -> Vec<Violation> {
        self.set(|faults| faults.dispatch = fault).await
    }

    pub(super) async fn set_rpc(&self, fault: RpcFault) -> Vec<Violation> {
        self.set(|faults| faults.rpc = fault).await
    }

    pub(super) async fn set_target(&self, fault: TargetFault) -> Vec<Violation> {
        self.set(|faults| faults.target = fault).await
    }

    /// Records dispatches, and sends them again while their signatures hold.
    pub(super) async fn replay(&mut self) -> Result<Vec<Violation>> {
        self.scene.proxy.forget_dispatches();
        let mut violations = Vec::new();
        for _ in 0..2 {
            self.wait_between(1).await;
            violations.extend(self.replayed("at once", 202).await);
        }
        Ok(violations)
    }

    /// Records dispatches, and sends them to a function whose clock says that an hour has passed.
    pub(super) async fn replay_late(&mut self) -> Result<Vec<Violation>> {
        self.scene.proxy.forget_dispatches();
        self.wait_between(1).await;
        self.give_function_clock(3_600_000).await;
        let violations = self.replayed("an hour later", 401).await;
        self.give_function_clock(0).await;
        Ok(violations)
    }

    /// Sends what was recorded once more. Whether it ran anything, the targets' log will say.
    async fn replayed(&self, when: &str, want: u16) -> Vec<Violation> {
        let deadline = Instant::now() + PATIENCE;
        let mut statuses = self.scene.proxy.replay().await;
        while statuses.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            statuses = self.scene.proxy.replay().await;
        }
        if !statuses.is_empty() && statuses.iter().all(|status| *status == want) {
            return Vec::new();
        }
        let what = format!("dispatches sent again {when} were answered {statuses:?}, not {want}");
        vec![Violation::new(Rule::AsExpected, what)]
    }

    /// Has the function started again with its clock so far ahead.
    pub(super) async fn give_function_clock(&self, milliseconds: i64) {
        self.scene.stack.set_clock_offset(milliseconds);
        self.scene.stack.stop_function("supaqueue").await;
    }
}
