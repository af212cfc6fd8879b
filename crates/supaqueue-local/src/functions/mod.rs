//! Runs edge functions, each in Deno processes of its own, which requests start.
//!
//! A process stands for an isolate of the platform. It has a wall clock: in the second half of it
//! no new request is given to it but to a next process, at nine tenths it hears `beforeunload`, and
//! at the end it is killed. Not stood in for: the limits of memory and of CPU time.

mod config;
mod deno;
mod function;
mod running;
mod stamp;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::log::LogSink;
use crate::process::Folder;
use crate::{Error, Result};
pub(crate) use deno::find as find_deno;
pub(crate) use function::Function;
pub(crate) use running::Running;

/// How soon a change of a function's files is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// How long a function that is being started is waited for, to end it.
const LOCK_LIMIT: Duration = Duration::from_secs(5);

/// What every function's process is given.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) deno: PathBuf,
    pub(crate) wall_clock: Duration,
    /// The platform's own variables; a user's `.env` cannot change them.
    pub(crate) platform: Vec<(String, String)>,
    /// Added by the builder, for every function.
    pub(crate) added: Vec<(String, String)>,
    /// Changed while the stack runs.
    pub(crate) changed: StdMutex<Changed>,
}

/// What processes get that are started from now on, over what they got before.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) variables: Vec<(String, String)>,
    /// What their clock is ahead of ours, in milliseconds.
    pub(crate) clock_offset_ms: i64,
}

impl Environment {
    pub(crate) fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The functions below some folders.
#[derive(Debug)]
pub(crate) struct Functions {
    roots: Vec<PathBuf>,
    environment: Environment,
    folder: Folder,
    logs: LogSink,
    found: StdMutex<HashMap<String, (Instant, Function)>>,
    running: StdMutex<HashMap<String, Slot>>,
    /// Processes that take no more requests, and have not ended when last looked at.
    retired: StdMutex<Vec<(String, Arc<Running>)>>,
}

/// The place of a function's process; locked while it starts.
type Slot = Arc<Mutex<Option<Arc<Running>>>>;

/// Why a function gives no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It did not start; its log says why.
    Boot,
    /// The machinery failed before it.
    Host(Error),
}

impl Functions {
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        environment: Environment,
        logs: LogSink,
    ) -> Result<Self> {
        for root in &roots {
            // Better now than at the first request.
            config::Config::beside(root)?;
        }
        let folder = Folder::create(None)?;
        let platform = folder.path().join("platform.ts");
        std::fs::write(&platform, include_str!("platform.ts"))
            .map_err(Error::file("cannot write", &platform))?;
        Ok(Self {
            roots,
            environment,
            folder,
            logs,
            found: StdMutex::default(),
            running: StdMutex::default(),
            retired: StdMutex::default(),
        })
    }

    /// Finds a function by name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Function>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, function)) = found.get(name)
            && when.elapsed() < LOOK_AGAIN
        {
            return Ok(Some(function.clone()));
        }
        let function = Function::find(&self.roots, name)?;
        match &function {
            Some(function) => found.insert(name.to_owned(), (Instant::now(), function.clone())),
            None => found.remove(name),
        };
        Ok(function)
    }

    /// The names of all functions, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .roots
            .iter()
            .filter_map(|root| std::fs::read_dir(root).ok())
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| matches!(Function::find(&self.roots, name), Ok(Some(_))))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The function's process, started if need be.
    pub(crate) async fn run(&self, function: &Function) -> Result<Arc<Running>, Failed> {
        let slot = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(function.name.clone())
            .or_default()
            .clone();
        // Requests that come while it starts wait here.
        let mut slot = slot.lock().await;
        if let Some(running) = slot.as_ref() {
            if running.is_outdated(function) {
                self.logs
                    .write(&function.name, "its files have changed: started again");
            } else if running.takes_requests() {
                return Ok(running.clone());
            }
        }
        if let Some(old) = slot.take().filter(|old| old.is_alive()) {
            old.retire();
            let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
            retired.retain(|(_, running)| running.is_alive());
            retired.push((function.name.clone(), old));
        }
        let Environment { wall_clock, .. } = self.environment;
        let offset = self.environment.changed().clock_offset_ms;
        let running = Running::start(function, wall_clock, offset, &self.logs, |arguments| {
            function.command(&self.environment, self.folder.path(), arguments)
        })
        .await?;
        *slot = Some(running.clone());
        Ok(running)
    }

    /// Changes what processes get that are started from now on.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Changed)) {
        change(&mut self.environment.changed());
    }

    /// Kills a function's processes at once. The next request starts another.
    pub(crate) async fn kill(&self, name: &str) {
        let all = self.take(name).await;
        join_all(all.iter().map(|running| running.kill())).await;
    }

    /// Ends a function's processes in order: they hear `beforeunload` and have five seconds.
    pub(crate) async fn stop(&self, name: &str) {
        // Whoever stops it may have changed its files.
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
        let all = self.take(name).await;
        join_all(all.iter().map(|running| running.stop())).await;
    }

    /// The id of the process that takes a function's requests, if it runs.
    pub(crate) async fn pid(&self, name: &str) -> Option<i32> {
        let slot = self.slot(name)?;
        let slot = slot.lock().await;
        slot.as_ref()
            .filter(|running| running.is_alive())
            .map(|running| running.pid())
    }

    /// The ids of a function's processes: of the one that takes its requests, and of those that only
    /// end what they have begun.
    pub(crate) async fn pids(&self, name: &str) -> Vec<i32> {
        let current = self.pid(name).await;
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let retired = retired
            .iter()
            .filter(|(retired, running)| retired == name && running.is_alive())
            .map(|(_, running)| running.pid());
        current.into_iter().chain(retired).collect()
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }

    async fn take(&self, name: &str) -> Vec<Arc<Running>> {
        let current = match self.slot(name) {
            // Held for longer only by a start; that ends with the request that wants it.
            Some(slot) => match tokio::time::timeout(LOCK_LIMIT, slot.lock()).await {
                Ok(mut slot) => slot.take(),
                Err(_) => None,
            },
            None => None,
        };
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        retired
            .extract_if(.., |(retired, _)| retired == name)
            .map(|(_, running)| running)
            .chain(current)
            .collect()
    }

    /// Ends all of them in order, and removes what was written for them.
    pub(crate) async fn stop_all(&self) {
        let names: Vec<String> = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect();
        join_all(names.iter().map(|name| self.stop(name))).await;
        self.folder.remove().await;
    }
}
