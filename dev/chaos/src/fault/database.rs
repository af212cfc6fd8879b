//! What users do to the database: a transaction left open, a trigger that raises, a right taken away.

use std::time::Duration;

use super::Injection;
use crate::load::Batch;
use crate::wait::poll;
use crate::{Pace, Result};

impl Injection<'_> {
    /// Inserts a job into each queue and commits the transaction much later.
    pub(super) async fn leave_transaction_open(&mut self) -> Result<()> {
        let time = match self.scene.pace {
            Pace::Quick => self.time,
            Pace::Real => self.time.max(Duration::from_secs(180)),
        };
        let client = self.scene.connect().await?;
        let batch = Batch::for_each_queue(&mut self.rng);
        self.scene.ledger.record(&batch, false);
        client.batch_execute("begin").await?;
        client.batch_execute(&batch.sql()).await?;
        tokio::time::sleep(time).await;
        client.batch_execute("commit").await?;
        self.scene.ledger.record(&batch, true);
        Ok(())
    }

    /// Keeps every third job from being started, and its call from being settled.
    pub(super) async fn raise_in_trigger(&mut self) -> Result<()> {
        let client = self.scene.connect().await?;
        client
            .batch_execute(
                "create function public.raise_for_some_jobs() returns trigger language plpgsql as $$
                 begin
                   if hashtext(new.id::text) % 3 = 0 then
                     raise 'chaos: this job cannot be updated';
                   end if;
                   return new;
                 end $$;
                 create trigger raise_for_some_jobs before update on supaqueue.job
                 for each row when ('in_progress' in (old.status, new.status))
                 execute function public.raise_for_some_jobs()",
            )
            .await?;
        tokio::time::sleep(self.time).await;
        self.check_problem("chaos: this job cannot be updated")
            .await?;
        // Also drops the trigger.
        let drop = "drop function public.raise_for_some_jobs cascade";
        client.batch_execute(drop).await?;
        Ok(())
    }

    pub(super) async fn forbid_net(&mut self) -> Result<()> {
        let admin = self.scene.stack.database().connect_as_admin().await?;
        for _ in 0..3 {
            self.pause(6).await;
            let revoke = "revoke execute on function net.http_post from public, postgres";
            admin.batch_execute(revoke).await?;
            self.pause(6).await;
            let checked = self.check_problem("permission denied").await;
            let grant = "grant execute on function net.http_post to public";
            admin.batch_execute(grant).await?;
            checked?;
        }
        Ok(())
    }

    /// Checks that `supaqueue.problem` names this cause, within a minute.
    async fn check_problem(&mut self, cause: &str) -> Result<()> {
        let client = self.scene.connect().await?;
        let is_named =
            "select exists (select from supaqueue.problem where problem like '%' || $1 || '%')";
        let (interval, timeout) = (Duration::from_millis(100), Duration::from_secs(60));
        let is_named = poll(interval, timeout, async || {
            Ok(client.query_one(is_named, &[&cause]).await?.get(0))
        });
        let is_named = is_named.await?;
        self.check(is_named, &format!("no problem says {cause:?}"));
        Ok(())
    }
}
