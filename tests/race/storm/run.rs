//! A run as its lanes and its pulse see it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use supaqueue_tests::protocol::{Answer, Call, Pulse};
use tokio::sync::{RwLock, RwLockReadGuard, oneshot};

use super::ledger::{Ledger, Outcome};

/// What tells the answer to a report that was sent together with others; none: it has to be sent by itself.
pub(super) type Waiting = oneshot::Sender<Option<Answer>>;

/// A run: one at a time in each isolate.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: String,
    /// Held by the lane that sends reports together.
    pub(super) sends: tokio::sync::Mutex<()>,
    /// Reports that go together next.
    together: Mutex<Vec<(Value, Waiting)>>,
    ledger: Arc<Ledger>,
    calls: Mutex<Calls>,
    /// Whether it has stopped: locked for reading during each call, so that the run stops between them.
    has_stopped: RwLock<bool>,
}

#[derive(Debug, Default)]
struct Calls {
    /// Not begun.
    waiting: VecDeque<Call>,
    /// The ids of those that it has.
    known: HashSet<String>,
    /// The ids of those whose end is reported, and not answered.
    reported: HashSet<String>,
    /// The ids of those to be given back: it was told only that their job was cancelled.
    unknown: Vec<String>,
    /// The ids of held ones that are wanted back.
    unwanted: HashSet<String>,
}

impl Run {
    pub(super) fn new(id: String, ledger: Arc<Ledger>) -> Self {
        Self {
            id,
            sends: tokio::sync::Mutex::default(),
            together: Mutex::default(),
            ledger,
            calls: Mutex::default(),
            has_stopped: RwLock::new(false),
        }
    }

    /// The ids of its calls.
    pub(super) fn known(&self) -> Vec<String> {
        self.calls.lock().unwrap().known.iter().cloned().collect()
    }

    /// How many calls it has.
    pub(super) fn number_of_calls(&self) -> usize {
        self.calls.lock().unwrap().known.len()
    }

    /// The ids of the calls to be given back by the next pulse.
    pub(super) fn take_unknown(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap().unknown)
    }

    /// Whether a held call is wanted back.
    pub(super) fn is_unwanted(&self, call: &Call) -> bool {
        let calls = self.calls.lock().unwrap();
        calls.unwanted.contains(&call.current_job)
    }

    /// Takes what a pulse was told.
    pub(super) fn is_told(&self, pulse: Pulse) {
        let mut calls = self.calls.lock().unwrap();
        let gone = &pulse.gone;
        for id in gone {
            if calls.known.contains(id) && !calls.reported.contains(id) {
                self.ledger
                    .violation(format!("the call {id} of a live run is gone"));
            }
        }
        for id in &pulse.cancelled {
            if !calls.known.contains(id) && !gone.contains(id) {
                calls.unknown.push(id.clone());
            }
        }
        calls.unwanted.extend(pulse.unwanted);
        for call in pulse.started {
            calls.known.insert(call.current_job.clone());
            calls.waiting.push_back(call);
        }
    }

    /// A call that a lane is to begin.
    pub(super) fn take(&self) -> Option<Call> {
        self.calls.lock().unwrap().waiting.pop_front()
    }

    /// Lets a call begin. While the lane holds what this returns, the run does not stop; none: it has
    /// stopped.
    pub(super) async fn begin(&self) -> Option<RwLockReadGuard<'_, bool>> {
        let has_stopped = self.has_stopped.read().await;
        (!*has_stopped).then_some(has_stopped)
    }

    /// Whether it has stopped, or is stopping.
    pub(super) fn has_stopped(&self) -> bool {
        self.has_stopped
            .try_read()
            .map_or(true, |has_stopped| *has_stopped)
    }

    /// Adds a report to those that go together next; returns what will get the answer.
    pub(super) fn add_waiting(&self, report: Value) -> oneshot::Receiver<Option<Answer>> {
        let (waiting, answer) = oneshot::channel();
        self.together.lock().unwrap().push((report, waiting));
        answer
    }

    pub(super) fn take_waiting(&self) -> Vec<(Value, Waiting)> {
        std::mem::take(&mut self.together.lock().unwrap())
    }

    /// A report that ends these calls is on its way.
    pub(super) fn reports(&self, ended: &[&Call]) {
        let mut calls = self.calls.lock().unwrap();
        let ids = ended.iter().map(|call| call.current_job.clone());
        calls.reported.extend(ids);
    }

    /// A report that ends these calls was answered.
    pub(super) fn is_answered(&self, ended: &[&Call], answer: &Answer) {
        let mut calls = self.calls.lock().unwrap();
        for call in ended {
            calls.known.remove(&call.current_job);
            calls.reported.remove(&call.current_job);
        }
        let new = [&answer.next, &answer.held].into_iter().flatten();
        calls.known.extend(new.map(|call| call.current_job.clone()));
    }

    /// Stops: no call is under way afterwards, and none begins. Those that were not begun are lost.
    pub(super) async fn stop(&self) {
        *self.has_stopped.write().await = true;
        while let Some(call) = self.take() {
            self.ledger.ended(&call, Outcome::Lost);
        }
    }
}
