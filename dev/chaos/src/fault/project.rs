//! What the owner of the project does, and a wrong clock.

use std::time::{Duration, SystemTime};

use tokio_postgres::Client;

use super::Injection;
use crate::Result;
use crate::wait::poll;

/// How long to wait for an effect that must occur.
const TIMEOUT: Duration = Duration::from_secs(600);

impl Injection<'_> {
    /// Sets the function's clock off by more than the tolerance of signatures, until a job has gone
    /// back to pending with the reason recorded.
    pub(super) async fn set_clock(&mut self, milliseconds: i64) -> Result<()> {
        let client = self.scene.connect().await?;
        let start = database_time(&client).await?;
        self.set_function_clock(milliseconds).await;
        tokio::time::sleep(self.time).await;
        let returned = "select exists (
            select from supaqueue.job j
            where j.status = 'pending' and j.attempts = 0
              and (j.errors -> -1 ->> 'at')::timestamptz > $1
              and j.errors -> -1 ->> 'message' like 'not acknowledged%it was answered with 401%')";
        let interval = Duration::from_millis(200);
        let was_seen = poll(interval, TIMEOUT, async || {
            Ok(client.query_one(returned, &[&start]).await?.get(0))
        });
        let was_seen = was_seen.await?;
        self.set_function_clock(0).await;
        let detail = "no job went back to pending because the function answered 401";
        self.check(was_seen, detail);
        Ok(())
    }

    /// Rotates the secret as `supaqueue rotate-secret` does: the function accepts both secrets, the
    /// database switches to the new one, and once no dispatch with the old one is left, the function
    /// accepts the new one only.
    pub(super) async fn rotate_secret(&mut self) -> Result<()> {
        let client = self.scene.connect().await?;
        let secrets = "select
              (select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'),
              'whsec_' || encode(extensions.gen_random_bytes(32), 'base64')";
        let row = client.query_one(secrets, &[]).await?;
        let (old, new): (String, String) = (row.get(0), row.get(1));
        self.pause(1).await;
        self.set_function_secret(&format!("{new} {old}")).await;
        let promote = "select vault.update_secret(s.id, $1) from vault.secrets s where s.name = 'supaqueue_secret'";
        client.query_one(promote, &[&new]).await?;

        let promoted = database_time(&client).await?;
        let none_left = "select not exists (
            select from supaqueue.current_job where state = 'sent' and created_at < $1)";
        let interval = Duration::from_millis(50);
        let is_done = poll(interval, TIMEOUT, async || {
            Ok(client.query_one(none_left, &[&promoted]).await?.get(0))
        });
        if !is_done.await? {
            return Err("dispatches signed with the old secret remain after ten minutes".into());
        }
        self.set_function_secret(&new).await;
        self.pause(1).await;
        Ok(())
    }

    async fn set_function_secret(&self, secret: &str) {
        self.scene.stack.set_env("SUPAQUEUE_SECRET", secret);
        self.scene.stack.stop_function("supaqueue").await;
    }

    pub(super) async fn upgrade(&mut self) -> Result<()> {
        for _ in 0..3 {
            self.pause(3).await;
            self.scene.upgrade().await?;
        }
        self.pause(3).await;
        Ok(())
    }
}

async fn database_time(client: &Client) -> Result<SystemTime> {
    let row = client.query_one("select clock_timestamp()", &[]).await?;
    Ok(row.get(0))
}
