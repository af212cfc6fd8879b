//! What users of the database do.

use std::time::Duration;

use super::Scope;
use crate::load::Batch;
use crate::{Pace, Result};

impl Scope<'_> {
    /// Inserts jobs, one for each queue, and commits them much later.
    pub(super) async fn leave_transaction_open(&mut self) -> Result<()> {
        let time = match self.scene.pace {
            Pace::Quick => self.time,
            Pace::Real => self.time.max(Duration::from_secs(180)),
        };
        let client = self.scene.connect().await?;
        let batch = Batch::of_each_queue(&mut self.random);
        self.scene.ledger.note(&batch, false);
        client.batch_execute("begin").await?;
        client.batch_execute(&batch.sql()).await?;
        tokio::time::sleep(time).await;
        client.batch_execute("commit").await?;
        self.scene.ledger.note(&batch, true);
        Ok(())
    }
}
