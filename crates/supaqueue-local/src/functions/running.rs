//! A function's process, from its start to its end.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::oneshot;

use super::stamp::Stamp;
use super::{Failed, Function};
use crate::log::LogSink;
use crate::process::Process;

/// How long a function may take to listen: the first time it may download what it imports.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// A function's process that listens.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    /// Of the function that it runs.
    stamp: Stamp,
    started: Instant,
    wall_clock: Duration,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Running {
    /// Starts a function and waits until it listens. `command` makes its command, from the
    /// arguments for `platform.ts`. The process' clock is `clock_offset_ms` ahead of ours.
    pub(super) async fn start(
        function: &Function,
        wall_clock: Duration,
        clock_offset_ms: i64,
        logs: &LogSink,
        command: impl FnOnce(&[String]) -> crate::Result<Command>,
    ) -> Result<Arc<Self>, Failed> {
        let token = format!("supaqueue-listening-{}", crate::random_hex(8));
        let started = Instant::now();
        // The process counts from the same moment as we, not from when it has started.
        let end = chrono::Utc::now() + wall_clock;
        let arguments = [
            token.clone(),
            wall_clock.as_millis().to_string(),
            end.timestamp_millis().to_string(),
            clock_offset_ms.to_string(),
        ];
        let command = command(&arguments).map_err(Failed::Host)?;
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
                        // The start may have been given up.
                        let _ = sender.send(port);
                    }
                }
                None => sink.write(&name, line),
            }
        })
        .map_err(Failed::Host)?;
        let port = tokio::select! {
            // Once the process has ended, its log is read and the sender gone.
            port = &mut port => port.ok(),
            () = tokio::time::sleep(BOOT_LIMIT) => {
                logs.write(&function.name, format!("not listening after {} s: stopped", BOOT_LIMIT.as_secs()));
                None
            }
        };
        let Some(port) = port else {
            process.signal(Signal::SIGKILL);
            let status = process.wait().await;
            logs.write(
                &function.name,
                format!("did not start: exit status {status}"),
            );
            return Err(Failed::Boot);
        };
        let running = Arc::new(Self {
            process,
            stamp: function.stamp,
            started,
            wall_clock,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        });
        // It may be gone long before.
        let at_the_end = Arc::downgrade(&running);
        tokio::spawn(async move {
            tokio::time::sleep_until((started + wall_clock).into()).await;
            if let Some(running) = at_the_end.upgrade() {
                running.process.signal(Signal::SIGKILL);
            }
        });
        Ok(running)
    }

    /// Whether it still runs.
    pub(super) fn is_alive(&self) -> bool {
        self.process.exit_status().is_none()
    }

    /// Whether it may be given a request: not in the second half of its wall clock.
    pub(super) fn takes_requests(&self) -> bool {
        self.is_alive() && self.started.elapsed() < self.wall_clock / 2
    }

    /// Whether it runs another code than `function` has now.
    pub(super) fn is_outdated(&self, function: &Function) -> bool {
        self.stamp != function.stamp
    }

    /// Has it end once it has nothing left to do.
    pub(super) fn retire(&self) {
        self.process.signal(Signal::SIGUSR2);
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Waits until the process has ended; its status as a shell counts it.
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
