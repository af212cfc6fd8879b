//! Runs edge functions on demand, each in its own Deno processes.
//!
//! A process emulates an isolate of the platform, including its wall clock limit: halfway through,
//! new requests go to a new process; at 90 % the process receives `beforeunload`; at the end it is
//! killed. The limits on memory and CPU time are not emulated.

mod config;
mod deno;
mod function;
mod isolate;
mod stamp;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as StdMutex, MutexGuard};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::folder::Folder;
use crate::log::LogSink;
use crate::{Error, Result, lock};
pub(crate) use deno::{check as check_deno, find as find_deno};
pub(crate) use function::Function;
pub(crate) use isolate::Isolate;

/// How long a function's files and configuration are cached.
const CACHE_TIME: Duration = Duration::from_secs(1);

/// How long to wait for a function that is starting before giving up on stopping it.
const STARTING_LIMIT: Duration = Duration::from_secs(5);

/// What every isolate is started with.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) deno: PathBuf,
    pub(crate) wall_clock: Duration,
    /// The platform's variables, which a user's `.env` cannot override.
    pub(crate) platform: Vec<(String, String)>,
    /// Variables added by the builder.
    pub(crate) added: Vec<(String, String)>,
    pub(crate) overrides: StdMutex<Overrides>,
}

/// Changes made while the stack runs. They apply to isolates started later.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    /// These override even the platform's variables.
    pub(crate) variables: Vec<(String, String)>,
    /// How far the functions' clock is ahead of ours, in milliseconds.
    pub(crate) clock_offset_ms: i64,
}

impl Environment {
    fn overrides(&self) -> MutexGuard<'_, Overrides> {
        lock(&self.overrides)
    }
}

/// The functions in some folders, and their isolates.
#[derive(Debug)]
pub(crate) struct Functions {
    roots: Vec<PathBuf>,
    environment: Environment,
    folder: Folder,
    logs: LogSink,
    cache: StdMutex<HashMap<String, (Instant, Function)>>,
    current: StdMutex<HashMap<String, Slot>>,
    /// Isolates that accept no more requests. Those that have exited are removed lazily.
    retired: StdMutex<Vec<(String, Arc<Isolate>)>>,
}

/// Holds a function's current isolate. Locked while one starts.
type Slot = Arc<Mutex<Option<Arc<Isolate>>>>;

/// Why a function could not be started.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The function failed; its log says why.
    Boot,
    /// The stack failed to run it.
    Host(Error),
}

impl Functions {
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        environment: Environment,
        logs: LogSink,
    ) -> Result<Self> {
        for root in &roots {
            // Fails early if the file is invalid, not at the first request.
            config::Config::next_to(root)?;
        }
        let folder = Folder::create(None)?;
        let script = folder.path().join("edge_runtime.ts");
        std::fs::write(&script, include_str!("edge_runtime.ts"))
            .map_err(Error::file("cannot write", &script))?;
        Ok(Self {
            roots,
            environment,
            folder,
            logs,
            cache: StdMutex::default(),
            current: StdMutex::default(),
            retired: StdMutex::default(),
        })
    }

    /// Finds a function by name.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Function>> {
        let mut cache = lock(&self.cache);
        if let Some((read_at, function)) = cache.get(name)
            && read_at.elapsed() < CACHE_TIME
        {
            return Ok(Some(function.clone()));
        }
        let function = Function::find(&self.roots, name)?;
        match &function {
            Some(function) => cache.insert(name.to_owned(), (Instant::now(), function.clone())),
            None => cache.remove(name),
        };
        Ok(function)
    }

    /// The names of all functions, sorted.
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

    /// The isolate for a function's next request, started if necessary.
    pub(crate) async fn isolate(&self, function: &Function) -> Result<Arc<Isolate>, StartError> {
        let slot = lock(&self.current)
            .entry(function.name.clone())
            .or_default()
            .clone();
        // Concurrent requests wait here while it starts.
        let mut slot = slot.lock().await;
        if let Some(isolate) = slot.as_ref() {
            if isolate.is_outdated(function) {
                self.logs
                    .write(&function.name, "files have changed: restarting");
            } else if isolate.accepts_requests() {
                return Ok(isolate.clone());
            }
        }
        if let Some(old) = slot.take().filter(|old| old.is_alive()) {
            old.retire();
            let mut retired = lock(&self.retired);
            retired.retain(|(_, isolate)| isolate.is_alive());
            retired.push((function.name.clone(), old));
        }
        let Environment { wall_clock, .. } = self.environment;
        let offset = self.environment.overrides().clock_offset_ms;
        let isolate = Isolate::start(function, wall_clock, offset, &self.logs, |arguments| {
            function.command(&self.environment, self.folder.path(), arguments)
        })
        .await?;
        *slot = Some(isolate.clone());
        Ok(isolate)
    }

    /// Changes the overrides for isolates started from now on.
    pub(crate) fn set_overrides(&self, change: impl FnOnce(&mut Overrides)) {
        change(&mut self.environment.overrides());
    }

    /// Kills a function's isolates. The next request starts a new one.
    pub(crate) async fn kill(&self, name: &str) {
        let isolates = self.take(name).await;
        join_all(isolates.iter().map(|isolate| isolate.kill())).await;
    }

    /// Stops a function's isolates: they receive `beforeunload` and are killed after five seconds.
    pub(crate) async fn stop(&self, name: &str) {
        // The caller may have changed the function's files.
        lock(&self.cache).remove(name);
        let isolates = self.take(name).await;
        join_all(isolates.iter().map(|isolate| isolate.stop())).await;
    }

    /// The process id of a function's current isolate, if one is running.
    pub(crate) async fn pid(&self, name: &str) -> Option<i32> {
        let slot = self.slot(name)?;
        let slot = slot.lock().await;
        slot.as_ref()
            .filter(|isolate| isolate.is_alive())
            .map(|isolate| isolate.pid())
    }

    /// The process ids of a function's isolates: the current one, and retired ones that are finishing
    /// their work.
    pub(crate) async fn pids(&self, name: &str) -> Vec<i32> {
        let current = self.pid(name).await;
        let retired = lock(&self.retired);
        let retired = retired
            .iter()
            .filter(|(retired, isolate)| retired == name && isolate.is_alive())
            .map(|(_, isolate)| isolate.pid());
        current.into_iter().chain(retired).collect()
    }

    fn slot(&self, name: &str) -> Option<Slot> {
        lock(&self.current).get(name).cloned()
    }

    async fn take(&self, name: &str) -> Vec<Arc<Isolate>> {
        let current = match self.slot(name) {
            // Only a start holds the lock for long, and it ends when its request is dropped.
            Some(slot) => match tokio::time::timeout(STARTING_LIMIT, slot.lock()).await {
                Ok(mut slot) => slot.take(),
                Err(_) => None,
            },
            None => None,
        };
        lock(&self.retired)
            .extract_if(.., |(retired, _)| retired == name)
            .map(|(_, isolate)| isolate)
            .chain(current)
            .collect()
    }

    /// Stops all isolates and removes the files written for them.
    pub(crate) async fn stop_all(&self) {
        let names: Vec<String> = lock(&self.current).keys().cloned().collect();
        join_all(names.iter().map(|name| self.stop(name))).await;
        self.folder.remove().await;
    }
}
