//! The simulator bites: each deliberate defect of `tests/defects` is found within 500 networks.
//!
//! All of them go into one copy of the sources, each behind a switch that only the copy has: the
//! text to find becomes `{ if switch { replacement } else { text } }`. So one build serves all, and
//! the real sources know nothing of it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that finds what it did not expect is to fail"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the defect that is switched on.
const SWITCH: &str = "LCM_DEFECT";
/// Networks in which a defect must show.
const NETWORKS: u64 = 500;
/// Networks that are played at once.
const CHUNK: u64 = 25;

/// A deliberate mistake.
struct Defect {
    name: String,
    file: String,
    find: String,
    replace: String,
}

impl Defect {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let field = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.unwrap_or_else(|| panic!("{}: no line {key}", path.display())).trim().to_owned()
        };
        for key in ["breaks:", "why:"] {
            assert!(!field(key).is_empty(), "{}: {key}", path.display());
        }
        Self {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            file: field("file:"),
            find: field("find:"),
            replace: field("replace:"),
        }
    }

    /// Puts the mistake, behind its switch, into the text of its file.
    fn plant(&self, text: &str) -> String {
        let count = text.matches(&self.find).count();
        assert_eq!(count, 1, "{}: {:?} stands so often in {}", self.name, self.find, self.file);
        let Self { name, find, replace, .. } = self;
        let both =
            format!("{{ if crate::defects::is_on(\"{name}\") {{ {replace} }} else {{ {find} }} }}");
        text.replacen(find.as_str(), &both, 1)
    }
}

/// The switch, as the copy has it.
fn switch() -> String {
    format!(
        "\npub(crate) mod defects {{\n    pub(crate) fn is_on(name: &str) -> bool {{\n        \
         static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();\n        \
         NAME.get_or_init(|| std::env::var(\"{SWITCH}\").ok()).as_deref() == Some(name)\n    \
         }}\n}}\n"
    )
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Writes a file unless it is so already: what did not change is not compiled again.
fn put(path: &Path, content: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(content) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn copy(from: &Path, to: &Path, defects: &[Defect]) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_owned();
        if path.is_dir() {
            if name != "target" && name != ".git" && name != "fuzz" {
                copy(&path, &to.join(&name), defects);
            }
            continue;
        }
        let inside = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let ours: Vec<&Defect> = defects.iter().filter(|defect| defect.file == inside).collect();
        let mut content = fs::read(&path).unwrap();
        if !ours.is_empty() {
            let text = String::from_utf8(content).unwrap();
            content = ours.iter().fold(text, |text, defect| defect.plant(&text)).into_bytes();
        }
        match inside.as_str() {
            "lcm-daemon/src/lib.rs" => content.extend(switch().bytes()),
            "Cargo.toml" => {
                let profile =
                    "\n[profile.defects]\ninherits = \"dev\"\nopt-level = 1\ndebug = false\n";
                content.extend(profile.bytes());
            }
            _ => {}
        }
        put(&to.join(&name), &content);
    }
    // What is gone here must not be built there.
    for entry in fs::read_dir(to).into_iter().flatten() {
        let path = entry.unwrap().path();
        match from.join(path.file_name().unwrap()) {
            stands if stands.exists() => {}
            _ if path.is_dir() => fs::remove_dir_all(&path).unwrap(),
            _ => fs::remove_file(&path).unwrap(),
        }
    }
}

/// Builds the simulator with all defects in it.
fn build(defects: &[Defect]) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("defects");
    let (sources, target) = (place.join("sources"), place.join("target"));
    copy(&root(), &sources, defects);
    let built = Command::new(env!("CARGO"))
        .args(["build", "--offline", "--locked", "--profile", "defects"])
        .args(["-p", "lcm-tests", "--bin", "simulate"])
        .current_dir(&sources)
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target.join("defects/simulate")
}

/// The seeds of a chunk that fail.
fn failing(simulate: &Path, defect: Option<&str>, first: u64) -> BTreeSet<u64> {
    let mut command = Command::new(simulate);
    let (first, chunk) = (first.to_string(), CHUNK.to_string());
    command.args(["--seed", &first, "--networks", &chunk, "--nodes", "9", "--minutes", "10"]);
    match defect {
        Some(name) => command.env(SWITCH, name),
        None => command.env_remove(SWITCH),
    };
    let played = command.output().unwrap();
    let text = String::from_utf8_lossy(&played.stdout).into_owned();
    let seed = |line: &str| {
        let rest = line.strip_prefix("FAILED: seed ")?;
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let seeds: BTreeSet<u64> = text.lines().filter_map(seed).collect();
    assert_eq!(played.status.success(), seeds.is_empty(), "{text}");
    seeds
}

#[test]
fn every_deliberate_defect_is_found_within_500_networks() {
    let mut files: Vec<PathBuf> = fs::read_dir(root().join("tests/defects"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let defects: Vec<Defect> = files.iter().map(|path| Defect::read(path)).collect();
    assert!(defects.len() >= 10);
    let simulate = build(&defects);
    let mut missed = Vec::new();
    for defect in &defects {
        let chunks = (1..=NETWORKS).step_by(CHUNK as usize);
        let found = chunks.into_iter().find_map(|first| {
            let bitten = failing(&simulate, Some(&defect.name), first);
            if bitten.is_empty() {
                return None;
            }
            // Only what passes without the defect shows it.
            let anyway = failing(&simulate, None, first);
            bitten.difference(&anyway).next().copied()
        });
        match found {
            Some(seed) => println!("{}: seed {seed}", defect.name),
            None => missed.push(defect.name.as_str()),
        }
    }
    assert!(missed.is_empty(), "not found within {NETWORKS} networks: {missed:?}");
}
