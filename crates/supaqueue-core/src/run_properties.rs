//! The run against a simulated database, network and targets, in simulated time: requests and
//! answers are lost, late or repeated, timers are late, and calls take anything from no time at all
//! to their whole timeout.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::{START, assignment, call_id, status};
use crate::database::Verdict;
use crate::protocol::{
    Assignment, CurrentJobId, PulseRequest, QueueWait, ReportRequest, RpcResult,
};
use crate::run::{Answer, Budget, Event, Message, Order, RequestId, Run, RunId, margin_ms};
use crate::time::Timestamp;
use crate::trace::Trace;
use proptest::prelude::*;

const LEASE_MS: u64 = 15_000;
const WORKERS: u32 = 3;
const JOBS: u32 = 40;

/// A pseudorandom sequence (splitmix64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// The part of the database that a run meets.
struct Database {
    number: u32,
    lease_until: Timestamp,
    /// The calls that it keeps for the run, with their workers and whether they are held.
    calls: BTreeMap<u128, Row>,
    next: u32,
    settled: HashSet<u128>,
    /// Calls with payloads of different sizes.
    payloads: [Arc<Assignment>; 3],
}

#[derive(Clone)]
struct Row {
    assignment: Arc<Assignment>,
    worker: u32,
    is_held: bool,
    claimed_in: Option<u32>,
    previous: Option<CurrentJobId>,
}

fn key(id: CurrentJobId) -> u128 {
    super::number(id)
}

impl Database {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.lease_until
    }

    fn new_row(&mut self, worker: u32, random: &mut Random) -> Option<Row> {
        if self.next > JOBS {
            return None;
        }
        let mut assignment = Assignment::clone(&self.payloads[random.below(3) as usize]);
        assignment.current_job.id = call_id(self.next);
        let row = Row {
            assignment: Arc::new(assignment),
            worker,
            is_held: false,
            claimed_in: None,
            previous: None,
        };
        self.next += 1;
        Some(row)
    }

    fn keep(&mut self, row: Row) -> Arc<Assignment> {
        let id = key(row.assignment.current_job.id);
        self.calls.insert(id, row.clone());
        row.assignment
    }

    fn pulse(&mut self, pulse: &PulseRequest, now: Timestamp, random: &mut Random) -> RpcResult {
        if self.number > 0 && self.is_over(now) {
            return RpcResult::default();
        }
        let mut result = RpcResult {
            accepted: true,
            ..RpcResult::default()
        };
        if pulse.number < self.number {
            return result;
        }
        self.lease_until = now.plus(LEASE_MS);
        result.lease_ms = Some(LEASE_MS);
        if pulse.number > self.number {
            self.number = pulse.number;
            for id in &pulse.give_back {
                self.calls.remove(&key(*id));
            }
            let mut bytes = pulse.limits.bytes;
            let wanted = pulse.acknowledge.len() + pulse.queues.len();
            for worker in 0..WORKERS {
                let is_free = self.calls.values().all(|row| row.worker != worker);
                if wanted == 0 || !is_free {
                    continue;
                }
                if let Some(mut row) = self.new_row(worker, random) {
                    let size = row.assignment.job.payload.get().len() as u64;
                    if size > bytes {
                        self.next -= 1;
                        continue;
                    }
                    bytes -= size;
                    row.claimed_in = Some(pulse.number);
                    self.keep(row);
                }
            }
        }
        let claimed = |row: &&Row| row.claimed_in == Some(pulse.number);
        let claimed = self.calls.values().filter(claimed);
        result.started = claimed.map(|row| row.assignment.clone()).collect();
        for (queue, idle_ms) in &pulse.queues {
            result.queues.push(QueueWait {
                id: *queue,
                again_in_ms: (*idle_ms < 5000).then_some(50),
            });
        }
        result
    }

    fn report(&mut self, report: &ReportRequest, now: Timestamp, random: &mut Random) -> RpcResult {
        if self.is_over(now) {
            return RpcResult::default();
        }
        let mut result = RpcResult {
            accepted: true,
            again_in_ms: Some(50),
            ..RpcResult::default()
        };
        let id = key(report.call);
        if let Some(row) = self.calls.remove(&id) {
            if report.report.is_attempt != Some(false) {
                assert!(self.settled.insert(id), "{id} is settled twice");
            }
            if let Some(started) = report.started
                && let Some(row) = self.calls.get_mut(&key(started))
            {
                row.is_held = false;
            }
            if let Some(given_back) = report.given_back {
                self.calls.remove(&key(given_back));
            }
            let is_free = |db: &Self| db.calls.values().all(|other| other.worker != row.worker);
            let mut hand_out = |db: &mut Self, is_held: bool, bytes: &mut u64| {
                let mut next = db.new_row(row.worker, random)?;
                let size = next.assignment.job.payload.get().len() as u64;
                if size > *bytes {
                    db.next -= 1;
                    return None;
                }
                *bytes -= size;
                next.is_held = is_held;
                next.previous = Some(report.call);
                Some(db.keep(next))
            };
            if let Some(next) = report.next {
                let mut bytes = next.bytes;
                if is_free(self) {
                    result.next = hand_out(self, false, &mut bytes);
                }
                let held = |row: &Row| row.is_held;
                if next.prefetch && !is_free(self) && !self.calls.values().any(held) {
                    result.held = hand_out(self, true, &mut bytes);
                }
            }
            return result;
        }
        let mine = self
            .calls
            .values()
            .filter(|row| row.previous == Some(report.call));
        for row in mine {
            let assignment = Some(Arc::clone(&row.assignment));
            if row.is_held {
                result.held = assignment;
            } else {
                result.next = assignment;
            }
        }
        result
    }
}

/// What comes later.
enum Later {
    /// A request, with its serial number, reaches the database.
    Arrives(RequestId, u32, Message),
    /// The end of a request reaches the run.
    Ends(RequestId, Answer),
}

struct World {
    run: Run,
    db: Database,
    random: Random,
    now: Timestamp,
    later: Vec<(Timestamp, Later)>,
    /// The requests that the run waits for, with their serial numbers: ids are used again.
    open: BTreeMap<RequestId, u32>,
    requests: u32,
    /// The calls in flight.
    calls: BTreeMap<RequestId, Arc<Assignment>>,
    /// One in how many messages is lost; 0 loses all of them.
    loses: u64,
    called: Vec<u128>,
}

impl World {
    fn event(&mut self, event: Event) {
        let random = self.random.below(u64::MAX);
        for order in self.run.next(event, self.now, random) {
            match order {
                Order::Send {
                    id,
                    message,
                    within_ms,
                } => self.send(id, message, within_ms),
                Order::Abort(id) => {
                    self.calls.remove(&id);
                    let aborted = aborted(&self.later, id);
                    self.end(id, self.now, aborted);
                }
                Order::Log(_) => {}
            }
        }
        let payloads: usize = self.calls.values().map(|a| a.job.payload.get().len()).sum();
        assert!(payloads <= 8_000_000 + 64_000 * 100, "{payloads} bytes");
    }

    fn send(&mut self, id: RequestId, message: Message, within_ms: u64) {
        assert!(!self.open.contains_key(&id), "{id:?} is not answered yet");
        let until = self.now.plus(within_ms);
        self.requests += 1;
        let serial = self.requests;
        self.open.insert(id, serial);
        if let Message::Call(assignment, _) = message {
            self.check_call(&assignment);
            self.called.push(key(assignment.current_job.id));
            self.calls.insert(id, assignment);
            let ms = [0, 20, 1500, within_ms][self.random.below(4) as usize];
            let outcome = status([200, 500, 429][self.random.below(3) as usize]);
            self.end(id, self.now.plus(ms), Answer::Call(outcome));
            return;
        }
        self.end(id, until, Answer::Database(super::unreachable()));
        for _ in 0..=u8::from(self.random.one_in(10)) {
            if self.arrives() {
                let delay = [0, 5, 300, 9000][self.random.below(4) as usize];
                let at = self.now.plus(delay);
                self.later
                    .push((at, Later::Arrives(id, serial, message.clone())));
            }
        }
    }

    fn arrives(&mut self) -> bool {
        self.loses > 0 && !self.random.one_in(self.loses)
    }

    fn end(&mut self, id: RequestId, at: Timestamp, answer: Answer) {
        self.later.push((at, Later::Ends(id, answer)));
    }

    fn check_call(&self, assignment: &Assignment) {
        let id = key(assignment.current_job.id);
        assert!(!self.db.is_over(self.now), "{id} is called after the lease");
        let row = self.db.calls.get(&id);
        let row = row.unwrap_or_else(|| panic!("{id} is called, and does not belong to the run"));
        for other in self.calls.values() {
            let other = key(other.current_job.id);
            let worker = self.db.calls.get(&other).map(|row| row.worker);
            assert_ne!(worker, Some(row.worker), "{other} and {id} at once");
        }
        assert!(!self.called.contains(&id), "{id} is called twice");
    }

    /// Lets time pass until nothing is left, or the lease is over.
    fn go_on(&mut self) {
        for _ in 0..20_000 {
            let first = (0..self.later.len()).min_by_key(|i| (self.later[*i].0, *i));
            let due = first.map(|i| self.later[i].0);
            // Timers are late by what the margin allows for, at most.
            let lateness = self.random.below(margin_ms(LEASE_MS));
            let wakes = self.run.wakes_at();
            let wakes = wakes.map(|at| at.plus(lateness).max(self.now));
            match (due, wakes) {
                (None, None) => return,
                (Some(due), wakes) if wakes.is_none_or(|at| due <= at) => {
                    self.pass_to(due);
                    let (_, later) = self.later.remove(first.unwrap_or_default());
                    self.come(later);
                }
                (_, at) => {
                    self.pass_to(at.unwrap_or(self.now));
                    self.event(Event::Woke);
                }
            }
        }
        panic!("it never ends");
    }

    fn pass_to(&mut self, at: Timestamp) {
        self.now = self.now.max(at);
        if self.db.is_over(self.now) {
            let ids: Vec<_> = self.calls.values().map(|a| a.current_job.id).collect();
            assert!(ids.is_empty(), "{ids:?} outlive the lease");
        }
    }

    fn come(&mut self, later: Later) {
        match later {
            Later::Arrives(id, serial, message) => {
                let (now, random) = (self.now, &mut self.random);
                let answer = match &message {
                    Message::Pulse(_, pulse) => {
                        Answer::Database(Verdict::Returned(self.db.pulse(pulse, now, random)))
                    }
                    Message::Report(_, report) => {
                        Answer::Database(Verdict::Returned(self.db.report(report, now, random)))
                    }
                    Message::Call(..) => return,
                };
                if self.arrives() && self.open.get(&id) == Some(&serial) {
                    self.end(id, now.plus(1), answer);
                }
            }
            Later::Ends(id, answer) => {
                if self.open.remove(&id).is_some() {
                    self.calls.remove(&id);
                    self.later.retain(
                        |(_, later)| !matches!(later, Later::Ends(other, _) if *other == id),
                    );
                    self.event(Event::Answered(id, answer));
                }
            }
        }
    }
}

/// The answer to a request that was aborted.
fn aborted(later: &[(Timestamp, Later)], id: RequestId) -> Answer {
    let is_its = |later: &Later| match later {
        Later::Ends(its, Answer::Call(_)) => *its == id,
        _ => false,
    };
    if later.iter().any(|(_, later)| is_its(later)) {
        Answer::Call(status(500))
    } else {
        Answer::Database(super::unreachable())
    }
}

fn world(seed: u64, loses: u64) -> World {
    let trace = Trace::new(None, [1; 16]);
    let budget = Budget::new(START, 140_000, u32::MAX);
    World {
        run: Run::new(RunId::from_random(7), budget, trace, START),
        db: Database {
            number: 0,
            lease_until: START.plus(LEASE_MS),
            calls: BTreeMap::new(),
            next: 1,
            settled: HashSet::new(),
            payloads: [1, 1000, 3_000_000]
                .map(|size| assignment(0, 5000, &format!(r#""{}""#, "x".repeat(size)))),
        },
        random: Random(seed),
        now: START,
        later: Vec::new(),
        open: BTreeMap::new(),
        calls: BTreeMap::new(),
        requests: 0,
        loses,
        called: Vec::new(),
    }
}

proptest! {
    #[test]
    fn no_call_outlives_its_lease_is_made_twice_or_is_lost_in_silence(
        seed in any::<u64>(),
        loses in prop::sample::select(vec![1, 2, 3, 5, 20, 1_000_000]),
    ) {
        let mut world = world(seed, loses);
        let trace = Trace::new(None, [1; 16]);
        world.event(Event::Dispatched(vec![call_id(1000)], trace));
        world.go_on();
        prop_assert!(world.run.has_ended());
        let settled = world.db.settled.len();
        if world.run.is_over() {
            return Ok(());
        }
        // Every call that was made is reported, and every call that was claimed is made.
        prop_assert_eq!(settled, world.called.len());
        prop_assert!(world.db.calls.is_empty(), "{} calls are left", world.db.calls.len());
    }
}
