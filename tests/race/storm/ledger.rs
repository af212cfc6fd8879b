//! What the runs of a storm did, recorded independently of the database.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use supaqueue_tests::get;
use supaqueue_tests::protocol::Call;
use tokio_postgres::Client;

use crate::invariants::{Check, ensure};

/// The outcome of one call of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    Successful,
    Failed,
    FailedForGood,
    GivenBack,
    /// Not reported.
    Lost,
}

/// The calls of one job.
#[derive(Debug, Default)]
struct Calls {
    ended: Vec<Outcome>,
    is_cancelled: bool,
    is_settled_by_hand: bool,
    /// Whether a report that settles it for good was answered.
    is_over: bool,
}

#[derive(Debug, Default)]
struct Entries {
    inserted: HashSet<String>,
    jobs: HashMap<String, Calls>,
    running: HashSet<String>,
    in_flight: HashMap<String, u32>,
    violations: Vec<String>,
}

/// The ledger of a storm.
#[derive(Debug)]
pub(super) struct Ledger {
    workers: HashMap<String, u32>,
    entries: Mutex<Entries>,
    has_no_more_jobs: AtomicBool,
    has_ended: AtomicBool,
}

impl Ledger {
    pub(super) fn new(queues: impl IntoIterator<Item = (&'static str, u32)>) -> Self {
        Self {
            workers: queues
                .into_iter()
                .map(|(name, workers)| (name.to_owned(), workers))
                .collect(),
            entries: Mutex::default(),
            has_no_more_jobs: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Records that all jobs were inserted.
    pub(super) fn no_more_jobs(&self) {
        self.has_no_more_jobs.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_no_more_jobs(&self) -> bool {
        self.has_no_more_jobs.load(Ordering::SeqCst)
    }

    pub(super) fn stop(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }

    /// Whether the storm is over, or was ended by a violation.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Records a violation and ends the storm.
    pub(super) fn violation(&self, what: String) {
        self.entries.lock().unwrap().violations.push(what);
        self.stop();
    }

    pub(super) fn violations(&self) -> String {
        self.entries.lock().unwrap().violations.join("\n")
    }

    /// Records jobs that were committed.
    pub(super) fn inserted(&self, ids: &str) {
        self.entries
            .lock()
            .unwrap()
            .inserted
            .extend(ids.lines().map(str::to_owned));
    }

    /// Records jobs that were cancelled.
    pub(super) fn cancelled(&self, ids: &str) {
        let mut entries = self.entries.lock().unwrap();
        for id in ids.lines() {
            entries.jobs.entry(id.to_owned()).or_default().is_cancelled = true;
        }
    }

    /// Records jobs that were settled by hand, as successful.
    pub(super) fn settled_by_hand(&self, job: &str) {
        let mut entries = self.entries.lock().unwrap();
        let calls = entries.jobs.entry(job.to_owned()).or_default();
        calls.is_settled_by_hand = true;
    }

    /// Records that a lane starts a call.
    pub(super) fn starts(&self, call: &Call) {
        let mut entries = self.entries.lock().unwrap();
        let is_new = entries.running.insert(call.job.clone());
        let in_flight = entries.in_flight.entry(call.queue.clone()).or_default();
        *in_flight += 1;
        let in_flight = *in_flight;
        let is_over = entries.jobs.get(&call.job).is_some_and(|job| job.is_over);
        drop(entries);
        if is_over {
            self.violation(format!("job {} is run although it has ended", call.job));
        }
        if !is_new {
            self.violation(format!("job {} is run by two lanes at once", call.job));
        }
        let workers = self.workers[&call.queue];
        if in_flight > workers {
            self.violation(format!(
                "queue {} has {in_flight} calls at once, more than its {workers} workers",
                call.queue
            ));
        }
    }

    /// Records that a call has ended; its report follows, or never comes.
    pub(super) fn ends(&self, call: &Call) {
        let mut entries = self.entries.lock().unwrap();
        entries.running.remove(&call.job);
        *entries.in_flight.get_mut(&call.queue).unwrap() -= 1;
    }

    /// Records the outcome of a call, which is to be reported; returns the entry's number.
    pub(super) fn ended(&self, call: &Call, outcome: Outcome) -> usize {
        let mut entries = self.entries.lock().unwrap();
        let ended = &mut entries.jobs.entry(call.job.clone()).or_default().ended;
        ended.push(outcome);
        ended.len() - 1
    }

    /// Records that a report was accepted.
    pub(super) fn is_settled(&self, call: &Call, outcome: Outcome) {
        if matches!(outcome, Outcome::Successful | Outcome::FailedForGood) {
            let mut entries = self.entries.lock().unwrap();
            entries.jobs.entry(call.job.clone()).or_default().is_over = true;
        }
    }

    /// Records that a call was not reported, or too late.
    pub(super) fn is_lost(&self, call: &Call, entry: usize) {
        let mut entries = self.entries.lock().unwrap();
        let calls = entries.jobs.entry(call.job.clone()).or_default();
        calls.ended[entry] = Outcome::Lost;
    }

    /// Compares the ledger with every job in the database.
    pub(super) async fn matches(&self, client: &Client) -> Check {
        let jobs = get(
            client,
            "select j.id, j.status, j.attempts, coalesce(j.max_attempts, q.max_attempts)
             from supaqueue.job j join supaqueue.queue q on q.id = j.queue",
        )
        .await;
        let entries = self.entries.lock().unwrap();
        let in_database: HashSet<_> = jobs.lines().map(|job| job[..36].to_owned()).collect();
        ensure!(
            in_database == entries.inserted,
            "{} jobs were committed, and the database has {}",
            entries.inserted.len(),
            in_database.len()
        );

        let nothing = Calls::default();
        let mut wrong = Vec::new();
        let mut summary = BTreeMap::<&str, u32>::new();
        for job in jobs.lines() {
            let columns: Vec<_> = job.split('|').collect();
            let (status, attempts, limit) = (
                columns[1],
                columns[2].parse::<usize>().unwrap(),
                columns[3].parse().unwrap(),
            );
            let calls = entries.jobs.get(columns[0]).unwrap_or(&nothing);
            if let Err(error) = calls.check(status, attempts, limit) {
                wrong.push(format!("job {} {error}: {calls:?}", columns[0]));
            }
            *summary.entry(status).or_default() += 1;
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        println!("{summary:?}");
        Ok(())
    }
}

impl Calls {
    /// Checks a job's status and attempts against its calls.
    fn check(&self, status: &str, attempts: usize, limit: usize) -> Check {
        let number = |outcome| self.ended.iter().filter(|one| **one == outcome).count();
        let counted = self.ended.len() - number(Outcome::GivenBack);
        let final_ones = number(Outcome::Successful) + number(Outcome::FailedForGood);
        let want = match () {
            _ if self.is_cancelled => "cancelled",
            _ if self.is_settled_by_hand => "successful",
            _ if number(Outcome::Successful) > 0 => "successful",
            _ if final_ones > 0 || counted >= limit => "failed",
            _ => "not yet settled",
        };
        ensure!(status == want, "is {status}, not {want}");
        // What was cancelled or settled by hand meanwhile may have been counted without a call.
        if !self.is_cancelled && !self.is_settled_by_hand {
            ensure!(final_ones <= 1, "ended {final_ones} times");
            ensure!(
                attempts == counted,
                "has {attempts} attempts, not {counted}"
            );
        }
        Ok(())
    }
}
