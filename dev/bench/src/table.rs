//! A table of measurements and their goals.

use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;

/// A Markdown table with a row for each goal.
#[derive(Debug)]
pub(crate) struct Table {
    rows: comfy_table::Table,
    unmet: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut rows = comfy_table::Table::new();
        rows.load_preset(ASCII_MARKDOWN).set_header([
            "measurement",
            "result",
            "ratio",
            "goal",
            "met",
        ]);
        Self { rows, unmet: 0 }
    }

    /// Adds a result and prints it.
    pub(crate) fn add(
        &mut self,
        measurement: impl Into<String>,
        result: impl Into<String>,
        ratio: impl Into<String>,
        goal: impl Into<String>,
        is_met: bool,
    ) {
        let (measurement, result, goal) = (measurement.into(), result.into(), goal.into());
        let met = if is_met { "yes" } else { "NO" };
        println!("{measurement}: {result}; goal {goal}: {met}");
        self.rows
            .add_row([measurement, result, ratio.into(), goal, met.to_owned()]);
        self.unmet += usize::from(!is_met);
    }

    /// The number of goals that are not met.
    pub(crate) fn unmet(&self) -> usize {
        self.unmet
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}", self.rows)
    }
}
