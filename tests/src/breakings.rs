//! The code broken on purpose, one place at a time, to see that the tests of a requirement fail.
//!
//! `tests/breakings.txt` lists the places. All of them go into one copy of the sources, each behind
//! a switch that only the copy has: the text to find becomes `{ if switch { replacement } else
//! { text } }`. So one build serves all, and the real sources know nothing of it.
//!
//! ```text
//!  tests/breakings.txt ─▶ copy with switches ─ cargo test --no-run ─▶ test binaries
//!                                     each test: passes without, fails an assertion with the switch
//!                                                                          └─▶ docs/requirements.md
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::FOUND_AT;
use crate::requirements::{Trouble, rows_of};

/// Names the breaking that is switched on.
const SWITCH: &str = "LCM_BREAKING";
/// What a broken test may use before it counts as failed: seconds of CPU and kilobytes of memory.
const CPU_SECONDS: u32 = 300;
const MEMORY_KB: u32 = 6_000_000;
/// Crates that get the switch.
const CRATES: [&str; 3] = ["charging-model", "lcm-daemon", "rsvp-wire"];

/// A deliberate mistake, and the tests that must find it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Breaking {
    /// What is wrong, in a few words; unique.
    pub what: String,
    /// The rows of `docs/requirements.md` that it breaks.
    pub rows: BTreeSet<u16>,
    /// The source file, from the workspace's root.
    pub file: String,
    /// Text that stands in the file once: an expression or statements.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
    /// The tests that must fail.
    pub tests: Vec<Test>,
}

impl Breaking {
    /// With those tests alone that are asked for, if any is.
    fn narrowed(&self, only: &str) -> Option<Self> {
        let mut narrowed = self.clone();
        let at = |test: &Test| format!("{} {}", test.binary, test.name).contains(only);
        narrowed.tests.retain(|test| self.what.contains(only) || at(test));
        (!narrowed.tests.is_empty()).then_some(narrowed)
    }
}

/// A test by its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Test {
    /// Package and target, as in `charging-model/rows`; the target `lib` holds a crate's own tests.
    pub binary: String,
    /// The function, without the modules around it.
    pub name: String,
}

impl Test {
    /// The rows that it shows.
    pub fn rows(&self) -> BTreeSet<u16> {
        rows_of(&self.name)
    }
}

/// Reads the list: paragraphs of `key: text` lines, the first of which is `what`.
///
/// # Errors
/// If a paragraph lacks something, or a name comes twice.
pub fn read(list: &str) -> Result<Vec<Breaking>, Trouble> {
    let mut all: Vec<Breaking> = Vec::new();
    let lines = list.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    for line in lines {
        let (key, text) =
            line.split_once(": ").ok_or_else(|| format!("not \"key: text\": {line}"))?;
        if key == "what" {
            if all.iter().any(|breaking| breaking.what == text) {
                return Err(format!("{text:?} comes twice"));
            }
            all.push(Breaking { what: text.to_owned(), ..Breaking::default() });
            continue;
        }
        let last = all.last_mut().ok_or_else(|| format!("no \"what\" before: {line}"))?;
        match key {
            "file" => last.file = text.to_owned(),
            "rows" => last.rows = text.split(' ').filter_map(|row| row.parse().ok()).collect(),
            "find" => last.find = text.to_owned(),
            "replace" => last.replace = text.to_owned(),
            "test" => {
                let (binary, name) =
                    text.split_once(' ').ok_or_else(|| format!("no binary and test: {line}"))?;
                last.tests.push(Test { binary: binary.to_owned(), name: name.to_owned() });
            }
            _ => return Err(format!("no such key: {line}")),
        }
    }
    for Breaking { what, rows, file, find, replace, tests } in &all {
        if [file, find, replace].iter().any(|text| text.is_empty()) || rows.is_empty() {
            return Err(format!("{what:?} lacks rows, file, find or replace"));
        }
        let shown: BTreeSet<u16> = tests.iter().flat_map(Test::rows).collect();
        if let Some(row) = rows.difference(&shown).next() {
            return Err(format!("{what:?}: none of its tests shows row {row}"));
        }
    }
    Ok(all)
}

/// What was seen of one test of one breaking.
#[derive(Debug, Clone)]
pub struct Seen {
    /// What was broken.
    pub what: String,
    /// The rows that this breaks and the test shows.
    pub rows: BTreeSet<u16>,
    /// The test.
    pub test: Test,
    /// Where its assertion stands that failed, as `file.rs:line`; or what went otherwise.
    pub result: Result<String, Trouble>,
}

/// Breaks the code and runs the tests; `only` keeps breakings whose words contain it, or tests whose
/// places do.
///
/// # Errors
/// If the list does not fit the sources, or the copy does not build.
pub fn run(workspace: &Path, all: &[Breaking], only: &str) -> Result<Vec<Seen>, Trouble> {
    let place = place(workspace);
    plant(workspace, &place.join("sources"), all)?;
    let chosen: Vec<Breaking> = all.iter().filter_map(|breaking| breaking.narrowed(only)).collect();
    let binaries = build(&place, &chosen)?;
    let mut sound: BTreeMap<Test, bool> = BTreeMap::new();
    let mut seen = Vec::new();
    for breaking in &chosen {
        for test in &breaking.tests {
            let binary = binaries
                .get(&test.binary)
                .ok_or_else(|| format!("no test binary {:?}", test.binary))?;
            let passes = match sound.get(test) {
                Some(passes) => *passes,
                None => {
                    let passes = play(binary, test, None)?.is_none();
                    sound.insert(test.clone(), passes);
                    passes
                }
            };
            let result = match passes {
                false => Err("fails without the breaking, or is no test".to_owned()),
                true => play(binary, test, Some(&breaking.what))?
                    .unwrap_or_else(|| Err("PASSES although the code is broken".to_owned())),
            };
            let what = breaking.what.clone();
            let (Ok(told) | Err(told)) = &result;
            eprintln!("{what}: {}: {told}", test.name);
            let rows = breaking.rows.intersection(&test.rows()).copied().collect();
            seen.push(Seen { what, rows, test: test.clone(), result });
        }
    }
    Ok(seen)
}

/// Where the copy and what is built of it are kept: only what changed is built again.
fn place(workspace: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| workspace.join("target")).join("breakings")
}

/// Copies the sources with all breakings in them.
fn plant(workspace: &Path, to: &Path, all: &[Breaking]) -> Result<(), Trouble> {
    let mut planted = BTreeMap::new();
    for Breaking { what, file, find, replace, .. } in all {
        let text: &mut String = match planted.entry(file.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let text = fs::read_to_string(workspace.join(file))
                    .map_err(|error| format!("cannot read {file}: {error}"))?;
                entry.insert(text)
            }
        };
        let count = text.matches(find.as_str()).count();
        if count != 1 {
            return Err(format!("{what}: {find:?} stands {count} times in {file}, not once"));
        }
        let on = format!("crate::breakings::is_on({what:?})");
        let both = format!("{{ if {on} {{ {replace} }} else {{ {find} }} }}");
        // An expression may stand first in a statement, where its braces would end it.
        let both = if find.ends_with(';') { both } else { format!("({both})") };
        *text = text.replacen(find.as_str(), &both, 1);
    }
    for name in CRATES {
        let file = format!("{name}/src/lib.rs");
        let path = workspace.join(&file);
        let text = match planted.remove(&file) {
            Some(text) => text,
            None => fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?,
        };
        planted.insert(file, text + SWITCHED);
    }
    // A file that is gone from the sources must be gone from the copy.
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(format!("cannot empty {}: {error}", to.display()));
        }
        _ => {}
    }
    copy(workspace, workspace, to, &planted)
        .map_err(|error| format!("cannot copy to {}: {error}", to.display()))
}

/// The switch, as the copy has it.
const SWITCHED: &str = "
pub(crate) mod breakings {
    extern crate std;
    pub(crate) fn is_on(name: &str) -> bool {
        static NAME: std::sync::OnceLock<Option<std::string::String>> = std::sync::OnceLock::new();
        NAME.get_or_init(|| std::env::var(\"LCM_BREAKING\").ok()).as_deref() == Some(name)
    }
}
";

fn copy(
    workspace: &Path,
    from: &Path,
    to: &Path,
    planted: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() {
            let skipped = [".git", "target", "fuzz"].iter().any(|other| name == *other);
            if !skipped {
                copy(workspace, &path, &to.join(name), planted)?;
            }
            continue;
        }
        let inside = path.strip_prefix(workspace).unwrap_or(&path).to_string_lossy().into_owned();
        let content = match planted.get(&inside) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(&path)?,
        };
        // What did not change is not compiled again.
        let copied = to.join(name);
        if fs::read(&copied).ok().as_ref() != Some(&content) {
            fs::create_dir_all(to)?;
            fs::write(copied, content)?;
        }
    }
    // What is gone here must not be built there.
    for entry in fs::read_dir(to).into_iter().flatten() {
        let path = entry?.path();
        let stands = path.file_name().is_some_and(|name| from.join(name).exists());
        if !stands && path.is_dir() {
            fs::remove_dir_all(&path)?;
        } else if !stands {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Builds the test binaries that are needed, by package and target.
fn build(place: &Path, chosen: &[Breaking]) -> Result<BTreeMap<String, String>, Trouble> {
    let tests = chosen.iter().flat_map(|breaking| &breaking.tests);
    let needed: BTreeSet<&str> = tests.map(|test| test.binary.as_str()).collect();
    let mut binaries = BTreeMap::new();
    for binary in needed {
        let (package, target) =
            binary.split_once('/').ok_or_else(|| format!("{binary:?} is no package/target"))?;
        let kind: &[&str] = if target == "lib" { &["--lib"] } else { &["--test", target] };
        let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["test", "--locked", "--no-run", "--message-format=json", "-p", package])
            .args(kind)
            .current_dir(place.join("sources"))
            .env("CARGO_TARGET_DIR", place.join("target"))
            .env_remove("RUSTFLAGS")
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run cargo: {error}"))?;
        if !built.status.success() {
            let messages = String::from_utf8_lossy(&built.stdout);
            let rendered = messages.lines().filter_map(|line| {
                let message: Value = serde_json::from_str(line).ok()?;
                Some(message.pointer("/message/rendered")?.as_str()?.to_owned())
            });
            return Err(format!("{binary} does not build:\n{}", rendered.collect::<String>()));
        }
        let messages = String::from_utf8_lossy(&built.stdout);
        let executable = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let is_test = message.pointer("/profile/test")?.as_bool()?;
            let is_wanted = target == "lib" || message.pointer("/target/name")?.as_str()? == target;
            let executable = message.get("executable")?.as_str()?;
            (is_test && is_wanted).then(|| executable.to_owned())
        });
        let executable = executable.ok_or_else(|| format!("no test binary of {binary}"))?;
        binaries.insert(binary.to_owned(), executable);
    }
    Ok(binaries)
}

/// Runs one test: `None` if it passes, else where an assertion of a test failed.
fn play(
    binary: &str,
    test: &Test,
    breaking: Option<&str>,
) -> Result<Option<Result<String, Trouble>>, Trouble> {
    // What is broken may run or grow without end.
    let limited = format!("ulimit -t {CPU_SECONDS} -v {MEMORY_KB}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limited, binary]);
    // Names are unique but for the modules before them; the filter takes a part of a path.
    command.args([test.name.as_str(), "--test-threads=1"]);
    match breaking {
        Some(name) => command.env(SWITCH, name),
        None => command.env_remove(SWITCH),
    };
    // Seeds of failures are kept by the path of the source: beside the binary there is none.
    command.current_dir(Path::new(binary).parent().unwrap_or(Path::new(".")));
    command.env("PROPTEST_MAX_SHRINK_ITERS", "0").env("RUST_BACKTRACE", "0");
    let done = command.output().map_err(|error| format!("cannot run {binary}: {error}"))?;
    let text = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    if done.status.success() {
        let ran = !text.contains("0 passed");
        return Ok(if ran { None } else { Some(Err("there is no such test".to_owned())) });
    }
    let place = text.lines().find_map(|line| {
        let told = [" panicked at ", FOUND_AT].into_iter().find_map(|said| line.split_once(said));
        let (_, place) = told?;
        let (file, rest) = place.split_once(".rs:")?;
        Some((format!("{file}.rs"), rest.split(':').next()?.to_owned()))
    });
    Ok(Some(match place {
        Some((file, line)) if is_test(&file) => Ok(format!("{file}:{line}")),
        Some((file, line)) => Err(format!("panics in the product: {file}:{line}")),
        None => Err(format!("fails without an assertion: {}", done.status)),
    }))
}

/// Whether assertions that fail there are a test's: the product itself panics nowhere.
fn is_test(file: &str) -> bool {
    let test_file = file.contains("tests/") || file.ends_with("tests.rs");
    let with_tests = || {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        fs::read_to_string(path).is_ok_and(|text| text.contains("#[cfg(test)]"))
    };
    test_file || with_tests()
}

/// The table of requirements with its last column filled from what was seen; rows of which nothing
/// was seen stay as they are.
///
/// # Errors
/// If a test did not fail as it must.
pub fn note(document: &str, seen: &[Seen]) -> Result<String, Trouble> {
    let mut notes: BTreeMap<u16, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    for Seen { what, rows, test, result } in seen {
        result.as_ref().map_err(|trouble| format!("{what}: {}: {trouble}", test.name))?;
        for row in rows {
            let by = format!("{} in {}", test.name, test.binary);
            notes.entry(*row).or_default().entry(what).or_default().push(by);
        }
    }
    let mut noted = String::new();
    for line in document.lines() {
        let id =
            line.strip_prefix('|').and_then(|rest| rest.split('|').next()?.parse::<u16>().ok());
        match id.and_then(|id| notes.get(&id)) {
            Some(note) => {
                let cells: Vec<&str> = line.splitn(5, '|').collect();
                let one = |(what, by): (&&str, &Vec<String>)| format!("{what}: {}", by.join(", "));
                let said: Vec<String> = note.iter().map(one).collect();
                let [_, row, section, text, _] = cells.as_slice() else {
                    return Err(format!("not a row: {line}"));
                };
                let said = said.join("; ");
                let _ = writeln!(noted, "|{row}|{section}|{text}|{said}|");
            }
            None => {
                let _ = writeln!(noted, "{line}");
            }
        }
    }
    Ok(noted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::requirements::rows;

    const LIST: &str = include_str!("../breakings.txt");
    const DOCUMENT: &str = include_str!("../../docs/requirements.md");

    /// Names of all test functions of the workspace that show rows, by text alone.
    fn names(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let skipped = [".git", "target", "fuzz"].iter().any(|name| path.ends_with(name));
            if path.is_dir() && !skipped {
                names(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                // Here stand names that are examples.
                if path.ends_with("src/breakings.rs") || path.ends_with("src/requirements.rs") {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let shows = |word: &&str| word.starts_with('r') && !rows_of(word).is_empty();
                found.extend(words.filter(shows).map(str::to_owned));
            }
        }
    }

    #[test]
    fn what_is_said_to_have_been_broken_has_a_test_that_shows_the_row() {
        let mut found = BTreeSet::new();
        names(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut found);
        for breaking in read(LIST).unwrap() {
            for test in breaking.tests {
                assert!(found.contains(&test.name), "{}: no test {}", breaking.what, test.name);
            }
        }
        let shown: BTreeSet<u16> = found.iter().flat_map(|name| rows_of(name)).collect();
        let claims = rows(DOCUMENT).unwrap().into_iter().filter(|row| !row.broken.is_empty());
        for row in claims {
            assert!(shown.contains(&row.id), "row {} was broken, but has no test", row.id);
            let named: BTreeSet<u16> = rows_of(&row.broken);
            assert!(named.contains(&row.id), "row {} names no test of its own", row.id);
        }
    }

    #[test]
    fn a_list_is_checked() {
        let whole = "what: a\nrows: 1\nfile: f\nfind: x\nreplace: y\ntest: p/t r001_a\n";
        assert_eq!(read(whole).unwrap().len(), 1);
        for (from, to) in
            [("what: a\n", ""), ("find: x\n", ""), ("r001_a", "r002_a"), ("find: ", "finds: ")]
        {
            assert!(read(&whole.replace(from, to)).is_err(), "{from}");
        }
        assert!(read(&whole.repeat(2)).is_err());
    }

    #[test]
    fn what_was_seen_is_noted_in_its_rows() {
        let test = Test { binary: "p/t".to_owned(), name: "r002_r003_x".to_owned() };
        let (what, rows) = ("no sum".to_owned(), BTreeSet::from([2]));
        let mut seen = Seen { what, rows, test, result: Ok("t.rs:1".to_owned()) };
        let noted = note("|1|2|one|old|\n|2|2|two||\n", std::slice::from_ref(&seen)).unwrap();
        assert_eq!(noted, "|1|2|one|old|\n|2|2|two|no sum: r002_r003_x in p/t|\n");
        seen.result = Err("PASSES".to_owned());
        assert!(note("", &[seen]).is_err());
    }
}
