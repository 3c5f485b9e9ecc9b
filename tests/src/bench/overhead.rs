//! What charging costs beyond plain RSVP: instructions and allocations of one message, and a guard
//! that they do not grow unnoticed.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use clap::Args;
use lcm_daemon::lab::LabError;
use serde_json::{Value, json};

use super::figure::{grouped, rounded};
use super::outcome::{Outcome, Table};
use super::{bytes, progress};
use crate::cost::script::Part;
use crate::cost::{Count, count};

/// Sessions of one measurement.
const SESSIONS: u32 = 1_000;
/// The same in a quick run.
const SESSIONS_QUICK: u32 = 200;
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
    #[arg(long, conflicts_with_all = ["check", "quick"])]
    write: bool,
    /// Fewer messages: counts of set-ups differ a little, as tables grow now and then.
    #[arg(long, conflicts_with = "check")]
    quick: bool,
    /// Print one JSON object and nothing else.
    #[arg(long)]
    json: bool,
}

/// One message at a router that charges, and at one that does not.
#[derive(Debug, Clone, Copy)]
struct Row {
    name: &'static str,
    charging: Count,
    ignorant: Count,
}

/// Counts instructions and bytes, and prints.
///
/// # Errors
/// If valgrind is missing or fails, or if a message costs more than it may.
pub(super) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let rows = count_all(options.quick)?;
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("instructions.txt");
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if options.write {
        fs::write(&path, written(&rows)).map_err(failed)?;
    }
    if options.check {
        let limits = fs::read_to_string(&path).map_err(failed)?;
        let worse: Vec<String> = rows.iter().filter_map(|row| row.worse_than(&limits)).collect();
        let table = table(&rows);
        if !worse.is_empty() {
            return Err(format!(
                "{table}\n{}\nif that is meant, run `bench -- overhead --write` and say why in \
                 the commit",
                worse.join("\n")
            )
            .into());
        }
        println!("{table}");
        return Ok(());
    }
    let outcome = outcome(&rows, options.quick);
    if options.json {
        println!("{}", outcome.json);
    } else {
        print!("{outcome}");
    }
    Ok(())
}

/// The same as one of all benchmarks.
///
/// # Errors
/// If valgrind is missing or fails.
pub(super) fn in_all(options: &super::Options) -> Result<Outcome, LabError> {
    let rows = count_all(options.quick).map_err(LabError::new)?;
    Ok(outcome(&rows, options.quick))
}

fn count_all(quick: bool) -> Result<Vec<Row>, String> {
    let sessions = if quick { SESSIONS_QUICK } else { SESSIONS };
    let mut rows = Vec::new();
    for (name, part) in MESSAGES {
        progress(&format!("overhead: {name}, {sessions} times"));
        let (charging, ignorant) = (count(part, false, sessions)?, count(part, true, sessions)?);
        rows.push(Row { name, charging, ignorant });
    }
    Ok(rows)
}

fn outcome(rows: &[Row], quick: bool) -> Outcome {
    progress("overhead: bytes of calls");
    let (bytes_table, bytes_json) = bytes::measure(quick);
    let messages = rows.iter().map(Row::json).collect::<Vec<Value>>();
    let json = json!({ "messages": messages, "bytes": bytes_json });
    Outcome { name: "overhead", tables: vec![table(rows), bytes_table], json, plots: Vec::new() }
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

fn table(rows: &[Row]) -> Table {
    let head = [
        "one message",
        "instructions, charging",
        "policy-ignorant",
        "ratio",
        "allocations, charging",
        "policy-ignorant",
        "bytes allocated, charging",
        "policy-ignorant",
    ];
    let mut table = Table::new("Instructions and allocations of a message", &head);
    for row in rows {
        let Row { name, charging, ignorant } = row;
        table.row(
            *name,
            [
                grouped(charging.instructions, 0),
                grouped(ignorant.instructions, 0),
                format!("{:.3}", row.ratio()),
                grouped(charging.blocks, 2),
                grouped(ignorant.blocks, 2),
                grouped(charging.bytes, 0),
                grouped(ignorant.bytes, 0),
            ],
        );
    }
    table
}

impl Row {
    /// How many times the instructions of a policy-ignorant router.
    fn ratio(&self) -> f64 {
        self.charging.instructions / self.ignorant.instructions.max(1.0)
    }

    fn json(&self) -> Value {
        let counts = |count: Count| {
            json!({ "instructions": rounded(count.instructions, 1),
                    "allocations": rounded(count.blocks, 2),
                    "bytes_allocated": rounded(count.bytes, 1) })
        };
        json!({ "message": self.name, "charging": counts(self.charging),
                "policy_ignorant": counts(self.ignorant), "ratio": rounded(self.ratio(), 4) })
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
    fn r026_instructions_and_bytes_of_charging_are_reported() {
        let outcome = outcome(&[row(2_000.0, 1.0)], true);
        assert_eq!(outcome.json["messages"][0]["charging"]["instructions"], json!(2_000.0));
        for kind in ["whole", "reduction"] {
            let share = outcome.json["bytes"][kind]["percent_of_all"].as_f64().unwrap();
            assert!(share > 0.0 && share < 0.1, "{kind}: {share} %");
        }
        let text = outcome.to_string();
        assert!(text.contains("| PATH, refresh | 2,000 | 0 |"), "{text}");
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
