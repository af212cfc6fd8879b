//! What the owner of the project does, and a clock that is wrong.

use std::time::{Duration, Instant};

use super::Scope;
use crate::{Result, Rule, Violation};

/// How long something that has to come is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

impl Scope<'_> {
    /// Sets the function's clock off by more than the signatures' tolerance, until it has been seen
    /// that jobs go back to pending, with the reason.
    pub(super) async fn set_clock(&mut self, milliseconds: i64) -> Result<Vec<Violation>> {
        let client = self.scene.connect().await?;
        let now: std::time::SystemTime = client.query_one("select now()", &[]).await?.get(0);
        self.give_function_clock(milliseconds).await;
        tokio::time::sleep(self.time).await;
        let given_back = "select exists (
            select from supaqueue.job j
            where j.status = 'pending' and j.attempts = 0
              and (j.errors -> -1 ->> 'at')::timestamptz > $1
              and j.errors -> -1 ->> 'message' like 'not acknowledged%it answered 401%')";
        let deadline = Instant::now() + PATIENCE;
        let mut is_seen = false;
        while !is_seen && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(200)).await;
            is_seen = client.query_one(given_back, &[&now]).await?.get(0);
        }
        self.give_function_clock(0).await;
        if is_seen {
            return Ok(Vec::new());
        }
        let what = "no job went back to pending, saying that the function answered 401";
        Ok(vec![Violation::new(Rule::AsExpected, what)])
    }

    /// As `supaqueue rotate-secret` does: the function accepts both, the database signs with the new
    /// one, what was signed with the old one arrives, the function accepts the new one alone.
    pub(super) async fn rotate_secret(&mut self) -> Result<()> {
        let client = self.scene.connect().await?;
        let secrets = "select
              (select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'),
              'whsec_' || encode(extensions.gen_random_bytes(32), 'base64')";
        let row = client.query_one(secrets, &[]).await?;
        let (old, new): (String, String) = (row.get(0), row.get(1));
        self.wait_between(1).await;
        self.give_function_secret(&format!("{new} {old}")).await;
        let promote = "select vault.update_secret(s.id, $1) from vault.secrets s where s.name = 'supaqueue_secret'";
        client.query_one(promote, &[&new]).await?;

        let promoted: std::time::SystemTime = client
            .query_one("select clock_timestamp()", &[])
            .await?
            .get(0);
        let is_under_way = "select exists (
            select from supaqueue.current_job where acknowledged_at is null and created_at < $1)";
        let deadline = Instant::now() + PATIENCE;
        while client.query_one(is_under_way, &[&promoted]).await?.get(0) {
            if Instant::now() > deadline {
                return Err("dispatches with the old secret are left after ten minutes".into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.give_function_secret(&new).await;
        self.wait_between(1).await;
        Ok(())
    }

    async fn give_function_secret(&self, secret: &str) {
        self.scene.stack.set_env("SUPAQUEUE_SECRET", secret);
        self.scene.stack.stop_function("supaqueue").await;
    }

    pub(super) async fn upgrade(&mut self) -> Result<()> {
        for _ in 0..3 {
            self.wait_between(3).await;
            self.scene.upgrade().await?;
        }
        self.wait_between(3).await;
        Ok(())
    }
}
