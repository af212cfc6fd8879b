//! Processes that are killed.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Scope;
use crate::{Pace, Result, Rule, Violation};

impl Scope<'_> {
    /// How often something is killed.
    fn times(&self) -> u32 {
        match self.scene.pace {
            Pace::Quick => 2,
            Pace::Real => 4,
        }
    }

    /// Waits for a part of the time, so that so many things fit into it.
    pub(super) async fn wait_between(&mut self, times: u32) {
        let part = self.time / (times + 1);
        tokio::time::sleep(self.random.about(part)).await;
    }

    /// Waits until a call is under way, as long as that may take; whether one is.
    async fn meets_a_call(&self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while self.scene.proxy.log().open() == 0 {
            if Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        true
    }

    /// Kills the function in the midst of calls, the first time at least.
    pub(super) async fn kill_function(&mut self) -> Vec<Violation> {
        let mut met = false;
        for _ in 0..self.times() {
            self.wait_between(self.times()).await;
            let patience = if met { 1 } else { 60 };
            met |= self.meets_a_call(Duration::from_secs(patience)).await;
            self.scene.stack.kill_function("supaqueue").await;
        }
        self.wait_between(self.times()).await;
        match met {
            true => Vec::new(),
            false => vec![Violation::new(Rule::AsExpected, "no call was under way")],
        }
    }

    pub(super) async fn kill_gateway(&mut self) -> Result<()> {
        for _ in 0..self.times() {
            self.wait_between(self.times()).await;
            // Whatever stands before the gateway is gone with it: its clients see the same.
            self.scene.stack.stop_gateway().await;
            self.scene.proxy.stop().await;
            tokio::time::sleep(self.random.about(Duration::from_millis(500))).await;
            self.scene.stack.start_gateway().await?;
            self.scene.proxy.resume().await?;
        }
        self.wait_between(self.times()).await;
        Ok(())
    }

    pub(super) async fn kill_net_worker(&mut self) -> Result<()> {
        for _ in 0..self.times() {
            self.wait_between(self.times()).await;
            self.scene.stack.kill_net_worker().await?;
            tokio::time::sleep(self.random.about(Duration::from_millis(500))).await;
            self.scene.stack.start_net_worker();
        }
        self.wait_between(self.times()).await;
        Ok(())
    }

    pub(super) async fn stop_net(&mut self) {
        self.scene.stack.stop_net_worker();
        tokio::time::sleep(self.time).await;
        self.scene.stack.start_net_worker();
    }

    /// Kills a backend in the midst of whatever it does, one that serves the gateway if there is one.
    pub(super) async fn kill_backend(&mut self) -> Result<()> {
        self.wait_between(1).await;
        let client = self.scene.connect().await?;
        let backend = "select pid from pg_stat_activity
            where backend_type = 'client backend' and pid <> pg_backend_pid()
            order by application_name = 'postgrest stand-in' desc, state = 'active' desc
            limit 1";
        let pid: i32 = client.query_one(backend, &[]).await?.get(0);
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        // Postgres ends all others when it has seen that, and lets nobody in until it has recovered.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !client.is_closed() {
            if Instant::now() > deadline {
                return Err("Postgres does not mind that a backend was killed".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.scene.connect().await?;
        self.wait_between(1).await;
        Ok(())
    }

    pub(super) async fn kill_postgres(&mut self) -> Result<()> {
        self.wait_between(1).await;
        self.scene.stack.restart_postgres(true).await?;
        self.wait_between(1).await;
        Ok(())
    }
}
