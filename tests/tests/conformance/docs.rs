//! `docs/conformance.md` and the tests that it names must not part ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use libtest_mimic::{Failed, Trial};

use super::case::Case;
use super::directories;

/// A row: section, sentence, what we do, what shows it.
#[derive(Debug)]
struct Row {
    line: usize,
    behaviour: String,
    tests: Vec<String>,
    reason: String,
}

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        Trial::test("every_row_names_tests_that_exist", || {
            report(every_row_names_tests_that_exist(&rows()?))
        }),
        Trial::test("every_case_is_named_in_a_row", || {
            report(every_case_is_named_in_a_row(&rows()?))
        }),
    ]
}

fn report(problems: Vec<String>) -> Result<(), Failed> {
    if problems.is_empty() { Ok(()) } else { Err(Failed::from(problems.join("\n"))) }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// The rows of all tables that have four columns.
fn rows() -> Result<Vec<Row>, Failed> {
    let text = fs::read_to_string(repository().join("docs/conformance.md"))
        .map_err(|error| Failed::from(format!("docs/conformance.md: {error}")))?;
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(inside) = line.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')) else {
            continue;
        };
        let cells: Vec<&str> = inside.split('|').map(str::trim).collect();
        let number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_alphanumeric());
        match cells.as_slice() {
            ["Section", ..] => {}
            [first, ..] if first.starts_with('-') => {}
            [section, sentence, behaviour, test]
                if number(section) && !sentence.is_empty() && !behaviour.is_empty() =>
            {
                // What stands between backticks is a name.
                let names = test.split('`').skip(1).step_by(2).map(str::to_owned);
                rows.push(Row {
                    line: index + 1,
                    behaviour: (*behaviour).to_owned(),
                    tests: names.collect(),
                    reason: (*test).to_owned(),
                });
            }
            _ => {
                return Err(Failed::from(format!("line {}: no row of four: {line}", index + 1)));
            }
        }
    }
    Ok(rows)
}

/// The cases by the names of their directories, and whether they have a known difference.
fn cases() -> BTreeMap<String, bool> {
    let read = |directory: PathBuf| {
        let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (name, Case::read(&directory).is_ok_and(|case| case.difference.is_some()))
    };
    directories().into_iter().map(read).collect()
}

fn every_row_names_tests_that_exist(rows: &[Row]) -> Vec<String> {
    let (cases, functions) = (cases(), functions());
    let mut problems = Vec::new();
    for Row { line, behaviour, tests, reason } in rows {
        let mut problem = |what: String| problems.push(format!("line {line}: {what}"));
        let excused = reason.strip_prefix('—').is_some_and(|why| why.trim().len() > 10);
        if tests.is_empty() && !excused {
            problem("neither a test nor `—` with a reason".to_owned());
        }
        for test in tests {
            if !cases.contains_key(test) && !functions.contains(test) {
                problem(format!("there is no case and no test {test}"));
            }
        }
        let differs = behaviour.contains("**Differs");
        let known: Vec<&String> =
            tests.iter().filter(|test| cases.get(*test).copied().unwrap_or(false)).collect();
        if !known.is_empty() && !differs {
            problem(format!(
                "{known:?} has a known difference, and the row does not say **Differs"
            ));
        }
    }
    problems
}

fn every_case_is_named_in_a_row(rows: &[Row]) -> Vec<String> {
    let named: BTreeSet<&String> = rows.iter().flat_map(|row| &row.tests).collect();
    let missing = cases().into_keys().filter(|case| !named.contains(case));
    missing.map(|case| format!("docs/conformance.md has no row with `{case}`")).collect()
}

/// The names of all functions of the workspace, tests among them.
fn functions() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["charging-model", "lcm-daemon", "rsvp-wire", "tests"]
        .into_iter()
        .map(|name| repository().join(name))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the workspace").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let lines = text.lines().map(str::trim_start);
                let names = lines.filter_map(|line| line.strip_prefix("fn "));
                found.extend(
                    names.filter_map(|rest| Some(rest.split_once(['(', '<'])?.0.to_owned())),
                );
            }
        }
    }
    found
}
