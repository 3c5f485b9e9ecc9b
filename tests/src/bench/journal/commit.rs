//! Consents made durable, by so many reservations at once.

use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use lcm_daemon::ledger::frame::OVERHEAD;
use lcm_daemon::ledger::journal::{AppendError, Journal, encode};
use lcm_daemon::ledger::writer::{Event, Settings, Writer};
use redb::{Database, TableDefinition};
use tokio::sync::mpsc;

use super::{Outcome, consent, median};

const AT_ONCE: [u64; 4] = [1, 10, 100, 1000];
const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

/// A way to make records durable.
type Way = fn(&Path, u64, Duration) -> Outcome<f64>;

const WAYS: [Way; 4] = [raw, journal, thread, redb];

/// Consents a second with so many reservations at once.
#[derive(Debug)]
pub(super) struct Row {
    at_once: u64,
    /// In the order of [`WAYS`].
    rates: Vec<f64>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "| {} |", self.at_once)?;
        for rate in &self.rates {
            write!(f, " {rate:.0} |")?;
        }
        Ok(())
    }
}

/// All ways in turn, so that a change of the disk's mood meets all.
pub(super) fn measure(dir: &Path, rounds: usize, quick: bool) -> Outcome<Vec<Row>> {
    let time = Duration::from_millis(if quick { 100 } else { 300 });
    let mut rows = Vec::new();
    for at_once in AT_ONCE {
        let mut rates = vec![Vec::new(); WAYS.len()];
        for _ in 0..rounds {
            for (way, rates) in WAYS.iter().zip(&mut rates) {
                let dir = dir.join("commit");
                fs::create_dir(&dir)?;
                rates.push(way(&dir, at_once, time)?);
                fs::remove_dir_all(&dir)?;
            }
        }
        rows.push(Row { at_once, rates: rates.into_iter().map(median).collect() });
    }
    Ok(rows)
}

/// Consents a second, of `count` since then.
fn rate(count: u64, since: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    count / since.elapsed().as_secs_f64()
}

/// Appends as many bytes as the frames of a batch have, and syncs.
fn raw(dir: &Path, at_once: u64, time: Duration) -> Outcome<f64> {
    let mut file = File::create(dir.join("raw"))?;
    let (mut scratch, mut batch) = (Vec::new(), Vec::new());
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        batch.clear();
        for number in count..count.saturating_add(at_once) {
            batch.extend_from_slice(encode(&consent(number), &mut scratch)?);
            batch.extend_from_slice(&[0; OVERHEAD]);
        }
        file.write_all(&batch)?;
        file.sync_data()?;
        count = count.saturating_add(at_once);
    }
    Ok(rate(count, start))
}

/// The journal without its thread.
fn journal(dir: &Path, at_once: u64, time: Duration) -> Outcome<f64> {
    let mut journal = Journal::open(dir, lcm_daemon::ledger::journal::Options::default())?;
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        for number in count..count.saturating_add(at_once) {
            let body = consent(number);
            if journal.append(&body) == Err(AppendError::BatchFull) {
                journal.sync()?;
                journal.append(&body)?;
            }
        }
        journal.sync()?;
        count = count.saturating_add(at_once);
    }
    Ok(rate(count, start))
}

/// The journal as the daemon uses it.
fn thread(dir: &Path, at_once: u64, time: Duration) -> Outcome<f64> {
    let (events, mut heard) = mpsc::unbounded_channel();
    let journal = Journal::open(dir, lcm_daemon::ledger::journal::Options::default())?;
    let mut writer = Writer::start(journal, Settings::default(), events)?;
    let (start, mut submitted, mut durable) = (Instant::now(), 0_u64, 0_u64);
    while start.elapsed() < time {
        while submitted < at_once.saturating_add(durable) {
            submitted = submitted.saturating_add(1);
            writer.submit(submitted, &consent(submitted))?;
        }
        match heard.blocking_recv() {
            Some(Event::Durable(id)) => durable = id,
            Some(Event::Slow | Event::Swift) => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    let rate = rate(durable, start);
    writer.stop()?;
    Ok(rate)
}

/// redb, a commit for each batch.
fn redb(dir: &Path, at_once: u64, time: Duration) -> Outcome<f64> {
    let database = Database::create(dir.join("redb"))?;
    let mut scratch = Vec::new();
    let (start, mut count) = (Instant::now(), 0_u64);
    while start.elapsed() < time {
        let transaction = database.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for number in count..count.saturating_add(at_once) {
                table.insert(number, encode(&consent(number), &mut scratch)?)?;
            }
        }
        transaction.commit()?;
        count = count.saturating_add(at_once);
    }
    Ok(rate(count, start))
}
