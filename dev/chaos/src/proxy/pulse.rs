//! Pulses that are lost, delayed or repeated.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use super::http::{Answer, Cut, Message};
use crate::random::chance;

/// The percentage of pulses that are delayed.
const PERCENT: u8 = 40;

/// A fault of pulses, the requests with which runs keep their leases and get calls.
#[derive(Debug, Clone, Copy, Default)]
pub enum PulseFault {
    /// They are answered.
    #[default]
    None,
    /// All are lost, one half before they are executed, the other half with their answers.
    Lost,
    /// Some are executed this much later, even if the sender no longer waits and has sent them again.
    Delayed(Duration),
    /// They are executed three times: twice at once, and again a second later.
    Repeated,
}

impl Shared {
    pub(super) async fn pulse(self: &Arc<Self>, message: Message) -> Result<Answer, Cut> {
        let fault = self.faults().pulse;
        let mut rng = self.rng();
        match fault {
            PulseFault::Lost => {
                self.count_hit(true);
                if chance(&mut rng, 50) {
                    self.rpc(message).await?;
                }
                Err(Cut)
            }
            PulseFault::Delayed(time) if chance(&mut rng, PERCENT) => {
                self.count_hit(true);
                let shared = self.clone();
                let delivery = self.hold(async move {
                    tokio::time::sleep(time).await;
                    shared.rpc(message).await
                });
                delivery.await.map_err(|_| Cut)?
            }
            PulseFault::Repeated => {
                self.count_hit(true);
                let (shared, again) = (self.clone(), message.clone());
                self.hold(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    shared.rpc(again).await
                });
                let (first, second) = tokio::join!(self.rpc(message.clone()), self.rpc(message));
                // The later answer is as good.
                first.or(second)
            }
            PulseFault::None | PulseFault::Delayed(_) => self.rpc(message).await,
        }
    }
}
