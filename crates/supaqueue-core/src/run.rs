//! A run: what one isolate does with one dispatch. Its lanes share what is here.

use core::cell::RefCell;
use std::rc::Rc;

use crate::budget::Budget;
use crate::config::Settings;
use crate::excerpt::excerpt;
use crate::log::{Entry, Level};
use crate::time::Timestamp;
use crate::trace::Trace;

/// As much of a reason as the database shows, in bytes.
const REFUSAL_LIMIT: usize = 200;

/// What all runs of an isolate share.
#[derive(Debug, Default)]
pub struct Isolate {
    last_refusal: RefCell<Option<String>>,
}

impl Isolate {
    /// Why the database refused the latest acknowledgement, if it did.
    pub(crate) fn last_refusal(&self) -> Option<String> {
        self.last_refusal.borrow().clone()
    }

    /// Remembers how the latest acknowledgement ended.
    pub(crate) fn acknowledged(&self, refusal: Option<&str>) {
        let refusal = refusal.map(|reason| excerpt(reason.as_bytes(), REFUSAL_LIMIT));
        self.last_refusal.replace(refusal);
    }
}

/// What all lanes of a run share.
pub struct Run {
    pub(crate) settings: Settings,
    pub(crate) trace: Trace,
    pub(crate) budget: Budget,
    pub(crate) isolate: Rc<Isolate>,
    is_missing_logged: bool,
    log: Vec<Entry>,
}

impl Run {
    /// A run with this many lanes. `traceparent` is that of the dispatch.
    #[must_use]
    pub fn new(
        settings: Settings,
        traceparent: Option<&str>,
        random: [u8; 16],
        isolate_started: Timestamp,
        lanes: usize,
        isolate: Rc<Isolate>,
    ) -> Self {
        let mut run = Self {
            trace: Trace::new(traceparent, random),
            budget: Budget::new(
                isolate_started,
                settings.time_budget_ms,
                settings.jobs_per_run,
                u32::try_from(lanes).unwrap_or(u32::MAX),
            ),
            settings,
            isolate,
            is_missing_logged: false,
            log: Vec::new(),
        };
        run.log(Entry {
            count: Some(lanes),
            ..Entry::new(Level::Debug, "dispatch_accepted")
        });
        run
    }

    /// Takes no more jobs, since the isolate is about to end.
    pub fn stop(&mut self) {
        self.budget.stop();
    }

    /// The lines logged since the last call.
    pub fn take_log(&mut self) -> Vec<Entry> {
        core::mem::take(&mut self.log)
    }

    pub(crate) fn log(&mut self, entry: Entry) {
        if self.settings.logs(&entry) {
            self.log.push(entry);
        }
    }

    /// Logs that `end_current_job` is missing: once, not for each lane.
    pub(crate) fn log_missing(&mut self) {
        if !core::mem::replace(&mut self.is_missing_logged, true) {
            self.log(Entry::new(Level::Error, "end_current_job_missing").because(
                "public.end_current_job does not exist: install Supaqueue's migration, or delete this function; \
                 if it was installed just now, run: notify pgrst, 'reload schema'",
            ));
        }
    }
}
