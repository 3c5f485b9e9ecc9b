//! What a benchmark says: a table for people, an object for programs, curves to draw.

use std::fmt;

use serde_json::Value;

/// A table, written in Markdown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// What it shows.
    pub title: String,
    /// The first column names a row, the others hold figures.
    pub head: Vec<String>,
    /// As long as the head.
    pub rows: Vec<Vec<String>>,
    /// What is to be said beside it.
    pub notes: Vec<String>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(title: impl Into<String>, head: &[&str]) -> Table {
        let head = head.iter().map(|&name| name.to_owned()).collect();
        Table { title: title.into(), head, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(
        &mut self,
        name: impl Into<String>,
        figures: impl IntoIterator<Item = String>,
    ) {
        self.rows.push(std::iter::once(name.into()).chain(figures).collect());
    }

    /// Adds what is to be said beside it.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(f, "| {} |", self.head.join(" | "))?;
        let rule = std::iter::once("-").chain(self.head.iter().skip(1).map(|_| "-:"));
        writeln!(f, "|{}|", rule.collect::<Vec<_>>().join("|"))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.join(" | "))?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
    }
}

/// A curve: a cost by the number of sessions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Curve {
    /// What it is the cost of.
    pub name: String,
    /// Sessions, and the cost with so many.
    pub points: Vec<(f64, f64)>,
}

/// A plot of some curves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plot {
    /// File name, without ending.
    pub file: &'static str,
    /// What it shows.
    pub title: String,
    /// What is measured, with its unit.
    pub unit: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// What one benchmark came to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outcome {
    /// The benchmark's name.
    pub name: &'static str,
    /// For people.
    pub tables: Vec<Table>,
    /// For programs: an object.
    pub json: Value,
    /// To be drawn.
    pub plots: Vec<Plot>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tables.iter().try_for_each(|table| writeln!(f, "{table}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new("Costs", &["what", "µs"]);
        table.row("set-up", ["7".to_owned()]);
        table.note("one round");
        assert_eq!(
            table.to_string(),
            "### Costs\n\n| what | µs |\n|-|-:|\n| set-up | 7 |\n\n- one round\n"
        );
    }
}
