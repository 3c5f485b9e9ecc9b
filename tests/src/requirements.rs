//! Which test shows which row of `docs/requirements.md`: a test names the rows that it shows by
//! `r` and three digits, as in `r053_receiver_payment`.
//!
//! ```text
//!  cargo test --no-run ──▶ test binaries ── --list ──▶ names ──┐
//!  docs/requirements.md ──▶ rows ───────────────────────────────┴─▶ row by row, and how many
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// Rows of the table.
pub const ROWS: u16 = 120;

/// What cannot be found out, and why.
pub type Trouble = String;

/// A row of the table of requirements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// 1 to [`ROWS`].
    pub id: u16,
    /// What is required, in a few words.
    pub text: String,
    /// What was broken to see a test of this row fail, and which assertion caught it; empty where
    /// nobody has done that.
    pub broken: String,
}

/// Reads the table: lines that begin with `|` and a number.
///
/// # Errors
/// If a row is missing, comes twice, or is no row.
pub fn rows(document: &str) -> Result<Vec<Row>, Trouble> {
    let mut rows: BTreeMap<u16, Row> = BTreeMap::new();
    for line in document.lines() {
        let Some(cells) = line.strip_prefix('|').and_then(|l| l.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<&str> = cells.split('|').map(str::trim).collect();
        let Some(id) = cells.first().and_then(|cell| cell.parse::<u16>().ok()) else { continue };
        let [_, _, text, broken] = cells.as_slice() else {
            return Err(format!("row {id} has {} cells, not 4: {line}", cells.len()));
        };
        let row = Row { id, text: (*text).to_owned(), broken: (*broken).to_owned() };
        if rows.insert(id, row).is_some() {
            return Err(format!("row {id} comes twice"));
        }
    }
    let missing: Vec<u16> = (1..=ROWS).filter(|id| !rows.contains_key(id)).collect();
    if missing.is_empty() { Ok(rows.into_values().collect()) } else { Err(lacks(&missing)) }
}

fn lacks(missing: &[u16]) -> Trouble {
    format!("docs/requirements.md lacks the rows {missing:?}")
}

/// The rows that a test says it shows: `r053_r054_…` anywhere in its path.
pub fn rows_of(test: &str) -> BTreeSet<u16> {
    let words = test.split(|c: char| !c.is_ascii_alphanumeric());
    let number = |word: &str| {
        let digits = word.strip_prefix('r').filter(|digits| digits.len() == 3)?;
        digits.parse().ok().filter(|id| (1..=ROWS).contains(id))
    };
    words.filter_map(number).collect()
}

/// All tests of the workspace as their binaries list them, as `binary::test`.
///
/// # Errors
/// If the tests do not build, or a binary does not list its own.
pub fn tests(workspace: &Path) -> Result<Vec<String>, Trouble> {
    let mut names = Vec::new();
    for (name, executable) in binaries(workspace)? {
        let listed = Command::new(&executable)
            .args(["--list", "--format", "terse"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run {executable}: {error}"))?;
        let text = String::from_utf8_lossy(&listed.stdout);
        if !listed.status.success() {
            return Err(format!("{executable} --list ended with {}", listed.status));
        }
        let tests = text.lines().filter_map(|line| line.strip_suffix(": test"));
        names.extend(tests.map(|test| format!("{name}::{test}")));
    }
    names.sort();
    Ok(names)
}

/// The test binaries by name.
fn binaries(workspace: &Path) -> Result<Vec<(String, String)>, Trouble> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["test", "--workspace", "--locked", "--no-run", "--message-format=json"])
        .current_dir(workspace)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !built.status.success() {
        return Err("the tests do not build: see above".to_owned());
    }
    let messages = String::from_utf8_lossy(&built.stdout);
    let parsed = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let binary = |message: Value| {
        let is_test = message.pointer("/profile/test")?.as_bool()?;
        let name = message.pointer("/target/name")?.as_str()?.to_owned();
        let executable = message.get("executable")?.as_str()?.to_owned();
        is_test.then_some((name, executable))
    };
    Ok(parsed.filter_map(binary).collect())
}

/// What is shown of each row, and last how many rows are.
pub fn report(rows: &[Row], tests: &[String]) -> String {
    let mut shown_by: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for test in tests {
        for id in rows_of(test) {
            shown_by.entry(id).or_default().push(test);
        }
    }
    let mut text = String::new();
    for row in rows {
        text += &format!("r{:03}  {}\n", row.id, row.text);
        match shown_by.get(&row.id) {
            Some(tests) => tests.iter().for_each(|test| text += &format!("      {test}\n")),
            None => text += "      —\n",
        }
    }
    text + &format!("rows shown: {} of {ROWS}\n", shown_by.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../../docs/requirements.md");

    #[test]
    fn the_document_has_every_row_once() {
        let rows = rows(DOCUMENT).unwrap();
        assert_eq!(rows.len(), usize::from(ROWS));
        let lacking = DOCUMENT.replace("\n|7|", "\n|8|");
        assert_eq!(super::rows(&lacking), Err("row 8 comes twice".to_owned()));
    }

    #[test]
    fn names_tell_their_rows() {
        let rows = |name: &str| rows_of(name).into_iter().collect::<Vec<u16>>();
        assert_eq!(rows("virtual::figure::r016_r041_over_ipv4"), [16, 41]);
        assert!(rows("crash_r12_r1234_r000_r121_r0x3").is_empty());
    }

    #[test]
    fn the_report_ends_in_the_count() {
        let rows = rows(DOCUMENT).unwrap();
        let tests = ["a::r002_x".to_owned(), "b::r002_r120_y".to_owned(), "b::z".to_owned()];
        let report = report(&rows, &tests);
        assert!(report.ends_with("rows shown: 2 of 120\n"), "{report}");
        assert!(report.contains("      a::r002_x\n      b::r002_r120_y\n"));
    }
}
