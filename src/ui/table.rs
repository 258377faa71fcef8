//! Plain tables.

use console::measure_text_width;

/// Rows with aligned columns; the last column is not padded.
#[derive(Debug, Default)]
pub struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table with a head line.
    pub fn with_head(head: &[&str]) -> Self {
        let row = head.iter().map(|cell| (*cell).to_owned()).collect();
        Self { rows: vec![row], right: Vec::new() }
    }

    /// Aligns a column to the right.
    pub fn right(mut self, column: usize) -> Self {
        self.right.push(column);
        self
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The lines, without trailing blanks.
    pub fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|c| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(c))
                    .map(|cell| measure_text_width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        self.rows.iter().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[column].saturating_sub(measure_text_width(cell)));
            let right = self.right.contains(&column);
            if right {
                line.push_str(&padding);
            }
            line.push_str(cell);
            if column + 1 < row.len() {
                if !right {
                    line.push_str(&padding);
                }
                line.push_str("  ");
            }
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut table = Table::with_head(&["#", "WHEN"]).right(0);
        table.row(vec!["43".into(), "today".into()]);
        table.row(vec!["\u{1b}[31m7\u{1b}[0m".into(), "Mon".into()]);
        let lines = table.lines();
        assert_eq!(lines[0], " #  WHEN");
        assert_eq!(lines[1], "43  today");
        assert_eq!(lines[2], " \u{1b}[31m7\u{1b}[0m  Mon");
    }
}
