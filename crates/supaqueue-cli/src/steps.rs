//! Shows the steps of a command, each with a spinner and then a tick, and says at a failure what
//! was done, what was not, and how to go on.

use std::future::Future;
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::tell;
use crate::problem::{Problem, redact};

/// The steps of a command, in order.
pub(crate) struct Steps {
    names: &'static [&'static str],
    next: usize,
    again: String,
}

impl Steps {
    /// `again` is the command line that goes on after a failure.
    pub(crate) fn new(names: &'static [&'static str], again: impl Into<String>) -> Self {
        Self {
            names,
            next: 0,
            again: again.into(),
        }
    }

    /// From now on, the command line that goes on.
    pub(crate) fn go_on_with(&mut self, again: impl Into<String>) {
        self.again = again.into();
    }

    /// Does the next step; it returns its value and what there is to say of it.
    pub(crate) async fn step<T, D: Into<String>>(
        &mut self,
        work: impl Future<Output = Result<(T, D)>>,
    ) -> Result<T> {
        let spinner = spinner(self.name());
        let outcome = work.await;
        spinner.finish_and_clear();
        self.tick(outcome)
    }

    /// Shows the outcome of the next step, which had no spinner because it may have asked a question.
    pub(crate) fn show<T, D: Into<String>>(&mut self, outcome: Result<(T, D)>) -> Result<T> {
        self.tick(outcome)
    }

    fn tick<T, D: Into<String>>(&mut self, outcome: Result<(T, D)>) -> Result<T> {
        let (value, detail) = outcome?;
        tell!("✓ {}: {}", self.name(), redact(&detail.into()));
        self.next += 1;
        Ok(value)
    }

    fn name(&self) -> &'static str {
        self.names.get(self.next).copied().unwrap_or("end")
    }

    /// Says at which step the command stopped.
    pub(crate) fn report(&self, error: &anyhow::Error) {
        tell!("✗ {}: {}", self.name(), redact(&format!("{error:#}")));
        if let Some(remedy) = Problem::remedy(error) {
            tell!("  {remedy}");
        }
        let list = |names: &[&str]| match names {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        tell!("\nDone: {}.", list(&self.names[..self.next]));
        tell!("Not done: {}.", list(&self.names[self.next..]));
        tell!("Go on with: {}", self.again);
    }
}

fn spinner(name: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(name.to_owned());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
        spinner.set_style(style);
    }
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
