//! What is printed: a Markdown table, a row for each goal.

use std::fmt;

/// One line: what was measured, what came out, what was wanted.
#[derive(Debug)]
struct Row {
    what: String,
    measured: String,
    ratio: String,
    goal: String,
    is_met: bool,
}

/// All results.
#[derive(Debug, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    /// Adds a result, and shows it at once.
    pub(crate) fn add(
        &mut self,
        what: impl Into<String>,
        measured: impl Into<String>,
        ratio: impl Into<String>,
        goal: impl Into<String>,
        is_met: bool,
    ) {
        let row = Row {
            what: what.into(),
            measured: measured.into(),
            ratio: ratio.into(),
            goal: goal.into(),
            is_met,
        };
        println!("{row}");
        self.0.push(row);
    }

    /// How many goals are not met.
    pub(crate) fn unmet(&self) -> usize {
        self.0.iter().filter(|row| !row.is_met).count()
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let met = if self.is_met { "yes" } else { "NO" };
        write!(
            formatter,
            "| {} | {} | {} | {} | {met} |",
            self.what, self.measured, self.ratio, self.goal
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "| what | measured | ratio | goal | met |")?;
        writeln!(formatter, "|---|---|---|---|---|")?;
        for row in &self.0 {
            writeln!(formatter, "{row}")?;
        }
        Ok(())
    }
}

/// The middle one of some numbers; 0 of none.
pub(crate) fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or(0.0)
}

/// The median of some runs, and how far they were apart.
#[derive(Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    /// Of at least one number.
    pub(crate) fn of(mut numbers: Vec<f64>) -> Self {
        Self {
            median: median(&mut numbers),
            // `median` has sorted them.
            least: numbers.first().copied().unwrap_or(0.0),
            most: numbers.last().copied().unwrap_or(0.0),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = formatter.precision().unwrap_or(2);
        write!(
            formatter,
            "{:.digits$} ({:.digits$} to {:.digits$})",
            self.median, self.least, self.most
        )
    }
}

/// A number of jobs, as people write it: 1,000,000.
pub(crate) fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
