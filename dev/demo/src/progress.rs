//! Shows how far the queue is: a bar in a terminal, plain lines elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::queue::Progress;

/// Lines of a log are not for every change.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Where progress is shown.
pub(super) enum Display {
    Bar(ProgressBar),
    Lines { last: Option<(Instant, Progress)> },
}

/// Writes a line to standard output. Whoever closed it no longer wants to know.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Shows that something is being waited for, until the value is dropped.
pub(super) struct Waiting(Option<ProgressBar>);

impl Waiting {
    pub(super) fn for_(what: &str) -> Self {
        if !std::io::stdout().is_terminal() {
            say(&format!("{what} …"));
            return Self(None);
        }
        let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        spinner.set_style(style("{spinner} {msg} … {elapsed}"));
        spinner.set_message(what.to_owned());
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self(Some(spinner))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
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
                let is_news = last.is_none_or(|(at, shown)| {
                    shown != progress && (progress.is_over() || at.elapsed() >= BETWEEN_LINES)
                });
                if is_news {
                    let all = progress.finished() + progress.in_progress + progress.pending;
                    say(&format!(
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
    /// Leaves the screen to what is written next.
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are above and right; the default is for the compiler.
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
    let failed = if failed > 0 {
        format!(", {failed} failed")
    } else {
        String::new()
    };
    format!("{in_progress} in progress, {pending} pending{failed}, {retries} retries")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_mentioned_only_then() {
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
