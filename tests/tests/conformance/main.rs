//! The conformance suite: `tests/conformance` holds a directory for each rule of RFC 2205, 2209
//! and 2750, with numbered steps that anybody who knows RSVP can read (`README.md` there says
//! how); this program plays them on the engine, and compares `docs/conformance.md` with them.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

mod bites;
mod build;
mod case;
mod docs;
mod node;
mod run;
mod show;
mod state;
mod words;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use case::Case;
use libtest_mimic::{Arguments, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = directories()
        .into_iter()
        .map(|directory| {
            let name = directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Trial::test(name, move || check(&directory).map_err(Failed::from))
        })
        .collect();
    trials.extend(bites::trials());
    trials.extend(docs::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Where the cases are.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// The directories of all cases, by name.
fn directories() -> Vec<PathBuf> {
    let entries = fs::read_dir(root()).expect("the directory of the cases can be read");
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("steps.txt").is_file())
        .collect();
    found.sort();
    found
}

/// Plays the case of a directory.
fn check(directory: &Path) -> Result<(), String> {
    let file = directory.join("steps.txt");
    let place = |what: String| format!("{}: {what}", file.display());
    let case = Case::read(directory).map_err(place)?;
    verdict(&case).map_err(place)
}

/// Whether a case goes as written, or fails where its known difference says.
fn verdict(case: &Case) -> Result<(), String> {
    match (run::play(case), &case.difference) {
        (Ok(()), None) => Ok(()),
        (Ok(()), Some((step, why))) => Err(format!(
            "step {step} is marked `known-difference: {why}`, but all goes as the rule wants: \
             take the mark away, and say so in docs/conformance.md"
        )),
        (Err(failure), Some((step, _))) if failure.step == *step => Ok(()),
        (Err(failure), _) => Err(format!("step {}\n  rule: {}", failure.what, case.rule)),
    }
}
