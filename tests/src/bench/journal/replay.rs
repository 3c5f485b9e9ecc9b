//! A long journal read again, beside the same bytes read without looking at them.

use std::fmt;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use lcm_daemon::ledger::journal::{AppendError, Journal, Options};
use lcm_daemon::ledger::reader::Reader;
use lcm_daemon::ledger::segment;
use lcm_daemon::ledger::sign::Signatures;

use super::{Outcome, median};
use crate::crash::record;

/// What was measured, in seconds.
#[derive(Debug)]
pub(super) struct Figures {
    records: u64,
    bytes: u64,
    plain: f64,
    chain: f64,
    full: f64,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, bytes, plain, chain, full } = self;
        writeln!(f, "| {records} records, {bytes} B, read and no more | {plain:.2} s |")?;
        writeln!(f, "| chain checked | {chain:.2} s |")?;
        write!(f, "| chain and signatures checked, records decoded | {full:.2} s |")
    }
}

/// Writes so many records and reads them again.
pub(super) fn measure(dir: &Path, rounds: usize, records: u64) -> Outcome<Figures> {
    let dir = dir.join("replay");
    let mut journal = Journal::open(&dir, Options::default())?;
    for id in 0..records {
        let body = record(id);
        if journal.append(&body) == Err(AppendError::BatchFull) {
            journal.sync()?;
            journal.append(&body)?;
        }
    }
    journal.sync()?;
    let stored = journal.durable();
    drop(journal);
    let (mut plain, mut chain, mut full) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = 0;
    for _ in 0..rounds {
        let start = Instant::now();
        bytes = read_plain(&dir)?;
        plain.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        if read_chain(&dir)? != stored {
            return Err("records are missing".into());
        }
        chain.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        if read_full(&dir)? != stored {
            return Err("records are missing".into());
        }
        full.push(start.elapsed().as_secs_f64());
    }
    let figures = (median(plain), median(chain), median(full));
    let (plain, chain, full) = figures;
    Ok(Figures { records: stored, bytes, plain, chain, full })
}

fn read_plain(dir: &Path) -> Outcome<u64> {
    let mut buffer = vec![0; 1024 * 1024];
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().and_then(segment::first_of).is_none() {
            continue;
        }
        let mut file = File::open(entry.path())?;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            bytes += u64::try_from(count)?;
        }
    }
    Ok(bytes)
}

fn read_chain(dir: &Path) -> Outcome<u64> {
    let mut reader = Reader::open(dir)?;
    while let Some(step) = reader.advance() {
        step?;
    }
    Ok(reader.number())
}

fn read_full(dir: &Path) -> Outcome<u64> {
    let mut reader = Reader::open(dir)?;
    let mut signatures = Signatures::new();
    while let Some(record) = reader.next() {
        let (number, body) = record?;
        signatures.check(number, reader.before(), &body)?;
    }
    Ok(reader.number())
}
