//! Killed processes.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Injection;
use crate::wait::poll;
use crate::{Pace, Result};

impl Injection<'_> {
    /// How often a process is killed.
    fn kills(&self) -> u32 {
        match self.scene.pace {
            Pace::Quick => 2,
            Pace::Real => 4,
        }
    }

    /// Waits for a part of the fault's time: called before and after each of `events`, it fills it.
    pub(super) async fn pause(&mut self, events: u32) {
        tokio::time::sleep(self.about(self.time / (events + 1))).await;
    }

    /// A random duration between half and one and a half times the given one.
    fn about(&mut self, time: Duration) -> Duration {
        time.mul_f64(0.5 + self.rng.f64())
    }

    /// Kills the function, the first time at least during a call.
    pub(super) async fn kill_function(&mut self) -> Result<()> {
        let log = self.scene.proxy.log();
        let mut hit = false;
        for _ in 0..self.kills() {
            self.pause(self.kills()).await;
            let timeout = Duration::from_secs(if hit { 1 } else { 60 });
            let interval = Duration::from_millis(2);
            hit |= poll(interval, timeout, async || Ok(log.in_flight() > 0)).await?;
            self.scene.stack.kill_function("supaqueue").await;
        }
        self.pause(self.kills()).await;
        self.check(hit, "the function was never killed during a call");
        Ok(())
    }

    pub(super) async fn kill_gateway(&mut self) -> Result<()> {
        for _ in 0..self.kills() {
            self.pause(self.kills()).await;
            self.scene.stack.stop_gateway().await;
            // The proxy would keep connections open that the gateway's clients must see cut.
            self.scene.proxy.stop().await;
            tokio::time::sleep(self.about(Duration::from_millis(500))).await;
            self.scene.stack.start_gateway().await?;
            self.scene.proxy.resume().await?;
        }
        self.pause(self.kills()).await;
        Ok(())
    }

    pub(super) async fn kill_net_worker(&mut self) -> Result<()> {
        for _ in 0..self.kills() {
            self.pause(self.kills()).await;
            self.scene.stack.kill_net_worker().await?;
            tokio::time::sleep(self.about(Duration::from_millis(500))).await;
            self.scene.stack.start_net_worker();
        }
        self.pause(self.kills()).await;
        Ok(())
    }

    pub(super) async fn stop_net_worker(&self) {
        self.scene.stack.stop_net_worker();
        tokio::time::sleep(self.time).await;
        self.scene.stack.start_net_worker();
    }

    /// Kills a backend, preferably a busy one that serves the gateway.
    pub(super) async fn kill_backend(&mut self) -> Result<()> {
        self.pause(1).await;
        let client = self.scene.connect().await?;
        let backend = "select pid from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()
            order by application_name = 'postgrest (emulated)' desc, state = 'active' desc
            limit 1";
        let pid: i32 = client.query_one(backend, &[]).await?.get(0);
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        // Postgres then terminates all other backends and refuses connections until it has recovered.
        let (interval, timeout) = (Duration::from_millis(10), Duration::from_secs(60));
        if !poll(interval, timeout, async || Ok(client.is_closed())).await? {
            return Err("Postgres ignored that a backend was killed".into());
        }
        self.scene.connect().await?;
        self.pause(1).await;
        Ok(())
    }

    pub(super) async fn kill_postgres(&mut self) -> Result<()> {
        self.pause(1).await;
        self.scene.stack.restart_postgres(true).await?;
        self.pause(1).await;
        Ok(())
    }
}
