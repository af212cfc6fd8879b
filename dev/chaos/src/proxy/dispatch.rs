//! Dispatches that are delayed, repeated, reordered or replayed.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Shared;
use super::http::{Answer, Cut, Message, answer};
use crate::lock;

/// How many of the latest dispatches are recorded.
const RECORDED: usize = 50;
/// How long dispatches are collected before they are delivered in reverse order.
const COLLECTED_FOR: Duration = Duration::from_millis(700);

/// A fault of dispatches.
#[derive(Debug, Clone, Copy, Default)]
pub enum DispatchFault {
    /// They arrive.
    #[default]
    None,
    /// They arrive this much later, even if the sender no longer waits.
    Delayed(Duration),
    /// They arrive three times: twice at once, and again a second later.
    Repeated,
    /// They are accepted and collected for a while, then delivered in reverse order.
    Reordered,
}

/// The dispatches that the proxy keeps.
#[derive(Debug, Default)]
pub(super) struct Dispatches {
    recorded: Mutex<VecDeque<Message>>,
    collected: Mutex<Vec<Message>>,
}

impl Dispatches {
    pub(super) fn recorded(&self) -> Vec<Message> {
        lock(&self.recorded).iter().cloned().collect()
    }

    pub(super) fn forget(&self) {
        lock(&self.recorded).clear();
    }

    fn record(&self, message: &Message) {
        let mut recorded = lock(&self.recorded);
        if recorded.len() == RECORDED {
            recorded.pop_front();
        }
        recorded.push_back(message.clone());
    }
}

impl Shared {
    pub(super) async fn dispatch(self: &Arc<Self>, message: Message) -> Result<Answer, Cut> {
        self.dispatches.record(&message);
        let fault = self.faults().dispatch;
        self.count_hit(!matches!(fault, DispatchFault::None));
        match fault {
            DispatchFault::None => self.forward(message).await,
            DispatchFault::Delayed(time) => {
                let shared = self.clone();
                let delivery = self.hold(async move {
                    tokio::time::sleep(time).await;
                    shared.forward(message).await
                });
                delivery.await.map_err(|_| Cut)?
            }
            DispatchFault::Repeated => {
                let (shared, again) = (self.clone(), message.clone());
                self.hold(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    shared.forward(again).await
                });
                let (first, _) = tokio::join!(self.forward(message.clone()), self.forward(message));
                first
            }
            DispatchFault::Reordered => {
                let is_first = {
                    let mut collected = lock(&self.dispatches.collected);
                    collected.push(message);
                    collected.len() == 1
                };
                if is_first {
                    let shared = self.clone();
                    self.hold(async move { shared.deliver_collected().await });
                }
                answer(202, "")
            }
        }
    }

    async fn deliver_collected(&self) {
        tokio::time::sleep(COLLECTED_FOR).await;
        let collected = std::mem::take(&mut *lock(&self.dispatches.collected));
        for message in collected.into_iter().rev() {
            // If it does not arrive, the dispatch is lost: one more fault.
            let _ = self.forward(message).await;
        }
    }

    /// Runs work that continues even if the sender disconnects.
    pub(super) fn hold<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        let shared = self.clone();
        shared.held.fetch_add(1, Ordering::SeqCst);
        tokio::spawn(async move {
            let done = work.await;
            shared.held.fetch_sub(1, Ordering::SeqCst);
            done
        })
    }
}
