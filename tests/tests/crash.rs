//! Processes that are killed while they write the journal: nothing acknowledged is lost, nothing
//! is there twice, and the chain holds, whatever becomes of the tail of the file.

#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use lcm_daemon::ledger::journal::{Journal, OpenError};
use lcm_daemon::ledger::keys::KeyError;
use lcm_daemon::ledger::reader::Reader;
use lcm_daemon::ledger::segment;
use lcm_tests::crash::{self, Phase, records};
use lcm_tests::node::{JOURNAL, JOURNAL_FULL, JOURNAL_OPEN};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_lcm-node");

/// What is done to the end of the newest file after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tail {
    /// Nothing.
    Left,
    /// Bytes are appended, as of a write that was torn.
    Torn,
    /// It is cut anywhere behind what was acknowledged, or a record is begun there.
    Cut,
    /// A bit is changed there.
    Flipped,
    /// A bit is changed in what was acknowledged: that cannot be healed, but must be seen.
    Deep,
}

const TAILS: [Tail; 5] = [Tail::Left, Tail::Torn, Tail::Cut, Tail::Flipped, Tail::Deep];

#[derive(Debug, Default)]
struct Report {
    phases: BTreeMap<Phase, u32>,
    tails: BTreeMap<Tail, u32>,
    torn_found: u32,
    acknowledged: u64,
    /// Records that were durable without having been acknowledged.
    unannounced: u64,
}

/// The file that is written, and the offset behind the record that ends the acknowledged ones.
fn end_of(dir: &Path, acknowledged: u64) -> (PathBuf, u64, u64) {
    let newest = fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| segment::first_of(name).is_some())
        .max();
    let newest = newest.map(|name| dir.join(name)).unwrap_or_default();
    let length = fs::metadata(&newest).map_or(0, |metadata| metadata.len());
    let mut behind = segment::HEADER as u64;
    let mut reader = Reader::open(dir).unwrap();
    let mut seen = 0;
    while let Some(Ok((_, body))) = reader.next() {
        let (file, offset) = reader.place().unwrap();
        if !is_counted(&body) {
            continue;
        }
        seen += 1;
        if seen <= acknowledged && file == newest {
            behind = offset;
        }
    }
    (newest, behind, length)
}

fn is_counted(body: &lcm_daemon::ledger::record::Body) -> bool {
    use lcm_daemon::ledger::record::Body;
    matches!(body, Body::Consent(_) | Body::Runs(_))
}

/// Damages the tail; whether what was acknowledged was hit.
fn damage(dir: &Path, tail: Tail, acknowledged: u64, rng: &mut Rng) -> bool {
    let (file, behind, length) = end_of(dir, acknowledged);
    if length < segment::HEADER as u64 || tail == Tail::Left {
        return false;
    }
    let mut bytes = fs::read(&file).unwrap();
    let behind = usize::try_from(behind).unwrap();
    let mut garbage: Vec<u8> = (0..rng.usize(1..3000)).map(|_| rng.u8(..)).collect();
    let mut deep = false;
    match tail {
        Tail::Cut if behind < bytes.len() => bytes.truncate(rng.usize(behind..bytes.len())),
        Tail::Flipped if behind < bytes.len() => {
            let at = rng.usize(behind..bytes.len());
            bytes[at] ^= 1 << rng.u8(0..8);
        }
        Tail::Deep if behind > segment::HEADER => {
            let at = rng.usize(segment::HEADER..behind);
            bytes[at] ^= 1 << rng.u8(0..8);
            deep = true;
        }
        // There is nothing behind: the next record is begun.
        _ => {
            if rng.bool() {
                garbage.fill(0);
            }
            bytes.extend(garbage);
        }
    }
    fs::write(&file, bytes).unwrap();
    deep
}

/// Runs a writer, kills it, and returns the number of the last record that it acknowledged.
fn run_and_kill(dir: &Path, phase: &Path, first: u64, rng: &mut Rng) -> Option<u64> {
    fs::write(phase, [Phase::Opening as u8]).unwrap();
    let mut child = Command::new(PROGRAM)
        .args([JOURNAL.as_ref(), dir.as_os_str(), phase.as_os_str()])
        .args([rng.u32(..).to_string(), first.to_string()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // Some die before they have opened the journal.
    let mut first_byte = [0];
    let began = rng.u8(..) < 235 && stdout.read(&mut first_byte).unwrap() == 1;
    thread::sleep(Duration::from_micros(rng.u64(0..15_000)));
    kill(&mut child);
    let mut text = String::from_utf8(if began { first_byte.to_vec() } else { vec![] }).unwrap();
    stdout.read_to_string(&mut text).unwrap();
    // A line that was cut off is an acknowledgement that nobody got.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().last().map(|line| line.parse().unwrap())
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The lives of one journal, one kill after the other.
fn history(seed: u64, kills: u32, report: &mut Report) {
    let mut rng = Rng::with_seed(seed);
    let dir = TempDir::new().unwrap();
    let (books, phase) = (dir.path().join("ledger"), dir.path().join("phase"));
    let mut stored = 0;
    for round in 0..kills {
        let context = format!("seed {seed}, kill {round}");
        let acknowledged = run_and_kill(&books, &phase, stored + 1, &mut rng).unwrap_or(stored);
        let killed_in = Phase::of(fs::read(&phase).unwrap()[0]).unwrap();
        *report.phases.entry(killed_in).or_default() += 1;
        report.acknowledged += acknowledged - stored;
        if !books.exists() {
            continue;
        }
        let tail = rng.choice(TAILS).unwrap();
        *report.tails.entry(tail).or_default() += 1;
        let deep = damage(&books, tail, acknowledged, &mut rng);

        let (found, fault) = records(&books).unwrap();
        let count = u64::try_from(found.len()).unwrap();
        assert_eq!(found, (1..=count).collect::<Vec<_>>(), "{context}: a gap, or one twice");
        assert_eq!(deep, count < acknowledged, "{context}: {count} of {acknowledged}, {tail:?}");
        match fault {
            Some(fault) => assert!(fault.is_torn_tail(), "{context}: {fault}"),
            None => assert!(!deep, "{context}: {tail:?} was not seen"),
        }
        // Every other time this process finds the end, otherwise the next one does.
        if rng.bool() {
            let journal = crash::open(&books).unwrap_or_else(|error| panic!("{context}: {error}"));
            report.torn_found += u32::from(journal.last().torn.is_some());
            drop(journal);
            let (again, fault) = records(&books).unwrap();
            assert_eq!(again, found, "{context}");
            assert!(fault.is_none(), "{context}: {fault:?}");
        }
        report.unannounced += count.saturating_sub(acknowledged);
        stored = count;
    }
}

/// Kills so often, and on until every phase and every tail has been met.
fn crash(kills: u32) {
    let mut report = Report::default();
    for seed in 0..kills.div_ceil(10) * 10 {
        let met = report.phases.len() == Phase::ALL.len() && report.tails.len() == TAILS.len();
        if seed >= kills.div_ceil(10) && met {
            break;
        }
        history(u64::from(seed), 10, &mut report);
    }
    println!("{} kills: {report:#?}", report.phases.values().sum::<u32>());
    for phase in Phase::ALL {
        assert!(report.phases.contains_key(&phase), "no kill in {phase:?}");
    }
    for tail in TAILS {
        assert!(report.tails.contains_key(&tail), "no tail was {tail:?}");
    }
    assert!(report.torn_found > 0 && report.acknowledged > 0 && report.unannounced > 0);
}

#[test]
fn crash_at_random_moments() {
    crash(50);
}

#[test]
#[ignore = "minutes; run with --ignored"]
fn crash_a_thousand_times() {
    crash(1000);
}

#[test]
fn crash_while_the_key_is_made_or_changed() {
    for round in 0..20 {
        let dir = TempDir::new().unwrap();
        let books = dir.path().join("ledger");
        let mut child =
            Command::new(PROGRAM).args([JOURNAL_OPEN.as_ref(), books.as_os_str()]).spawn().unwrap();
        thread::sleep(Duration::from_micros(round * 1000));
        kill(&mut child);
        match Journal::open(&books, crash::options()) {
            Ok(_) => {}
            Err(OpenError::Key(KeyError::Io { .. })) => panic!("round {round}: no key"),
            Err(error) => panic!("round {round}: {error}"),
        }
    }
}

#[test]
fn full_disk_is_waited_for() {
    let output = Command::new(PROGRAM).arg(JOURNAL_FULL).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}
