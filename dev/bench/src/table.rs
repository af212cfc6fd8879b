//! A table of measurements and their goals.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::presets::ASCII_MARKDOWN;

/// A Markdown table with a row for each goal.
#[derive(Debug)]
pub(crate) struct Table {
    rows: comfy_table::Table,
    /// The compared numbers of an earlier run, by measurement.
    before: BTreeMap<String, String>,
    numbers: BTreeMap<String, String>,
    unmet: usize,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self::compared_with(BTreeMap::new())
    }

    /// A table that also shows the numbers of an earlier run, if there are any.
    pub(crate) fn compared_with(before: BTreeMap<String, String>) -> Self {
        let mut rows = comfy_table::Table::new();
        let mut header = vec!["measurement", "result", "ratio", "goal", "met"];
        if !before.is_empty() {
            header.push("before");
        }
        rows.load_preset(ASCII_MARKDOWN).set_header(header);
        Self {
            rows,
            before,
            numbers: BTreeMap::new(),
            unmet: 0,
        }
    }

    /// The compared number of each measurement.
    pub(crate) fn numbers(&self) -> &BTreeMap<String, String> {
        &self.numbers
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
        let ratio = ratio.into();
        let met = if is_met { "yes" } else { "NO" };
        println!("{measurement}: {result}; goal {goal}: {met}");
        self.numbers.insert(measurement.clone(), ratio.clone());
        let before = self.before.get(&measurement).cloned();
        let mut row = vec![measurement, result, ratio, goal, met.to_owned()];
        row.extend(before);
        self.rows.add_row(row);
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
