//! Shows the progress of a command step by step, and on failure what is done, what is not, and how
//! to resume.

use std::future::Future;

use anyhow::Result;

use crate::command_line::CommandLine;
use crate::output::{errln, spinner};
use crate::redact::redact;
use crate::user_error;

/// The steps of a command, in order.
pub(crate) struct Steps {
    names: &'static [&'static str],
    done: usize,
    resume: CommandLine,
}

impl Steps {
    /// `resume` is the command line to run after a failure.
    pub(crate) fn new(names: &'static [&'static str], resume: CommandLine) -> Self {
        Self {
            names,
            done: 0,
            resume,
        }
    }

    /// Replaces the command line to run after a failure.
    pub(crate) fn resume_with(&mut self, command: CommandLine) {
        self.resume = command;
    }

    /// Runs the next step, which returns a description of its outcome.
    pub(crate) async fn step<D: Into<String>>(
        &mut self,
        work: impl Future<Output = Result<D>>,
    ) -> Result<()> {
        self.step_value(async { Ok(((), work.await?)) }).await
    }

    /// Runs the next step, which returns a value and a description of its outcome.
    pub(crate) async fn step_value<T, D: Into<String>>(
        &mut self,
        work: impl Future<Output = Result<(T, D)>>,
    ) -> Result<T> {
        let spinner = spinner(self.name());
        let outcome = work.await;
        spinner.finish_and_clear();
        let (value, detail) = outcome?;
        self.finish(detail);
        Ok(value)
    }

    /// Marks the next step as done. For a step that may prompt, which a spinner would garble.
    pub(crate) fn finish(&mut self, detail: impl Into<String>) {
        errln!("✓ {}: {}", self.name(), redact(&detail.into()));
        self.done += 1;
    }

    fn name(&self) -> &'static str {
        self.names.get(self.done).copied().unwrap_or("end")
    }

    /// Reports that the command failed at the next step.
    pub(crate) fn report(&self, error: &anyhow::Error) {
        user_error::print(&format!("✗ {}", self.name()), error);
        let list = |names: &[&str]| match names {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        let (done, remaining) = self.names.split_at(self.done);
        errln!("\nDone: {}.", list(done));
        errln!("Not done: {}.", list(remaining));
        errln!("Resume with: {}", self.resume);
        if let Some(precondition) = self.resume.precondition() {
            errln!("  {precondition}");
        }
    }
}
