//! Dispatches that come late, twice, out of order or again.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Shared;
use super::http::{Answer, Cut, Message, answer};

/// How many dispatches are recorded: the last ones.
const RECORDED: usize = 50;
/// How long dispatches gather before they are delivered in the reverse order.
const GATHERED_FOR: Duration = Duration::from_millis(700);

/// What becomes of a dispatch on its way.
#[derive(Debug, Clone, Copy, Default)]
pub enum DispatchFault {
    /// It arrives.
    #[default]
    None,
    /// It arrives so much later, whether the sender still waits or not.
    Delayed(Duration),
    /// It arrives three times: twice at once, and again a second later.
    Repeated,
    /// It is accepted, and arrives behind those that came after it.
    Reordered,
}

/// The dispatches that have come.
#[derive(Debug, Default)]
pub(super) struct Dispatches {
    recorded: Mutex<VecDeque<Message>>,
    gathered: Mutex<Vec<Message>>,
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
        self.meet(!matches!(fault, DispatchFault::None));
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
                    let mut gathered = lock(&self.dispatches.gathered);
                    gathered.push(message);
                    gathered.len() == 1
                };
                if is_first {
                    let shared = self.clone();
                    self.hold(async move { shared.deliver_gathered().await });
                }
                answer(202, "")
            }
        }
    }

    async fn deliver_gathered(&self) {
        tokio::time::sleep(GATHERED_FOR).await;
        let gathered = std::mem::take(&mut *lock(&self.dispatches.gathered));
        for message in gathered.into_iter().rev() {
            // One that does not arrive is lost, which is a fault, too.
            let _ = self.forward(message).await;
        }
    }

    /// Does something that goes on when its sender has gone.
    fn hold<T: Send + 'static>(
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
