//! Payloads that do not fit into an isolate's memory together.

use std::fs;
use std::time::{Duration, Instant};

use super::Injection;
use crate::load::Batch;
use crate::{Result, Rule, Violation};

/// How many jobs with large payloads there are.
const JOBS: usize = 20;
/// What the platform gives an isolate, in bytes.
const LIMIT: u64 = 256_000_000;
/// How often the memory is looked at.
const INTERVAL: Duration = Duration::from_millis(5);
/// How long the jobs may take.
const TIMEOUT: Duration = Duration::from_secs(300);

impl Injection<'_> {
    /// Inserts the jobs, and kills the function when it takes more memory than an isolate has, as the
    /// platform does, until they have finished.
    pub(super) async fn insert_large_payloads(&mut self) -> Result<()> {
        let scene = self.scene;
        let client = scene.connect().await?;
        let batch = Batch::large(JOBS, &mut self.rng);
        scene.ledger.insert(&client, &batch).await?;
        let ids: Vec<&str> = batch.0.iter().map(|job| job.id.as_str()).collect();
        let unfinished = "select exists (
            select from supaqueue.job where id::text = any ($1) and finished_at is null)";

        let (mut peak, mut looks) = (0, 0);
        let end = Instant::now() + TIMEOUT;
        let mut is_unfinished = true;
        while is_unfinished && Instant::now() < end {
            if let Some(pid) = scene.stack.function_pid("supaqueue").await
                && let Some(bytes) = anonymous_memory(pid)
            {
                looks += 1;
                peak = peak.max(bytes);
                if bytes > LIMIT {
                    scene.stack.kill_function("supaqueue").await;
                    let detail = format!(
                        "the supaqueue function takes {} MB, and an isolate has {} MB",
                        bytes / 1_000_000,
                        LIMIT / 1_000_000
                    );
                    self.violations
                        .push(Violation::new(Rule::WithinMemory, detail));
                }
            }
            tokio::time::sleep(INTERVAL).await;
            is_unfinished = client.query_one(unfinished, &[&ids]).await?.get(0);
        }
        println!(
            "  the supaqueue function took {} MB at most",
            peak / 1_000_000
        );
        self.check(looks > 0, "the function's memory was never seen");
        Ok(())
    }
}

/// The memory of a process without what it shares with files, in bytes, see proc_pid_status(5).
fn anonymous_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
