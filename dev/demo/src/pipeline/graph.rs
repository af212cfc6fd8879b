//! Shows the state of each pipeline on a line, which is updated in place on a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget};

use super::super::progress::{LINE_INTERVAL, print, style};
use super::jobs::{Pipeline, Stage};

/// Where the pipelines are shown.
pub(super) enum Display {
    Terminal(Vec<ProgressBar>),
    Lines {
        names: Vec<String>,
        shown: Vec<String>,
        last: Option<Instant>,
    },
}

impl Display {
    pub(super) fn new(pipelines: &[Pipeline]) -> Self {
        let names: Vec<_> = pipelines
            .iter()
            .map(|pipeline| pipeline.name.clone())
            .collect();
        if !std::io::stdout().is_terminal() {
            return Self::Lines {
                shown: vec![String::new(); names.len()],
                names,
                last: None,
            };
        }
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let lines = names
            .into_iter()
            .map(|name| {
                let line = screen.add(
                    ProgressBar::new_spinner()
                        .with_style(style("{spinner} {prefix}  {msg}"))
                        .with_prefix(name),
                );
                line.enable_steady_tick(Duration::from_millis(100));
                line
            })
            .collect();
        Self::Terminal(lines)
    }

    pub(super) fn show(&mut self, pipelines: &[Vec<Stage>], is_over: bool) {
        match self {
            Self::Terminal(lines) => {
                for (line, stages) in lines.iter().zip(pipelines) {
                    line.set_message(describe(stages));
                }
            }
            Self::Lines { names, shown, last } => {
                if !is_over && last.is_some_and(|last| last.elapsed() < LINE_INTERVAL) {
                    return;
                }
                for ((name, shown), stages) in names.iter().zip(shown).zip(pipelines) {
                    let text = describe(stages);
                    if *shown != text {
                        print(&format!("{name}  {text}"));
                        *shown = text;
                        *last = Some(Instant::now());
                    }
                }
            }
        }
    }
}

impl Drop for Display {
    /// Keeps the last state on the screen, followed by an empty line.
    fn drop(&mut self) {
        if let Self::Terminal(lines) = self {
            for line in lines {
                line.finish();
            }
            print("");
        }
    }
}

/// Describes a pipeline as in `split-text: successful → measure-text × 12: 7 successful, 5 pending → …`.
fn describe(stages: &[Stage]) -> String {
    let stages: Vec<_> = stages.iter().map(describe_stage).collect();
    stages.join(" → ")
}

fn describe_stage(stage: &Stage) -> String {
    let Stage {
        queue,
        jobs,
        states,
        retries,
    } = stage;
    let retries = match retries {
        0 => String::new(),
        1 => " (1 retry)".to_owned(),
        _ => format!(" ({retries} retries)"),
    };
    if let [(status, 1)] = &states[..] {
        return format!("{queue}: {status}{retries}");
    }
    let states: Vec<_> = states
        .iter()
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    format!("{queue} × {jobs}: {}{retries}", states.join(", "))
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
    fn a_pipeline_is_shown_on_one_line() {
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
