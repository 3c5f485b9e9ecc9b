//! The benchmark of the journal: what it costs to make consents durable, and to read them again.
//!
//! All ways run in turn in one process, on one directory, with the same records: a raw loop that
//! appends and syncs, the journal alone, the journal behind its thread as the daemon uses it, and
//! redb. A reservation waits until its consent is durable before it brings the next one, so with
//! N reservations at most N records share a sync.

mod commit;
mod replay;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use lcm_daemon::ledger::frame::OVERHEAD;
use lcm_daemon::ledger::journal::encode;
use lcm_daemon::ledger::record::{Body, Head, Stamp};
use tempfile::TempDir;

use crate::crash::record;

pub(super) type Outcome<T> = Result<T, Box<dyn Error>>;

/// How to run the benchmark.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Short rounds, and a tenth of the records to replay.
    #[arg(long)]
    quick: bool,
    /// On which disk.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// How many records to replay.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    records: u64,
    /// Rounds, whose medians are shown.
    #[arg(long, value_name = "N", default_value_t = 15)]
    rounds: usize,
}

/// The whole benchmark.
#[derive(Debug)]
pub(crate) struct Report {
    commits: Vec<commit::Row>,
    replay: replay::Figures,
    sizes: Vec<(&'static str, usize)>,
}

/// Measures.
pub(super) fn measure(options: &Options) -> Outcome<Report> {
    let dir = TempDir::with_prefix_in("lcm-bench-", &options.dir)?;
    let records = if options.quick { options.records / 10 } else { options.records };
    Ok(Report {
        commits: commit::measure(dir.path(), options.rounds, options.quick)?,
        replay: replay::measure(dir.path(), options.rounds, records)?,
        sizes: sizes()?,
    })
}

/// The consent of a number, as all ways write it.
fn consent(number: u64) -> Body {
    // Every third record of the series is a meter's turn.
    record(number.saturating_mul(3).saturating_add(1))
}

/// Bytes on disk of each kind of record.
fn sizes() -> Outcome<Vec<(&'static str, usize)>> {
    let instant = 100 * 86_400_000;
    let alive = Body::Alive(Stamp { at_ms: instant, wall_ms: 1_800_000_000_000 });
    let head = Body::Head(Head { signature: [[1; 32]; 2], wall_ms: 1_800_000_000_000 });
    let kinds = [
        ("consent", consent(instant)),
        ("turn of a meter", record(instant)),
        ("sign of life, one a second", alive),
        ("signed head, one a minute or 1,000 records", head),
    ];
    let mut scratch = Vec::new();
    let mut sizes = Vec::new();
    for (name, body) in kinds {
        sizes.push((name, encode(&body, &mut scratch)?.len().saturating_add(OVERHEAD)));
    }
    Ok(sizes)
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| reservations | append + fdatasync | journal | journal, thread | redb |",)?;
        for row in &self.commits {
            writeln!(f, "{row}")?;
        }
        writeln!(f, "{}", self.replay)?;
        for (name, bytes) in &self.sizes {
            writeln!(f, "| {name} | {bytes} B |")?;
        }
        Ok(())
    }
}
