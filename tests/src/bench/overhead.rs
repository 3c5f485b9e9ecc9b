//! What charging costs beyond plain RSVP: instructions and allocations of one message, and a guard
//! that they do not grow unnoticed.

use std::fmt::{self, Write};
use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::cost::script::Part;
use crate::cost::{Count, count};

/// Sessions of one measurement.
const SESSIONS: u32 = 1_000;
/// How many instructions more than written down are let pass, in percent.
const SLACK: u64 = 5;
/// The messages that are counted.
const MESSAGES: [(&str, Part); 4] = [
    ("PATH, new session", Part::Paths),
    ("PATH and RESV, new", Part::SetUps),
    ("PATH, refresh", Part::PathRefreshes),
    ("RESV, refresh", Part::ResvRefreshes),
];

/// What to do with the counts.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Fail if a message takes over 5 % more instructions than tests/instructions.txt says, or
    /// allocates more often.
    #[arg(long)]
    check: bool,
    /// Write tests/instructions.txt anew.
    #[arg(long, conflicts_with = "check")]
    write: bool,
}

/// One message at a router that charges, and at one that does not.
#[derive(Debug, Clone, Copy)]
struct Row {
    name: &'static str,
    charging: Count,
    ignorant: Count,
}

/// Counts, and draws a table.
///
/// # Errors
/// If valgrind is missing or fails, or if a message costs more than it may.
pub(crate) fn measure(options: &Options) -> Result<String, String> {
    let mut rows = Vec::new();
    for (name, part) in MESSAGES {
        let (charging, ignorant) = (count(part, false, SESSIONS)?, count(part, true, SESSIONS)?);
        rows.push(Row { name, charging, ignorant });
    }
    let table = table(&rows);
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if options.write {
        fs::write(&path, written(&rows)).map_err(failed)?;
    }
    if options.check {
        let limits = fs::read_to_string(&path).map_err(failed)?;
        let worse: Vec<String> = rows.iter().filter_map(|row| row.worse_than(&limits)).collect();
        if !worse.is_empty() {
            return Err(format!(
                "{table}\n{}\nif that is meant, run `bench -- overhead --write` and say why in the \
                 commit",
                worse.join("\n")
            ));
        }
    }
    Ok(table)
}

impl Row {
    /// What is wrong with this row beside what was written down.
    fn worse_than(&self, limits: &str) -> Option<String> {
        let Some(limit) = limits.lines().find_map(|line| line.strip_prefix(self.name)) else {
            return Some(format!("{}: tests/instructions.txt has no such line", self.name));
        };
        let mut limit = limit.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
        let (instructions, blocks) = (limit.next()?, limit.next()?);
        let (now, now_blocks) = (whole(self.charging.instructions), nearest(self.charging.blocks));
        (now * 100 > instructions * (100 + SLACK) || now_blocks > blocks).then(|| {
            format!(
                "{}: {now} instructions and {now_blocks} allocations, where {instructions} and \
                 {blocks} were written down",
                self.name
            )
        })
    }
}

/// A count of a message, rounded up.
fn whole(count: f64) -> u64 {
    count.ceil() as u64
}

/// A count of a message; tables that grow now and then are shared by all.
fn nearest(count: f64) -> u64 {
    count.round() as u64
}

fn written(rows: &[Row]) -> String {
    let mut text = String::from(
        "# Instructions and allocations of one message at a charging router, by valgrind; see \
         `bench -- overhead`.\n",
    );
    for Row { name, charging, .. } in rows {
        let (instructions, blocks) = (whole(charging.instructions), nearest(charging.blocks));
        let _ = writeln!(text, "{name:<22} {instructions:>7} {blocks:>4}");
    }
    text
}

fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    let head =
        "one message                 instructions             allocations    bytes allocated";
    let both =
        "                        charging ignorant  ratio  charging ignorant  charging ignorant";
    let _ = writeln!(table, "{head}\n{both}");
    for row in rows {
        let _ = writeln!(table, "{row}");
    }
    table
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { name, charging, ignorant } = self;
        let ratio = charging.instructions / ignorant.instructions.max(1.0);
        write!(
            f,
            "{name:<22} {:>9.0} {:>8.0} {ratio:>6.3} {:>9.2} {:>8.2} {:>9.0} {:>8.0}",
            charging.instructions,
            ignorant.instructions,
            charging.blocks,
            ignorant.blocks,
            charging.bytes,
            ignorant.bytes,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(instructions: f64, blocks: f64) -> Row {
        let charging = Count { instructions, blocks, bytes: 0.0 };
        Row { name: "PATH, refresh", charging, ignorant: Count::default() }
    }

    #[test]
    fn what_grows_beyond_the_slack_is_found() {
        let limits = written(&[row(2_000.0, 0.0)]);
        assert_eq!(row(2_100.0, 0.0).worse_than(&limits), None);
        assert!(row(2_101.0, 0.0).worse_than(&limits).is_some());
        assert!(row(1_900.0, 0.5).worse_than(&limits).is_some(), "it allocates");
        assert!(row(1.0, 0.0).worse_than("").is_some(), "nothing is written down");
    }
}
