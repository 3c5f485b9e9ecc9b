//! Prints each requirement with the tests that show it, and last `rows shown: N of 120`.

use std::path::Path;
use std::process::ExitCode;

use lcm_tests::requirements::{Trouble, report, rows, tests};

fn main() -> ExitCode {
    match run() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(trouble) => {
            eprintln!("requirements: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Trouble> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = workspace.join("docs/requirements.md");
    let document = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    Ok(report(&rows(&document)?, &tests(&workspace)?))
}
