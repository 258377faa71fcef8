//! Plain tables.

use console::measure_text_width;

use super::style::{Style, shortened};

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

    /// The lines, without trailing blanks, and no wider than what `style` is for: the widest columns are cut, the last
    /// one first.
    pub fn lines(&self, style: &Style) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..columns)
            .map(|c| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(c))
                    .map(|cell| measure_text_width(cell))
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        if let Some(width) = style.width {
            fit(&mut widths, width);
        }
        self.rows.iter().map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let cell = shortened(cell, widths[column]);
            let padding = " ".repeat(widths[column].saturating_sub(measure_text_width(&cell)));
            let right = self.right.contains(&column);
            if right {
                line.push_str(&padding);
            }
            line.push_str(&cell);
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

/// Takes from the last column what is too much as long as it keeps something to read, then from the widest.
fn fit(widths: &mut [usize], most: usize) {
    const LAST: usize = 16;
    const LEAST: usize = 7;
    let too_much = |widths: &[usize]| {
        let gaps = 2 * widths.len().saturating_sub(1);
        (widths.iter().sum::<usize>() + gaps).saturating_sub(most)
    };
    let excess = too_much(widths);
    if let Some(last) = widths.last_mut() {
        *last -= excess.min(last.saturating_sub(LAST));
    }
    while too_much(widths) > 0 {
        match widths.iter_mut().max().filter(|widest| **widest > LEAST) {
            Some(widest) => *widest -= 1,
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_cut_to_the_width_of_its_terminal() {
        let mut table = Table::with_head(&["#", "TARGET", "WHY"]);
        table.row(vec!["7".into(), "v1.2.0-stable".into(), "x".repeat(200)]);
        let plain = Style::detect(false);
        assert_eq!(measure_text_width(&table.lines(&plain)[1]), 3 + 15 + 200);
        for width in [60, 80, 200] {
            let mut style = plain.clone();
            style.width = Some(width);
            let lines = table.lines(&style);
            assert!(lines.iter().all(|line| measure_text_width(line) <= width), "{lines:#?}");
            assert!(lines[1].contains("v1.2.0-stable") && lines[1].ends_with('…'), "{lines:#?}");
        }
    }

    #[test]
    fn columns_are_aligned_by_what_is_seen() {
        let mut table = Table::with_head(&["#", "WHEN"]).right(0);
        table.row(vec!["43".into(), "today".into()]);
        table.row(vec!["\u{1b}[31m7\u{1b}[0m".into(), "Mon".into()]);
        let lines = table.lines(&Style::detect(false));
        assert_eq!(lines[0], " #  WHEN");
        assert_eq!(lines[1], "43  today");
        assert_eq!(lines[2], " \u{1b}[31m7\u{1b}[0m  Mon");
    }
}
