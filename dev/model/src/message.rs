//! What a run and the database send each other, in the model's ids: the counterpart of the JSON.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use supaqueue_core::json;
use supaqueue_core::protocol::{
    Assignment, CurrentJobId, PulseRequest, QueueWait, ReportRequest, RpcResult,
};

use crate::database::{CallId, RunNumber};
use crate::settle::Outcome;

/// A request of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Request {
    Pulse(Pulse),
    Report(Report),
}

/// The arguments of `supaqueue_pulse`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Pulse {
    pub(crate) run: RunNumber,
    pub(crate) number: u32,
    pub(crate) acknowledge: Vec<CallId>,
    pub(crate) calls: Vec<CallId>,
    pub(crate) give_back: Vec<CallId>,
    /// Whether it asks for work.
    pub(crate) asks: bool,
}

/// The arguments of `end_current_job`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Report {
    pub(crate) run: RunNumber,
    pub(crate) id: CallId,
    pub(crate) outcome: Outcome,
    pub(crate) started: Option<CallId>,
    pub(crate) given_back: Option<CallId>,
    pub(crate) wants_next: bool,
    /// Whether the job can be settled now (`supaqueue.settle_or_note`).
    pub(crate) can_settle: bool,
}

/// An answer of the database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Reply {
    Pulse(PulseReply),
    Report(ReportReply),
    /// The run is over.
    Refused,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PulseReply {
    /// False if the pulse came too late to renew anything.
    pub(crate) is_renewed: bool,
    pub(crate) started: Vec<CallId>,
    pub(crate) cancelled: Vec<CallId>,
    pub(crate) gone: Vec<CallId>,
    pub(crate) waits: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ReportReply {
    pub(crate) next: Option<CallId>,
    pub(crate) held: Option<CallId>,
    pub(crate) waits: bool,
}

impl Pulse {
    pub(crate) fn new(run: RunNumber, request: &PulseRequest) -> Self {
        Self {
            run,
            number: request.number,
            acknowledge: call_ids(&request.acknowledge),
            calls: call_ids(&request.calls),
            give_back: call_ids(&request.give_back),
            asks: !request.queues.is_empty(),
        }
    }
}

impl Report {
    pub(crate) fn new(run: RunNumber, request: &ReportRequest) -> Self {
        Self {
            run,
            id: call_id(request.call),
            outcome: match request.report.is_attempt {
                Some(false) => Outcome::NotMade,
                _ if request.is_successful => Outcome::Successful,
                _ => Outcome::Failed,
            },
            started: request.started.map(call_id),
            given_back: request.given_back.map(call_id),
            wants_next: request.next.is_some(),
            can_settle: true,
        }
    }
}

/// The lease of a run, in milliseconds.
pub(crate) const LEASE_MS: u64 = 60_000;
/// When a run is told to ask for work again, in milliseconds.
pub(crate) const AGAIN_MS: u64 = 100;

impl Reply {
    /// As the run gets it; `asked` is whether its pulse asked for work.
    pub(crate) fn result(&self, asked: bool) -> RpcResult {
        let assignment = |id: CallId| Arc::clone(record(id));
        match self {
            Reply::Pulse(reply) => {
                let queue = QueueWait {
                    id: record(CallId { job: 0, number: 0 }).queue.id,
                    again_in_ms: reply.waits.then_some(AGAIN_MS),
                };
                RpcResult {
                    accepted: true,
                    lease_ms: reply.is_renewed.then_some(LEASE_MS),
                    started: reply.started.iter().copied().map(assignment).collect(),
                    cancelled: current_jobs(&reply.cancelled),
                    gone: current_jobs(&reply.gone),
                    queues: if asked { vec![queue] } else { Vec::new() },
                    ..RpcResult::default()
                }
            }
            Reply::Report(reply) => RpcResult {
                accepted: true,
                next: reply.next.map(assignment),
                held: reply.held.map(assignment),
                again_in_ms: reply.waits.then_some(AGAIN_MS),
                ..RpcResult::default()
            },
            Reply::Refused => RpcResult::default(),
        }
    }
}

/// The records of all calls that there can be, as the database writes them.
struct Records {
    by_call: HashMap<CallId, Arc<Assignment>>,
    by_id: HashMap<CurrentJobId, CallId>,
}

const MOST_JOBS: u8 = 4;
const MOST_CALLS: u8 = 64;

fn records() -> &'static Records {
    static RECORDS: OnceLock<Records> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let calls = (0..MOST_JOBS)
            .flat_map(|job| (0..MOST_CALLS).map(move |number| CallId { job, number }));
        let by_call: HashMap<_, _> = calls
            .map(|id| {
                let CallId { job, number } = id;
                // A record has more names and settings, on which no step of a run depends.
                let text = format!(
                    r#"{{"current_job":{{"id":"00000000-0000-4000-8000-{job:06}{number:06}"}},
                    "job":{{"id":"00000000-0000-4000-8000-{job:012}","payload":1,"attempts":1}},
                    "queue":{{"id":"00000000-0000-4000-8000-000000000000","name":"","edge_function_name":"",
                    "timeout_ms":1000,"auth":"none"}}}}"#
                );
                let record = json::from_str::<Assignment>(&text);
                let record = record.unwrap_or_else(|error| panic!("{text}: {error}"));
                (id, Arc::new(record))
            })
            .collect();
        let by_id = by_call
            .iter()
            .map(|(id, record): (_, &Arc<Assignment>)| (record.current_job.id, *id))
            .collect();
        Records { by_call, by_id }
    })
}

pub(crate) fn record(id: CallId) -> &'static Arc<Assignment> {
    &records().by_call[&id]
}

pub(crate) fn call_id(id: CurrentJobId) -> CallId {
    records().by_id[&id]
}

fn call_ids(ids: &[CurrentJobId]) -> Vec<CallId> {
    ids.iter().map(|id| call_id(*id)).collect()
}

fn current_jobs(ids: &[CallId]) -> Vec<CurrentJobId> {
    ids.iter().map(|id| record(*id).current_job.id).collect()
}
