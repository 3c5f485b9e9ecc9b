//! Breaks the code as `tests/breakings.txt` says and demands that the tests of the rows fail:
//! `breakings [--write] [WORD]`. With `--write` the last column of `docs/requirements.md` is filled.

use std::path::Path;
use std::process::ExitCode;

use lcm_tests::breakings::{note, read, run};
use lcm_tests::requirements::Trouble;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let write = words.iter().any(|word| word == "--write");
    words.retain(|word| word != "--write");
    match play(write, words.first().map_or("", String::as_str)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("breakings: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn play(write: bool, only: &str) -> Result<bool, Trouble> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let workspace = workspace.canonicalize().map_err(|error| error.to_string())?;
    let file = |path: &str| {
        std::fs::read_to_string(workspace.join(path))
            .map_err(|error| format!("cannot read {path}: {error}"))
    };
    let all = read(&file("tests/breakings.txt")?)?;
    let seen = run(&workspace, &all, only)?;
    let mut missed = 0;
    for one in &seen {
        match &one.result {
            Ok(place) => println!("{}: {} caught it at {place}", one.what, one.test.name),
            Err(trouble) => {
                missed += 1;
                println!("MISSED {}: {}: {trouble}", one.what, one.test.name);
            }
        }
    }
    println!("caught: {} of {}", seen.len() - missed, seen.len());
    if write {
        let path = "docs/requirements.md";
        let caught: Vec<_> = seen.into_iter().filter(|one| one.result.is_ok()).collect();
        std::fs::write(workspace.join(path), note(&file(path)?, &caught)?)
            .map_err(|error| format!("cannot write {path}: {error}"))?;
    }
    Ok(missed == 0)
}
