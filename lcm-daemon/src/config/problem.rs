//! What can be wrong with a configuration, said so that it can be put right at once.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Longest value that a problem quotes, in characters; longer ones end in `…`.
const QUOTED_VALUE_MAX: usize = 60;

/// Most problems that are told of one file; whoever has more will run the daemon again anyway.
pub const PROBLEMS_MAX: usize = 100;

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column of the fault, both from 1; `None` if the file could not be read at all.
    pub position: Option<(usize, usize)>,
    /// The key at fault, dotted from the top (`rsvp.refresh_ms`, `interface[eth1].tariff`); empty
    /// if the text is no TOML or could not be read.
    pub key: String,
    /// The value as it stands in the file; `None` where something is missing or not a plain value.
    pub value: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What the operator can do about it.
    pub remedy: String,
    /// The line at fault, and the columns to underline in it (from 0).
    excerpt: Option<(String, Range<usize>)>,
}

/// What is wrong with one configuration file: at least one problem, at most [`PROBLEMS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    file: String,
    problems: Vec<Problem>,
}

impl ConfigErrors {
    /// The problems, in the order of the lines at fault.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The one problem of a file that cannot be read.
    pub(super) fn unreadable(file: &str, what: String, remedy: &str) -> ConfigErrors {
        let problem = Problem {
            position: None,
            key: String::new(),
            value: None,
            what,
            remedy: remedy.to_owned(),
            excerpt: None,
        };
        ConfigErrors { file: file.to_owned(), problems: vec![problem] }
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.write(f, &self.file)?;
        }
        Ok(())
    }
}

impl Problem {
    fn write(&self, f: &mut fmt::Formatter<'_>, file: &str) -> fmt::Result {
        write!(f, "{file}:")?;
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        match (&*self.key, &self.value) {
            ("", _) => write!(f, " {}", self.what)?,
            (key, None) => write!(f, " {key}: {}", self.what)?,
            (key, Some(value)) => write!(f, " {key} = {value}: {}", self.what)?,
        }
        writeln!(f, "; {}", self.remedy)?;
        if let (Some((line, _)), Some((text, marked))) = (self.position, &self.excerpt) {
            let number = line.to_string();
            let margin = " ".repeat(number.len());
            // Tabs are kept in the padding, so that the marks stand under what they mean.
            let padding: String = text
                .chars()
                .take(marked.start)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            writeln!(f, "  {number} | {text}")?;
            writeln!(f, "  {margin} | {padding}{}", "^".repeat(marked.len().max(1)))?;
        }
        Ok(())
    }
}

/// A key of the file with the places of its name and of its value.
#[derive(Debug)]
struct Entry {
    path: String,
    key: Range<usize>,
    value: Range<usize>,
    scalar: bool,
}

/// Collects the problems of one file, and knows which key stands where in it.
#[derive(Debug)]
pub(super) struct Problems<'t> {
    file: &'t str,
    text: &'t str,
    entries: Vec<Entry>,
    found: Vec<(usize, Problem)>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(file: &'t str, text: &'t str) -> Problems<'t> {
        Problems { file, text, entries: Vec::new(), found: Vec::new() }
    }

    /// Learns the keys of the file, so that problems found later can name them.
    pub(super) fn learn_keys(&mut self, root: &DeTable<'_>) {
        self.learn_table("", root);
    }

    fn learn_table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = key.get_ref();
            let path =
                if prefix.is_empty() { name.to_string() } else { format!("{prefix}.{name}") };
            self.learn_value(path, key.span(), value);
        }
    }

    fn learn_value(&mut self, path: String, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) => self.learn_table(&path, table),
            DeValue::Array(items) => {
                for (number, item) in items.iter().enumerate() {
                    let label = item_label(item.get_ref(), number);
                    self.learn_value(format!("{path}[{label}]"), item.span(), item);
                }
            }
            _ => {}
        }
        let scalar = !matches!(value.get_ref(), DeValue::Table(_) | DeValue::Array(_));
        self.entries.push(Entry { path, key, value: value.span(), scalar });
    }

    /// Notes a problem with whatever stands at `span` (byte offsets into the text).
    pub(super) fn at(&mut self, span: Range<usize>, what: String, remedy: String) {
        if self.found.len() >= PROBLEMS_MAX {
            return;
        }
        let (key, value) = self.entry_at(&span).map_or((String::new(), None), |entry| {
            let value = (entry.scalar && entry.key != span)
                .then(|| self.text.get(entry.value.clone()).map(shortened))
                .flatten();
            (entry.path.clone(), value)
        });
        self.push(span, key, value, what, remedy);
    }

    /// Notes that `key` is missing from the table at `table`, unless it is there and was refused.
    pub(super) fn missing(&mut self, table: Range<usize>, key: String, what: &str, remedy: &str) {
        let refused = |problem: &Problem| {
            problem
                .key
                .strip_prefix(&*key)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if !self.found.iter().any(|(_, problem)| refused(problem)) {
            self.push(table, key, None, what.to_owned(), remedy.to_owned());
        }
    }

    /// Notes an error of the TOML reader or of serde.
    pub(super) fn toml(&mut self, error: &toml::de::Error) {
        let (what, remedy) = super::wording::reword(error.message());
        self.at(error.span().unwrap_or(0..0), what, remedy);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// All that was found, sorted by place.
    pub(super) fn into_errors(mut self) -> ConfigErrors {
        self.found.sort_by_key(|(offset, _)| *offset);
        let problems = self.found.into_iter().map(|(_, problem)| problem).collect();
        ConfigErrors { file: self.file.to_owned(), problems }
    }

    /// The innermost key whose name or value holds `span`.
    fn entry_at(&self, span: &Range<usize>) -> Option<&Entry> {
        let holds = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end;
        self.entries
            .iter()
            .filter(|entry| holds(&entry.key) || holds(&entry.value))
            .min_by_key(|entry| if holds(&entry.key) { entry.key.len() } else { entry.value.len() })
    }

    fn push(
        &mut self,
        span: Range<usize>,
        key: String,
        value: Option<String>,
        what: String,
        remedy: String,
    ) {
        let (position, excerpt) = locate(self.text, &span);
        let problem =
            Problem { position: Some(position), key, value, what, remedy, excerpt: Some(excerpt) };
        // Interfaces that inherit one bad value complain about it once.
        if self.found.len() < PROBLEMS_MAX && !self.found.iter().any(|(_, known)| *known == problem)
        {
            self.found.push((span.start, problem));
        }
    }
}

/// How to tell one item of an array: by its name if it has one, else by its number from 1.
fn item_label(item: &DeValue<'_>, number: usize) -> String {
    let name = item
        .as_table()
        .and_then(|table| table.iter().find(|(key, _)| &**key.get_ref() == "name"))
        .and_then(|(_, value)| value.get_ref().as_str());
    name.map_or_else(|| (number + 1).to_string(), shortened)
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().take(QUOTED_VALUE_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// Line and column (from 1) of a byte range, the line's text, and the columns (from 0) that the
/// range covers in it. A range past the end means the end of the last line.
fn locate(text: &str, span: &Range<usize>) -> ((usize, usize), (String, Range<usize>)) {
    let before = text.get(..span.start).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line_number = before.matches('\n').count() + 1;
    let rest = text.get(line_start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let column = before.get(line_start..).unwrap_or_default().chars().count();
    let covered = text.get(span.clone()).unwrap_or_default();
    let width = covered.lines().next().unwrap_or_default().chars().count();
    ((line_number, column + 1), (line.to_owned(), column..column + width))
}
