//! A transaction left open.

use std::time::Duration;

use super::Injection;
use crate::load::Batch;
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
}
