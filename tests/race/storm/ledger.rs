//! What the lanes of a storm know, counted beside the database and not by it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use supaqueue_tests::get;
use tokio_postgres::Client;

use crate::claim::{Claim, claim};
use crate::lane::Call;

/// What became of one run of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    Successful,
    Failed,
    FailedForGood,
    GivenBack,
    /// Nobody reported it.
    Lost,
}

/// The runs of one job.
#[derive(Debug, Default)]
struct Runs {
    ended: Vec<Outcome>,
    is_cancelled: bool,
}

#[derive(Debug, Default)]
struct Pages {
    inserted: HashSet<String>,
    jobs: HashMap<String, Runs>,
    running: HashSet<String>,
    in_flight: HashMap<String, u32>,
    wrong: Vec<String>,
}

/// The ledger of a storm.
#[derive(Debug)]
pub(super) struct Ledger {
    workers: HashMap<String, u32>,
    pages: Mutex<Pages>,
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
            pages: Mutex::default(),
            has_no_more_jobs: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Everything was inserted.
    pub(super) fn no_more_jobs(&self) {
        self.has_no_more_jobs.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_no_more_jobs(&self) -> bool {
        self.has_no_more_jobs.load(Ordering::SeqCst)
    }

    pub(super) fn stop(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
    }

    /// Whether the storm is over, or something was wrong.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Notes something that must not be, and ends the storm.
    pub(super) fn is_wrong(&self, what: String) {
        self.pages.lock().unwrap().wrong.push(what);
        self.stop();
    }

    pub(super) fn wrong(&self) -> String {
        self.pages.lock().unwrap().wrong.join("\n")
    }

    /// Jobs were committed.
    pub(super) fn inserted(&self, ids: &str) {
        self.pages
            .lock()
            .unwrap()
            .inserted
            .extend(ids.lines().map(str::to_owned));
    }

    pub(super) fn cancelled(&self, ids: &str) {
        let mut pages = self.pages.lock().unwrap();
        for id in ids.lines() {
            pages.jobs.entry(id.to_owned()).or_default().is_cancelled = true;
        }
    }

    /// A lane runs a call from now on.
    pub(super) fn starts(&self, call: &Call) {
        let mut pages = self.pages.lock().unwrap();
        let is_new = pages.running.insert(call.job.clone());
        let in_flight = pages.in_flight.entry(call.queue.clone()).or_default();
        *in_flight += 1;
        let in_flight = *in_flight;
        drop(pages);
        if !is_new {
            self.is_wrong(format!("job {} is run by two lanes at once", call.job));
        }
        let workers = self.workers[&call.queue];
        if in_flight > workers {
            self.is_wrong(format!(
                "queue {} has {in_flight} calls at once, more than its {workers} workers",
                call.queue
            ));
        }
    }

    /// A lane's call has ended; its report is next, or never comes.
    pub(super) fn ends(&self, call: &Call) {
        let mut pages = self.pages.lock().unwrap();
        pages.running.remove(&call.job);
        *pages.in_flight.get_mut(&call.queue).unwrap() -= 1;
    }

    /// The database has taken the outcome.
    pub(super) fn settled(&self, call: &Call, outcome: Outcome) {
        let mut pages = self.pages.lock().unwrap();
        pages
            .jobs
            .entry(call.job.clone())
            .or_default()
            .ended
            .push(outcome);
    }

    /// Compares the ledger with every job of the database.
    pub(super) async fn matches(&self, client: &Client) -> Claim {
        let jobs = get(
            client,
            "select j.id, j.status, j.attempts, coalesce(j.max_attempts, q.max_attempts)
             from supaqueue.job j join supaqueue.queue q on q.id = j.queue",
        )
        .await;
        let pages = self.pages.lock().unwrap();
        let in_database: HashSet<_> = jobs.lines().map(|job| job[..36].to_owned()).collect();
        claim!(
            in_database == pages.inserted,
            "{} jobs were committed and {} are there",
            pages.inserted.len(),
            in_database.len()
        );

        let nothing = Runs::default();
        let mut wrong = Vec::new();
        let mut summary = BTreeMap::<&str, u32>::new();
        for job in jobs.lines() {
            let columns: Vec<_> = job.split('|').collect();
            let (status, attempts, limit) = (
                columns[1],
                columns[2].parse::<usize>().unwrap(),
                columns[3].parse().unwrap(),
            );
            let runs = pages.jobs.get(columns[0]).unwrap_or(&nothing);
            if let Err(error) = runs.give(status, attempts, limit) {
                wrong.push(format!("job {} {error}: {runs:?}", columns[0]));
            }
            *summary.entry(status).or_default() += 1;
        }
        claim!(wrong.is_empty(), "{}", wrong.join("\n"));
        println!("{summary:?}");
        Ok(())
    }
}

impl Runs {
    /// Whether these runs give that status after that many attempts.
    fn give(&self, status: &str, attempts: usize, limit: usize) -> Claim {
        let counted = self
            .ended
            .iter()
            .filter(|outcome| **outcome != Outcome::GivenBack)
            .count();
        let want = match self.ended.last() {
            _ if self.is_cancelled => "cancelled",
            Some(Outcome::Successful) => "successful",
            Some(Outcome::FailedForGood) => "failed",
            Some(Outcome::Failed | Outcome::Lost) if counted >= limit => "failed",
            _ => "not yet settled",
        };
        claim!(status == want, "is {status}, not {want}");
        let successes = self
            .ended
            .iter()
            .filter(|outcome| **outcome == Outcome::Successful)
            .count();
        claim!(successes <= 1, "succeeded {successes} times");
        // A cancelled job's last attempt may have been counted without having been run.
        claim!(
            attempts == counted || self.is_cancelled,
            "has {attempts} attempts, not {counted}"
        );
        Ok(())
    }
}
