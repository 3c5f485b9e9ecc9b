//! The text of a case: its rule, its setup and its numbered steps.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// One `steps.txt`.
#[derive(Debug, Default)]
pub(crate) struct Case {
    /// The rule, in words.
    pub(crate) rule: String,
    /// The step that is known to fail, and why.
    pub(crate) difference: Option<(usize, String)>,
    /// What the node under test is and where it stands.
    pub(crate) setup: Vec<Line>,
    /// What happens and what must follow, in order.
    pub(crate) steps: Vec<Line>,
}

/// A line with its continuations, as words.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Line of the file, from 1; for steps, their own number.
    pub(crate) number: usize,
    pub(crate) words: Vec<String>,
}

impl Line {
    pub(crate) fn text(&self) -> String {
        self.words.join(" ")
    }
}

impl Case {
    /// Reads the `steps.txt` of a directory; setups are in `setups` beside it.
    pub(crate) fn read(directory: &Path) -> Result<Self, String> {
        let path = directory.join("steps.txt");
        let setups = directory.parent().unwrap_or(directory).join("setups");
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Self::parse(&text, &setups)
    }

    /// Reads the text of a case.
    pub(crate) fn parse(text: &str, setups: &Path) -> Result<Self, String> {
        let mut case = Self::default();
        let mut names = BTreeMap::new();
        case.take(text, setups, &mut names)?;
        if case.rule.is_empty() {
            return Err("no line `rule: RFC ... section ...: ...`".to_owned());
        }
        for (index, step) in case.steps.iter().enumerate() {
            if step.number != index + 1 {
                return Err(format!("step {} is the {}. one", step.number, index + 1));
            }
        }
        let last = case.steps.len();
        match &case.difference {
            Some((step, _)) if *step == 0 || *step > last => {
                Err(format!("known-difference names step {step} of {last}"))
            }
            _ => Ok(case),
        }
    }

    fn take(
        &mut self,
        text: &str,
        setups: &Path,
        names: &mut BTreeMap<String, Vec<String>>,
    ) -> Result<(), String> {
        for (number, line) in joined(text) {
            let wrong = |what: &str| format!("line {number}: {what}: {line}");
            if let Some(rule) = line.strip_prefix("rule:") {
                self.rule = rule.trim().to_owned();
                continue;
            }
            if let Some(rest) = line.strip_prefix("known-difference:") {
                let (step, why) = rest
                    .trim()
                    .strip_prefix("step ")
                    .and_then(|rest| rest.split_once(": "))
                    .ok_or_else(|| wrong("want `known-difference: step N: reason`"))?;
                let step = step.parse().map_err(|_| wrong("no number of a step"))?;
                self.difference = Some((step, why.to_owned()));
                continue;
            }
            let mut words = expand(&line, names).map_err(|what| wrong(&what))?;
            match words.first().map(String::as_str) {
                Some("include") => {
                    let name = words.get(1).ok_or_else(|| wrong("include what?"))?;
                    let path = setups.join(format!("{name}.txt"));
                    let text = fs::read_to_string(&path)
                        .map_err(|e| wrong(&format!("{}: {e}", path.display())))?;
                    self.take(&text, setups, names)?;
                }
                Some("let") if words.get(2).is_some_and(|word| word == "=") => {
                    let value = words.split_off(3);
                    names.insert(words.swap_remove(1), value);
                }
                Some(first) if first.starts_with(|c: char| c.is_ascii_digit()) => {
                    let number = first.parse().map_err(|_| wrong("no number of a step"))?;
                    words.remove(0);
                    self.steps.push(Line { number, words });
                }
                _ => self.setup.push(Line { number, words }),
            }
        }
        Ok(())
    }
}

/// Lines without comments; one that starts with white space goes on from the line before it.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = match line.starts_with('#') {
            true => "",
            false => line.split(" # ").next().unwrap_or_default().trim_end(),
        };
        match lines.last_mut() {
            _ if line.trim().is_empty() => {}
            Some((_, last)) if line.starts_with([' ', '\t']) => {
                last.push(' ');
                last.push_str(line.trim());
            }
            _ => lines.push((index + 1, line.trim().to_owned())),
        }
    }
    lines
}

/// Words, with `$NAME` replaced by what `let NAME = ...` gave it.
fn expand(line: &str, names: &BTreeMap<String, Vec<String>>) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        match word.strip_prefix('$') {
            Some(name) => {
                let value = names.get(name).ok_or_else(|| format!("no `let {name} = ...`"))?;
                words.extend(value.iter().cloned());
            }
            None => words.push(word.to_owned()),
        }
    }
    Ok(words)
}
