//! Processes and folders that do not outlive their owner, however it ends.
//!
//! Each is held by a small shell script that waits on a pipe: the kernel closes the pipe when the
//! owner dies, by `kill -9` too, which no handler inside the owner could see. The scripts are in a
//! process group of their own, so that a Ctrl-C in the terminal reaches the owner alone.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::{Error, Result};

/// The user to run as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A program that runs until it ends, is stopped, or its owner is gone.
#[derive(Debug)]
pub(crate) struct Process {
    pid: Pid,
    stdin: Mutex<Option<ChildStdin>>,
    exited: watch::Receiver<Option<i32>>,
}

impl Process {
    /// Starts `command`; `on_line` is given each line that it writes.
    ///
    /// `polite` is the signal that asks it to end.
    pub(crate) fn start(
        command: &Command,
        polite: Signal,
        user: Option<User>,
        on_line: impl FnMut(String) + Send + 'static,
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut guard = Command::new("/bin/sh");
        guard.args(["-c", include_str!("guard.sh"), "supaqueue-guard"]);
        guard.arg(polite.as_str().trim_start_matches("SIG"));
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
        guard.stderr(Stdio::piped());
        let (mut child, stdout, pid) = spawn(&mut guard, user, &name)?;
        let pid = pid.parse().map(Pid::from_raw).map_err(|_| Error::Process {
            program: name.clone(),
            cause: std::io::Error::other("the shell did not start it"),
        })?;

        let log = child
            .stderr
            .take()
            .map(|stderr| std::thread::spawn(move || read_lines(BufReader::new(stderr), on_line)));
        let (sender, exited) = watch::channel(None);
        let stdin = Mutex::new(child.stdin.take());
        std::thread::spawn(move || {
            let mut status = -1;
            read_lines(stdout, |line| {
                if let Some(code) = line.strip_prefix("exited ") {
                    status = code.parse().unwrap_or(-1);
                }
            });
            // All that was written is read, and processes that it left behind have ended too, before
            // anybody hears of the end.
            if let Some(log) = log {
                let _ = log.join();
            }
            // Reaps the guard; how it ended says nothing.
            let _ = child.wait();
            sender.send_replace(Some(status));
        });
        Ok(Self { pid, stdin, exited })
    }

    /// The process id of the program itself.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Its exit status as a shell counts it (128 + n when signal n ended it), once it has ended.
    pub(crate) fn exit_status(&self) -> Option<i32> {
        *self.exited.borrow()
    }

    /// Waits until it has ended, however that comes.
    pub(crate) async fn wait(&self) -> i32 {
        let mut exited = self.exited.clone();
        match exited.wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or(-1),
            Err(_) => -1,
        }
    }

    /// Sends a signal to the program itself. Nothing happens if it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.exit_status().is_none() {
            // It may end at this very moment; then there is nothing to signal.
            let _ = kill(self.pid, signal);
        }
    }

    /// Asks it to end and waits until it has; after five seconds it is killed.
    pub(crate) async fn stop(&self) -> i32 {
        self.let_go();
        self.wait().await
    }

    /// Asks it to end without waiting.
    pub(crate) fn let_go(&self) {
        self.stdin
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

/// A temporary folder that is removed when its owner lets go or is gone.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    keeper: Mutex<Option<Child>>,
}

impl Folder {
    /// Makes a folder that belongs to `user`.
    pub(crate) fn create(user: Option<User>) -> Result<Self> {
        let usual = std::env::temp_dir();
        // Ours may be closed to another user.
        for parent in [usual.as_path(), Path::new("/tmp")] {
            let mut keeper = Command::new("/bin/sh");
            keeper.args(["-c", include_str!("folder.sh"), "supaqueue-folder"]);
            keeper.arg(parent).stderr(Stdio::null());
            let (child, _, path) = spawn(&mut keeper, user, "mktemp")?;
            if !path.is_empty() {
                return Ok(Self {
                    path: path.into(),
                    keeper: Mutex::new(Some(child)),
                });
            }
        }
        Err(Error::Invalid(format!(
            "cannot make a folder in {}; set TMPDIR to a folder that everybody may write to",
            usual.display()
        )))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder and waits until that is done.
    pub(crate) async fn remove(&self) {
        let keeper = self
            .keeper
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut keeper) = keeper {
            // The only way this fails is that the thread is gone, and the runtime with it.
            let _ = tokio::task::spawn_blocking(move || {
                drop(keeper.stdin.take());
                keeper.wait()
            })
            .await;
        }
    }
}

/// Starts a guard script and reads the line that it answers with; what follows is left to read.
fn spawn(
    command: &mut Command,
    user: Option<User>,
    name: &str,
) -> Result<(Child, BufReader<ChildStdout>, String)> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0);
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
        // The folder that the owner is in may be closed to that user.
        if command.get_current_dir().is_none() {
            command.current_dir("/");
        }
    }
    let failed = |cause| Error::Process {
        program: name.to_owned(),
        cause,
    };
    let mut child = command.spawn().map_err(failed)?;
    let stdout = child.stdout.take();
    let mut stdout =
        BufReader::new(stdout.ok_or_else(|| failed(std::io::ErrorKind::BrokenPipe.into()))?);
    let mut line = String::new();
    stdout.read_line(&mut line).map_err(failed)?;
    line.truncate(line.trim_end().len());
    Ok((child, stdout, line))
}

fn read_lines(mut from: impl BufRead, mut on_line: impl FnMut(String)) {
    let mut line = Vec::new();
    // A program may write what is not UTF-8, and that must not end its log.
    while matches!(from.read_until(b'\n', &mut line), Ok(n) if n > 0) {
        on_line(
            String::from_utf8_lossy(&line)
                .trim_end_matches(['\n', '\r'])
                .to_owned(),
        );
        line.clear();
    }
}
