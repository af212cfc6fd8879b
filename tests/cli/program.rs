//! Runs the program on a test's database.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use supaqueue_tests::Db;

/// The program, with `--db-url` after these words, in an empty folder, and with nothing of this machine's environment.
pub(crate) fn command(db: &Db, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supaqueue"));
    command
        .env_clear()
        .env("TERM", "xterm")
        .current_dir(env!("CARGO_TARGET_TMPDIR"))
        .args(words)
        .args(["--db-url", db.database().url()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Run {
    /// Panics unless it ended like this and said these words, in this order.
    #[track_caller]
    pub(crate) fn assert(&self, status: i32, words: &[&str]) -> &Self {
        assert_eq!(self.status, Some(status), "{self:#?}");
        let text = format!("{}\n{}", self.out, self.err);
        let mut rest = text.as_str();
        for word in words {
            let Some((_, after)) = rest.split_once(word) else {
                panic!("it does not say {word:?} where it should:\n{text}");
            };
            rest = after;
        }
        self
    }
}

/// Runs the program to its end.
pub(crate) async fn supaqueue(db: &Db, words: &[&str]) -> Run {
    ended(command(db, words)).await
}

/// Runs a command to its end.
pub(crate) async fn ended(mut command: Command) -> Run {
    tokio::task::spawn_blocking(move || command.output().unwrap().into())
        .await
        .unwrap()
}

/// A program whose output is read while it runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    keyboard: Option<File>,
    seen: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a program whose output goes to pipes.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let seen = Arc::default();
        let readers = vec![
            read(child.stdout.take().unwrap(), &seen),
            read(child.stderr.take().unwrap(), &seen),
        ];
        Self {
            child,
            keyboard: None,
            seen,
            readers,
        }
    }

    /// Starts a program at a terminal of so many columns.
    pub(crate) fn at_a_terminal(mut command: Command, columns: u16) -> Self {
        let size = Winsize {
            ws_row: 30,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let terminal = openpty(&size, None).unwrap();
        let side = || terminal.slave.try_clone().unwrap();
        command.stdin(side()).stdout(side()).stderr(side());
        let child = command.spawn().unwrap();
        drop(command);
        drop(terminal.slave);
        let keyboard = File::from(terminal.master);
        let seen = Arc::default();
        let readers = vec![read(keyboard.try_clone().unwrap(), &seen)];
        Self {
            child,
            keyboard: Some(keyboard),
            seen,
            readers,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard
            .as_mut()
            .unwrap()
            .write_all(keys.as_bytes())
            .unwrap();
    }

    pub(crate) fn is_sent(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits until it has written these words, after what was before, and returns all until then.
    pub(crate) async fn says(&self, words: &str, after: usize) -> usize {
        self.eventually(
            |text| {
                text.get(after..)?
                    .find(words)
                    .map(|at| after + at + words.len())
            },
            words,
        )
        .await
    }

    /// Waits until its output is as wanted.
    pub(crate) async fn eventually<T>(
        &self,
        mut look: impl FnMut(&str) -> Option<T>,
        what: &str,
    ) -> T {
        let begin = Instant::now();
        loop {
            let text = self.text();
            if let Some(found) = look(&text) {
                return found;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(30),
                "no {what:?}:\n{text}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for its end. Returns its status, and all that it has written.
    pub(crate) async fn ends(mut self) -> (Option<i32>, String) {
        tokio::task::spawn_blocking(move || {
            let status = self.child.wait().unwrap();
            for reader in self.readers.drain(..) {
                reader.join().unwrap();
            }
            (status.code(), self.text())
        })
        .await
        .unwrap()
    }
}

/// A failed test leaves no program running.
impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Reading fails, or ends, once the program has exited.
fn read(mut from: impl Read + Send + 'static, seen: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let seen = seen.clone();
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            seen.lock().unwrap().push_str(&text);
        }
    })
}

/// Ends the program's connections to the database.
pub(crate) async fn cut_connections(db: &Db) {
    db.run(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'supaqueue'",
    )
    .await;
}

/// A name that would clear the screen, ring the bell, and reorder the rest of its line.
pub(crate) const HOSTILE: &str = "\u{1b}[2J\u{7}\u{202e}evil\u{9b}31m";

/// Panics if a text commands a terminal: only colors may.
#[track_caller]
pub(crate) fn assert_harmless(text: &str) {
    let plain = console::strip_ansi_codes(text);
    let is_harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\r') || c == '\u{202e}';
    assert!(!plain.chars().any(is_harmful), "{text:?}");
    assert!(
        !text.contains("\u{1b}[2J\u{7}") && !text.contains("31mx"),
        "{text:?}"
    );
}
