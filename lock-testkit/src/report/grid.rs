//! [`Grid`]: labelled lines of characters.

/// Stands for a place that is empty and not free.
pub(super) const TAKEN: char = '\0';

/// Lines of characters, each with a label to its left.
#[derive(Debug, Default)]
pub(super) struct Grid {
    rows: Vec<(String, Vec<char>)>,
    width: usize,
}

impl Grid {
    pub(super) fn new(width: usize) -> Self {
        Self {
            rows: Vec::new(),
            width,
        }
    }

    /// Adds a line, and says which it is.
    pub(super) fn row(&mut self, label: impl Into<String>) -> usize {
        self.rows.push((label.into(), vec![' '; self.width]));
        self.rows.len().saturating_sub(1)
    }

    pub(super) fn put(&mut self, row: usize, column: usize, what: char) {
        let place = self
            .rows
            .get_mut(row)
            .and_then(|(_, row)| row.get_mut(column));
        if let Some(place) = place {
            *place = what;
        }
    }

    /// Puts one character into all columns from one to another.
    pub(super) fn fill(&mut self, row: usize, (from, until): (usize, usize), what: char) {
        for column in from..=until {
            self.put(row, column, what);
        }
    }

    pub(super) fn text(&mut self, row: usize, from: usize, text: &str) {
        for (column, what) in (from..).zip(text.chars()) {
            self.put(row, column, what);
        }
    }

    /// Whether nothing stands in these columns.
    pub(super) fn is_free(&self, row: usize, (from, until): (usize, usize)) -> bool {
        let row = self
            .rows
            .get(row)
            .and_then(|(_, row)| row.get(from..=until));
        row.is_some_and(|row| row.iter().all(|what| *what == ' '))
    }

    /// All lines, with so much room for the labels.
    pub(super) fn lines(&self, gutter: usize) -> Vec<String> {
        let line = |(label, row): &(String, Vec<char>)| {
            let shown = row
                .iter()
                .map(|what| if *what == TAKEN { ' ' } else { *what });
            let row: String = shown.collect();
            format!("{label:gutter$}{row}").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}
