//! Child processes that do not outlive their owner, even when the owner is killed with `kill -9`.
//!
//! A shell watches a pipe from the owner. The kernel closes it when the owner dies, which no
//! handler inside the owner could do. Each program has its own process group, so that a Ctrl-C in
//! the terminal reaches only the owner.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::{Error, Result, lock};

/// The user to run a program as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A program that runs until it exits, is stopped, or its owner dies.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    /// The pipe to the watcher in `guard.sh`. Open until the program is reaped, and while it is
    /// open no other process can get this program's id.
    watcher: Arc<Mutex<Option<ChildStdin>>>,
    exited: watch::Receiver<Option<i32>>,
}

impl Process {
    /// Starts `command` and calls `on_line` with each line it writes. `stop_signal` is the signal
    /// that asks it to exit.
    pub(crate) fn start(
        command: &Command,
        stop_signal: Signal,
        user: Option<User>,
        on_line: impl FnMut(String) + Send + 'static,
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut guard = shell(include_str!("guard.sh"), "supaqueue-guard");
        guard.arg(stop_signal.as_str().trim_start_matches("SIG"));
        guard.arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => guard.env(key, value),
                None => guard.env_remove(key),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            guard.current_dir(folder);
        }
        guard.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = spawn(&mut guard, user, &name)?;
        let pid = Pid::from_raw(child.id().cast_signed());
        let watcher = Arc::new(Mutex::new(child.stdin.take()));
        let log = child
            .stderr
            .take()
            .map(|stderr| std::thread::spawn(move || read_lines(BufReader::new(stderr), on_line)));

        let (sender, exited) = watch::channel(None);
        let process = Self {
            pid,
            watcher: watcher.clone(),
            exited,
        };
        std::thread::spawn(move || {
            let status = child.wait();
            lock(&watcher).take();
            // The exit is published only after all output has been read, which also waits for
            // processes that the program left behind.
            if let Some(log) = log {
                let _ = log.join();
            }
            sender.send_replace(Some(status.map_or(-1, shell_status)));
        });
        Ok(process)
    }

    /// The process id of the program.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// The exit status as a shell reports it (128 + n after signal n), once it has exited.
    pub(crate) fn exit_status(&self) -> Option<i32> {
        *self.exited.borrow()
    }

    /// Waits until it has exited, for whatever reason.
    pub(crate) async fn wait(&self) -> i32 {
        let mut exited = self.exited.clone();
        match exited.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or(-1),
            Err(_) => -1,
        }
    }

    /// Sends a signal to the program, unless it has exited. Returns whether it was sent.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        // The lock keeps the watcher, and with it the process id, until the signal is sent.
        lock(&self.watcher).is_some() && kill(self.pid, signal).is_ok()
    }

    /// Asks it to exit and waits until it has. It is killed after five seconds.
    pub(crate) async fn stop(&self) -> i32 {
        self.request_stop();
        self.wait().await
    }

    fn request_stop(&self) {
        if let Some(watcher) = lock(&self.watcher).as_mut() {
            // Fails only if the watcher was killed.
            let _ = watcher.write_all(b"stop\n");
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.request_stop();
    }
}

fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

/// A shell that runs `script` under this name.
pub(crate) fn shell(script: &str, name: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, name]);
    command
}

/// Starts a shell that watches a pipe from us, in its own process group and as `user`.
pub(crate) fn spawn(command: &mut Command, user: Option<User>, name: &str) -> Result<Child> {
    command.stdin(Stdio::piped()).process_group(0);
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
        // The current folder may be inaccessible to that user.
        if command.get_current_dir().is_none() {
            command.current_dir("/");
        }
    }
    command.spawn().map_err(|cause| Error::Process {
        program: name.to_owned(),
        cause,
    })
}

fn read_lines(mut from: impl BufRead, mut on_line: impl FnMut(String)) {
    let mut line = Vec::new();
    // Output that is not UTF-8 must not end the log.
    while matches!(from.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        on_line(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned(),
        );
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use nix::errno::Errno;
    use nix::sys::signal::killpg;

    use super::*;

    /// Runs a shell script. Also returns the lines it writes.
    fn start(script: &str) -> (Process, mpsc::Receiver<String>) {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        let (sender, lines) = mpsc::channel();
        let process = Process::start(&command, Signal::SIGTERM, None, move |line| {
            let _ = sender.send(line);
        });
        (process.unwrap(), lines)
    }

    fn until(what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition() {
            assert!(Instant::now() < deadline, "timed out: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[tokio::test]
    async fn the_exit_status_is_a_shells() {
        for (script, want) in [("exit 0", 0), ("exit 3", 3), ("kill -s KILL $$", 137)] {
            let (process, _) = start(script);
            assert_eq!(process.wait().await, want, "{script}");
        }
        let missing = Command::new("/nonexistent/program");
        let process = Process::start(&missing, Signal::SIGTERM, None, drop).unwrap();
        assert_eq!(process.wait().await, 127);
    }

    #[tokio::test]
    async fn stopping_sends_the_stop_signal() {
        let (process, lines) =
            start("trap 'echo stopped; exit 5' TERM; echo ready; while :; do sleep 0.01; done");
        assert_eq!(lines.recv().unwrap(), "ready");
        assert_eq!(process.stop().await, 5);
        assert_eq!(lines.recv().unwrap(), "stopped");
    }

    #[tokio::test]
    async fn a_program_that_ignores_the_stop_signal_is_killed() {
        let (process, lines) = start("trap '' TERM; echo ready; while :; do sleep 0.1; done");
        assert_eq!(lines.recv().unwrap(), "ready");
        assert_eq!(process.stop().await, 137);
    }

    #[test]
    fn a_dropped_process_is_stopped() {
        let (process, lines) = start("echo ready; exec sleep 600");
        assert_eq!(lines.recv().unwrap(), "ready");
        let pid = process.pid;
        drop(process);
        until("its exit", || kill(pid, None) == Err(Errno::ESRCH));
    }

    #[test]
    fn no_signal_is_sent_to_the_id_of_a_program_that_has_exited() {
        // The child holds the log open, so the exit is not published yet.
        let (process, lines) = start("sleep 600 & echo $!");
        let child = Pid::from_raw(lines.recv().unwrap().parse().unwrap());
        until("the end of signals", || !process.signal(Signal::SIGCONT));
        assert_eq!(process.exit_status(), None);
        kill(child, Signal::SIGKILL).unwrap();
        until("its exit status", || process.exit_status().is_some());
    }

    #[test]
    fn the_process_id_stays_reserved_until_the_program_is_reaped() {
        let (process, lines) = start("echo ready; exec sleep 600");
        assert_eq!(lines.recv().unwrap(), "ready");
        // Its process group outlives it as long as the pipe to the watcher is open.
        let pipe = lock(&process.watcher);
        kill(process.pid, Signal::SIGKILL).unwrap();
        until("its exit", || kill(process.pid, None) == Err(Errno::ESRCH));
        assert_eq!(killpg(process.pid, None), Ok(()));
        drop(pipe);
        until("the end of the watcher", || {
            killpg(process.pid, None) == Err(Errno::ESRCH)
        });
    }
}
