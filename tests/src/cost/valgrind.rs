//! Instructions and allocations, as valgrind counts them.

use std::process::Command;

use clap::ValueEnum;

use super::script::{Part, Script};
use crate::node::SCRIPT;

/// What a run of a script came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Run {
    /// Instructions executed, of the messages alone.
    pub instructions: u64,
    /// Pieces of memory that were allocated.
    pub blocks: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// What one message costs.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Count {
    /// Instructions executed.
    pub instructions: f64,
    /// Pieces of memory that were allocated.
    pub blocks: f64,
    /// Bytes of them.
    pub bytes: f64,
}

/// Counts what one message of a part costs, beyond those that lead up to it.
///
/// # Errors
/// If valgrind is missing or says something unexpected.
pub fn count(part: Part, ignorant: bool, sessions: u32) -> Result<Count, String> {
    let script = |part, sessions, rounds| Script { part, sessions, rounds, ignorant };
    // The difference of two runs leaves what is spent once out.
    let (less, more) = match part {
        Part::Paths | Part::SetUps => (script(part, sessions, 0), script(part, 2 * sessions, 0)),
        Part::PathRefreshes | Part::ResvRefreshes => {
            (script(part, sessions, 1), script(part, sessions, 2))
        }
    };
    let (less, more) = (run(less)?, run(more)?);
    let per = |less: u64, more: u64| (more.saturating_sub(less)) as f64 / f64::from(sessions);
    Ok(Count {
        instructions: per(less.instructions, more.instructions),
        blocks: per(less.blocks, more.blocks),
        bytes: per(less.bytes, more.bytes),
    })
}

/// Plays a script twice, once for each of valgrind's tools.
fn run(script: Script) -> Result<Run, String> {
    // `inlining` off would be another program: only what `Transit::take` calls is collected.
    let callgrind = [
        "--tool=callgrind",
        "--callgrind-out-file=/dev/null",
        "--collect-atstart=no",
        "--toggle-collect=*lcm_tests::cost::Transit::take",
    ];
    let counted = valgrind(&callgrind, script)?;
    let instructions = number_after(&counted, "Collected :")
        .ok_or_else(|| format!("callgrind said nothing of what it collected:\n{counted}"))?;
    let dhat = ["--tool=dhat", "--dhat-out-file=/dev/null"];
    let counted = valgrind(&dhat, script)?;
    let missing = || format!("dhat said nothing of a total:\n{counted}");
    let total = counted.lines().find(|line| line.contains("Total:")).ok_or_else(missing)?;
    let bytes = number_after(total, "Total:").ok_or_else(missing)?;
    let blocks = number_after(total, "bytes in").ok_or_else(missing)?;
    Ok(Run { instructions, blocks, bytes })
}

/// Plays a script under valgrind; what that said.
fn valgrind(tool: &[&str], script: Script) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let part = script.part.to_possible_value();
    let mut command = Command::new("valgrind");
    command.args(tool).arg(program).arg(SCRIPT);
    command.arg(part.as_ref().map_or("", |part| part.get_name()));
    command.args(["--sessions", &script.sessions.to_string()]);
    command.args(["--rounds", &script.rounds.to_string()]);
    command.args(script.ignorant.then_some("--ignorant"));
    let output = command.output().map_err(|error| {
        format!("valgrind does not start ({error}); install the package valgrind")
    })?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{command:?} failed:\n{said}")) }
}

/// The number behind some words, with or without commas.
fn number_after(text: &str, words: &str) -> Option<u64> {
    let (_, rest) = text.split_once(words)?;
    let digits: String = rest
        .trim_start()
        .chars()
        .take_while(|c| c.is_ascii_digit() || *c == ',')
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_valgrind_writes_them() {
        let dhat = "==7== Total:     2,048,100 bytes in 12,001 blocks\n";
        assert_eq!(number_after(dhat, "Total:"), Some(2_048_100));
        assert_eq!(number_after(dhat, "bytes in"), Some(12_001));
        assert_eq!(number_after("==7== Collected : 531\n", "Collected :"), Some(531));
        assert_eq!(number_after(dhat, "Collected :"), None);
    }
}
