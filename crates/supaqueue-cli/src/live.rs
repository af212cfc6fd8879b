//! Shows something again and again: in place at a terminal, else as one block after another.

use std::future::Future;
use std::io::{Write, stdout};
use std::time::Duration;

use anyhow::{Result, anyhow};
use console::Term;

use crate::project::{Project, ProjectOptions};
use crate::text::{printable, width};

/// How long a database may be silent before the connection is given up.
const SILENCE: Duration = Duration::from_secs(20);

/// Enters the alternate screen, without a cursor and without wrapping, and leaves it.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Standard output. A terminal gets its contents back when this is dropped.
pub(crate) struct Screen {
    term: Term,
    is_terminal: bool,
    has_shown: bool,
}

impl Screen {
    pub(crate) fn open() -> Self {
        let term = Term::stdout();
        let is_terminal = term.is_term();
        if is_terminal {
            let _ = write_now(ENTER);
        }
        Self {
            term,
            is_terminal,
            has_shown: false,
        }
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(crate) fn width(&self) -> Option<usize> {
        width(&self.term)
    }

    /// How many lines fit.
    pub(crate) fn height(&self) -> Option<usize> {
        self.term.size_checked().map(|(rows, _)| usize::from(rows))
    }

    /// Shows a text instead of, or after, the one before. Fails if nobody reads it any more.
    pub(crate) fn show(&mut self, text: &str) -> std::io::Result<()> {
        if !self.is_terminal {
            let gap = if self.has_shown { "\n" } else { "" };
            self.has_shown = true;
            return write_now(&format!("{gap}{text}\n"));
        }
        // In one piece, and without clearing first, so that nothing flickers.
        let height = self.height().unwrap_or(usize::MAX);
        let lines: Vec<_> = text.lines().take(height).collect();
        write_now(&format!("\x1b[H{}\x1b[K\x1b[J", lines.join("\x1b[K\r\n")))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            let _ = write_now(LEAVE);
        }
    }
}

/// Writes to standard output at once.
pub(crate) fn write_now(text: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A project that is asked again and again, over a new connection after an error.
pub(crate) struct Source {
    options: ProjectOptions,
    project: Option<Project>,
}

impl Source {
    pub(crate) fn new(project: Project) -> Self {
        Self {
            options: project.options.clone(),
            project: Some(project),
        }
    }

    /// Asks, and connects first where the last time failed.
    pub(crate) async fn ask<T>(
        &mut self,
        ask: impl AsyncFnOnce(&Project) -> Result<T>,
    ) -> Result<T> {
        let asked = tokio::time::timeout(SILENCE, async {
            let project = match self.project.take() {
                Some(project) => project,
                None => self.options.pick_again().await?,
            };
            let answer = ask(&project).await?;
            self.project = Some(project);
            Ok(answer)
        });
        let silent = || anyhow!("the database has not answered for {} s", SILENCE.as_secs());
        asked.await.unwrap_or_else(|_| Err(silent()))
    }
}

/// Runs `work`, and calls `waiting` with the seconds that have passed, every few seconds until it is done.
pub(crate) async fn patiently<T>(work: impl Future<Output = T>, mut waiting: impl FnMut(u64)) -> T {
    const STEP: u64 = 4;
    let mut work = std::pin::pin!(work);
    let mut passed = 0;
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(Duration::from_secs(STEP)) => {
                passed += STEP;
                waiting(passed);
            }
        }
    }
}

/// An error on one line.
pub(crate) fn brief(error: &anyhow::Error) -> String {
    printable(&crate::redact::redact(&format!("{error:#}")))
}
