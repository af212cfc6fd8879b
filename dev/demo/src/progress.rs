//! Shows the progress of a queue: as a bar on a terminal, as lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::queue::Progress;

/// The minimum time between two lines, so that not every change is printed.
pub(super) const LINE_INTERVAL: Duration = Duration::from_secs(1);

/// The time between two queries of the state.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// After this time without a change, the demo gives up.
const STALLED: Duration = Duration::from_secs(60);

/// Prints a line. Errors are ignored: if stdout is closed, nobody reads it.
pub(super) fn print(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Reads and shows a state until `show` returns that it is final.
pub(super) async fn watch<T: PartialEq>(
    read: impl AsyncFn() -> Result<T>,
    mut show: impl FnMut(&T) -> bool,
) -> Result<()> {
    let mut last = (Instant::now(), None);
    loop {
        let state = read().await?;
        if show(&state) {
            return Ok(());
        }
        let (changed, last_state) = &last;
        if last_state.as_ref() != Some(&state) {
            last = (Instant::now(), Some(state));
        } else if changed.elapsed() > STALLED {
            bail!("no progress for {} s", STALLED.as_secs());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// An indication that something takes a while, until it is dropped.
pub(super) struct Spinner(Option<ProgressBar>);

impl Spinner {
    pub(super) fn new(message: &str) -> Self {
        if !std::io::stdout().is_terminal() {
            print(&format!("{message} …"));
            return Self(None);
        }
        let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        spinner.set_style(style("{spinner} {msg} … {elapsed}"));
        spinner.set_message(message.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self(Some(spinner))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
}

/// Where the progress is shown.
pub(super) enum Display {
    Bar(ProgressBar),
    Lines { last: Option<(Instant, Progress)> },
}

impl Display {
    pub(super) fn new(jobs: u64) -> Self {
        if !std::io::stdout().is_terminal() {
            return Self::Lines { last: None };
        }
        let bar = ProgressBar::with_draw_target(Some(jobs), ProgressDrawTarget::stdout());
        bar.set_style(
            style("{bar:20.green/dim} {pos}/{len} sections  {msg}").progress_chars("━━─"),
        );
        Self::Bar(bar)
    }

    pub(super) fn show(&mut self, progress: Progress) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(progress.finished().unsigned_abs());
                bar.set_message(describe(progress));
            }
            Self::Lines { last } => {
                let is_due = last.is_none_or(|(at, shown)| {
                    shown != progress && (progress.is_over() || at.elapsed() >= LINE_INTERVAL)
                });
                if is_due {
                    let all = progress.finished() + progress.in_progress + progress.pending;
                    print(&format!(
                        "{}/{all} sections  {}",
                        progress.finished(),
                        describe(progress)
                    ));
                    *last = Some((Instant::now(), progress));
                }
            }
        }
    }
}

impl Drop for Display {
    /// Removes the bar from the screen.
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

pub(super) fn style(template: &str) -> ProgressStyle {
    // All templates are constants; an invalid one only looks different.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn describe(progress: Progress) -> String {
    let Progress {
        pending,
        in_progress,
        failed,
        retries,
        ..
    } = progress;
    let failed = match failed {
        0 => String::new(),
        _ => format!(", {failed} failed"),
    };
    format!("{in_progress} in progress, {pending} pending{failed}, {retries} retries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_jobs_are_only_shown_if_there_are_any() {
        let progress = Progress {
            pending: 7,
            in_progress: 5,
            successful: 8,
            failed: 0,
            retries: 6,
        };
        assert_eq!(describe(progress), "5 in progress, 7 pending, 6 retries");
        assert_eq!(
            describe(Progress {
                failed: 1,
                ..progress
            }),
            "5 in progress, 7 pending, 1 failed, 6 retries"
        );
    }
}
