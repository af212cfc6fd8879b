//! Shows pipelines with their states: a line each, which a terminal keeps current.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::progress::say;
use super::jobs::{Document, Stage};

/// Lines of a log are not for every change.
const BETWEEN_LINES: Duration = Duration::from_secs(1);

/// Where the graphs are shown.
pub(super) enum Display {
    Terminal(Vec<ProgressBar>),
    Lines {
        names: Vec<String>,
        shown: Vec<String>,
        last: Option<Instant>,
    },
}

impl Display {
    pub(super) fn new(documents: &[Document]) -> Self {
        let names: Vec<_> = documents
            .iter()
            .map(|document| document.name.clone())
            .collect();
        if !std::io::stdout().is_terminal() {
            return Self::Lines {
                shown: vec![String::new(); names.len()],
                names,
                last: None,
            };
        }
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let style = ProgressStyle::with_template("{spinner} {prefix}  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let lines = names
            .into_iter()
            .map(|name| {
                let line = screen.add(
                    ProgressBar::new_spinner()
                        .with_style(style.clone())
                        .with_prefix(name),
                );
                line.enable_steady_tick(Duration::from_millis(100));
                line
            })
            .collect();
        Self::Terminal(lines)
    }

    pub(super) fn show(&mut self, graphs: &[Vec<Stage>], is_over: bool) {
        match self {
            Self::Terminal(lines) => {
                for (line, stages) in lines.iter().zip(graphs) {
                    line.set_message(describe(stages));
                }
            }
            Self::Lines { names, shown, last } => {
                if !is_over && last.is_some_and(|last| last.elapsed() < BETWEEN_LINES) {
                    return;
                }
                for ((name, shown), stages) in names.iter().zip(shown).zip(graphs) {
                    let text = describe(stages);
                    if *shown != text {
                        say(&format!("{name}  {text}"));
                        *shown = text;
                        *last = Some(Instant::now());
                    }
                }
            }
        }
    }
}

impl Drop for Display {
    /// Leaves the last states on the screen, and the line below to what is written next.
    fn drop(&mut self) {
        if let Self::Terminal(lines) = self {
            for line in lines {
                line.finish();
            }
            say("");
        }
    }
}

/// `split-text: successful → measure-text × 12: 7 successful, 5 pending → …`
fn describe(stages: &[Stage]) -> String {
    let stages: Vec<_> = stages
        .iter()
        .map(
            |Stage {
                 queue,
                 jobs,
                 states,
                 retries,
             }| {
                let states: Vec<_> = states
                    .iter()
                    .map(|(status, count)| {
                        if *jobs == 1 {
                            status.clone()
                        } else {
                            format!("{count} {status}")
                        }
                    })
                    .collect();
                let jobs = if *jobs == 1 {
                    String::new()
                } else {
                    format!(" × {jobs}")
                };
                let retries = match retries {
                    0 => String::new(),
                    1 => " (1 retry)".to_owned(),
                    _ => format!(" ({retries} retries)"),
                };
                format!("{queue}{jobs}: {}{retries}", states.join(", "))
            },
        )
        .collect();
    stages.join(" → ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(queue: &str, states: &[(&str, i64)], retries: i64) -> Stage {
        Stage {
            queue: queue.to_owned(),
            jobs: states.iter().map(|(_, count)| count).sum(),
            states: states
                .iter()
                .map(|(status, count)| ((*status).to_owned(), *count))
                .collect(),
            retries,
        }
    }

    #[test]
    fn a_graph_is_a_line() {
        let stages = [
            stage("split-text", &[("successful", 1)], 0),
            stage("measure-text", &[("successful", 7), ("in_progress", 5)], 3),
            stage("combine-measures", &[("waiting", 1)], 1),
        ];
        assert_eq!(
            describe(&stages),
            "split-text: successful → measure-text × 12: 7 successful, 5 in_progress (3 retries) → \
             combine-measures: waiting (1 retry)"
        );
    }
}
