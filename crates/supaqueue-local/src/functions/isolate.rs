//! The Deno process that emulates an isolate of the edge runtime.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use super::stamp::Stamp;
use super::{Function, StartError};
use crate::log::LogSink;
use crate::process::Process;

/// How long a function may take until it listens. Its first start may download its imports.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// A process that serves one function.
#[derive(Debug)]
pub(crate) struct Isolate {
    process: Process,
    /// Of the function when this was started.
    stamp: Stamp,
    started: Instant,
    wall_clock: Duration,
    /// The address it listens on.
    pub(crate) address: SocketAddr,
}

impl Isolate {
    /// Starts a function and waits until it listens. `command` builds its command from the arguments
    /// for `edge_runtime.ts`. The function's clock is `clock_offset_ms` ahead of ours.
    pub(super) async fn start(
        function: &Function,
        wall_clock: Duration,
        clock_offset_ms: i64,
        logs: &LogSink,
        command: impl FnOnce(&[String]) -> crate::Result<Command>,
    ) -> Result<Arc<Self>, StartError> {
        let token = format!("supaqueue-listening-{}", crate::random_hex(8));
        let started = Instant::now();
        // An absolute time, so that the process and its host agree on the deadline.
        let deadline = UNIX_EPOCH.elapsed().unwrap_or_default() + wall_clock;
        let arguments = [
            token.clone(),
            wall_clock.as_millis().to_string(),
            deadline.as_millis().to_string(),
            clock_offset_ms.to_string(),
        ];
        let command = command(&arguments).map_err(StartError::Host)?;
        let (sender, mut port) = oneshot::channel();
        let (name, sink) = (function.name.clone(), logs.clone());
        let mut sender = Some(sender);
        let process = Process::start(&command, Signal::SIGTERM, None, move |line| {
            let port = line
                .strip_prefix(&token)
                .and_then(|port| port.trim().parse::<u16>().ok());
            match port {
                Some(port) => {
                    if let Some(sender) = sender.take() {
                        // Fails if the start was abandoned.
                        let _ = sender.send(port);
                    }
                }
                None => sink.write(&name, line),
            }
        })
        .map_err(StartError::Host)?;
        let port = tokio::select! {
            // The sender is dropped after the process has exited and its log is read.
            port = &mut port => port.ok(),
            () = tokio::time::sleep(BOOT_LIMIT) => {
                logs.write(&function.name, format!("not listening after {} s: killed", BOOT_LIMIT.as_secs()));
                None
            }
        };
        let Some(port) = port else {
            process.signal(Signal::SIGKILL);
            let status = process.wait().await;
            logs.write(
                &function.name,
                format!("failed to start: exit status {status}"),
            );
            return Err(StartError::Boot);
        };
        let isolate = Arc::new(Self {
            process,
            stamp: function.stamp,
            started,
            wall_clock,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        });
        // Weak, so that this does not keep it alive until its deadline.
        let weak = Arc::downgrade(&isolate);
        tokio::spawn(async move {
            tokio::time::sleep_until((started + wall_clock).into()).await;
            if let Some(isolate) = weak.upgrade() {
                isolate.process.signal(Signal::SIGKILL);
            }
        });
        Ok(isolate)
    }

    /// Whether the process is running.
    pub(super) fn is_alive(&self) -> bool {
        self.process.exit_status().is_none()
    }

    /// Whether it accepts new requests, which it stops doing halfway through its wall clock.
    pub(super) fn accepts_requests(&self) -> bool {
        self.is_alive() && self.started.elapsed() < self.wall_clock / 2
    }

    /// Whether the function's code has changed since it was started.
    pub(super) fn is_outdated(&self, function: &Function) -> bool {
        self.stamp != function.stamp
    }

    /// Asks it to exit once it is idle.
    pub(super) fn retire(&self) {
        self.process.signal(Signal::SIGUSR2);
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Waits until the process has exited. Returns its status as a shell reports it.
    pub(crate) async fn wait(&self) -> i32 {
        self.process.wait().await
    }

    pub(super) async fn kill(&self) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait().await;
    }

    pub(super) async fn stop(&self) {
        self.process.stop().await;
    }
}
