//! A table that fits a terminal: columns that tell nothing are left out, and the least important ones where
//! there is no room.

use console::{Alignment, Style, measure_text_width, pad_str, truncate_str};

/// What a queue's name is shortened to at most.
const SHORTEST_NAME: usize = 8;

pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) cells: Vec<String>,
    /// Where the column is a number.
    pub(super) is_number: bool,
    /// Columns with a higher number go first where there is no room; those with 0 stay.
    pub(super) dispensable: u8,
    /// What the column is about, above its title.
    pub(super) group: &'static str,
}

impl Column {
    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|cell| measure_text_width(cell));
        cells.max().unwrap_or(0).max(self.title.len())
    }

    /// Whether every cell says the same: nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.cells
            .iter()
            .all(|cell| matches!(cell.as_str(), "" | "0" | "-"))
    }
}

const GAP: usize = 2;

/// The lines of a table: headers, and a line per row. The first column gives way where the others have gone.
pub(super) fn lines(mut columns: Vec<Column>, width: Option<usize>) -> Vec<String> {
    let total = |columns: &[Column]| -> usize {
        let widths: usize = columns.iter().map(Column::width).sum();
        widths + GAP * columns.len().saturating_sub(1)
    };
    if let Some(width) = width {
        while total(&columns) > width {
            let last = (0..columns.len()).max_by_key(|at| columns[*at].dispensable);
            match last.filter(|at| columns[*at].dispensable > 0) {
                Some(at) => drop(columns.remove(at)),
                None => break,
            }
        }
        let excess = total(&columns).saturating_sub(width);
        if let Some(first) = columns.first_mut().filter(|_| excess > 0) {
            let room = first.width().saturating_sub(excess).max(SHORTEST_NAME);
            for cell in &mut first.cells {
                *cell = truncate_str(cell, room, "…").into_owned();
            }
        }
    }
    let dim = Style::new().dim();
    let line = |cell: &dyn Fn(&Column) -> String| -> String {
        let cells = columns.iter().map(|column| {
            let alignment = match column.is_number {
                true => Alignment::Right,
                false => Alignment::Left,
            };
            pad_str(&cell(column), column.width(), alignment, None).into_owned()
        });
        let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
        let line = line.trim_end();
        width.map_or(line.to_owned(), |width| {
            truncate_str(line, width, "").into_owned()
        })
    };
    let mut lines = Vec::new();
    if let Some(at) = columns.iter().position(|column| !column.group.is_empty()) {
        let before: usize = columns[..at]
            .iter()
            .map(|column| column.width() + GAP)
            .sum();
        let text = format!("{:before$}{}", "", columns[at].group);
        let text = width.map_or(text.clone(), |width| {
            truncate_str(&text, width, "").into_owned()
        });
        lines.push(dim.apply_to(text).to_string());
    }
    lines.push(
        dim.apply_to(line(&|column| column.title.to_owned()))
            .to_string(),
    );
    let rows = columns.first().map_or(0, |column| column.cells.len());
    lines.extend((0..rows).map(|row| line(&|column| column.cells[row].clone())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(title: &'static str, cells: [&str; 2], is_number: bool, dispensable: u8) -> Column {
        Column {
            title,
            cells: cells.map(str::to_owned).into(),
            is_number,
            dispensable,
            group: "",
        }
    }

    #[test]
    fn what_has_no_room_is_left_out_and_names_are_shortened_last() {
        let check = |width, want: &str| {
            let columns = vec![
                column("QUEUE", ["a-long-name-of-a-queue", "日本"], false, 0),
                column("FUNCTION", ["hello", "x"], false, 2),
                column("DUE", ["1", "12345"], true, 0),
                column("OK", ["5", "6"], true, 1),
            ];
            assert_eq!(lines(columns, width).join("\n"), want);
        };
        check(
            None,
            "QUEUE                   FUNCTION    DUE  OK\n\
             a-long-name-of-a-queue  hello         1   5\n\
             日本                    x         12345   6",
        );
        check(
            Some(36),
            "QUEUE                     DUE  OK\n\
             a-long-name-of-a-queue      1   5\n\
             日本                    12345   6",
        );
        check(
            Some(18),
            "QUEUE          DUE\n\
             a-long-nam…      1\n\
             日本         12345",
        );
        for line in lines(
            vec![column("QUEUE", ["abcdefghijk", "x"], false, 0)],
            Some(5),
        ) {
            assert!(measure_text_width(&line) <= 5, "{line}");
        }
    }
}
