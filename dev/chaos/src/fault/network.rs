//! Faults between the database, the supaqueue function and the targets.

use std::time::Duration;

use super::Injection;
use crate::Result;
use crate::proxy::Faults;
use crate::wait::poll;

/// How long to wait for a message that must come, and how often to check for it.
const TIMEOUT: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(50);

impl Injection<'_> {
    /// Sets a fault for the given time, extended until at least one message has hit it.
    pub(super) async fn set_proxy(&mut self, faults: Faults) -> Result<()> {
        let proxy = &self.scene.proxy;
        proxy.take_hits();
        proxy.set(faults);
        tokio::time::sleep(self.time).await;
        let was_hit = poll(INTERVAL, TIMEOUT, async || Ok(proxy.take_hits() > 0)).await?;
        proxy.set(Faults::default());
        self.check(was_hit, "no message hit the fault");
        Ok(())
    }

    /// Replays recorded dispatches while their signatures are valid.
    pub(super) async fn replay(&mut self) -> Result<()> {
        self.scene.proxy.forget_dispatches();
        for _ in 0..2 {
            self.pause(1).await;
            self.replay_recorded("at once", 202).await?;
        }
        Ok(())
    }

    /// Replays recorded dispatches to a function whose clock is an hour ahead.
    pub(super) async fn replay_late(&mut self) -> Result<()> {
        self.scene.proxy.forget_dispatches();
        self.pause(1).await;
        self.set_function_clock(3_600_000).await;
        let done = self.replay_recorded("an hour later", 401).await;
        self.set_function_clock(0).await;
        done
    }

    /// Replays recorded dispatches and checks the status of the answers. Whether a replay called a
    /// target is checked later, in the targets' log.
    async fn replay_recorded(&mut self, when: &str, want: u16) -> Result<()> {
        let mut statuses = Vec::new();
        poll(INTERVAL, TIMEOUT, async || {
            statuses = self.scene.proxy.replay().await;
            Ok(!statuses.is_empty())
        })
        .await?;
        let is_as_wanted = !statuses.is_empty() && statuses.iter().all(|status| *status == want);
        let detail = format!("dispatches replayed {when} got {statuses:?}, not {want}");
        self.check(is_as_wanted, &detail);
        Ok(())
    }

    /// Restarts the function with its clock ahead by `milliseconds`.
    pub(super) async fn set_function_clock(&self, milliseconds: i64) {
        self.scene.stack.set_clock_offset(milliseconds);
        self.scene.stack.stop_function("supaqueue").await;
    }
}
