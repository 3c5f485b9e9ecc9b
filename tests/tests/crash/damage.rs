//! What is done to a process that writes a journal, and to its files.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use lcm_daemon::ledger::reader::Reader;
use lcm_daemon::ledger::record::Body;
use lcm_daemon::ledger::segment;
use lcm_tests::crash::Phase;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_lcm-node");

/// What is done to the end of the newest file after a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tail {
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

pub(crate) const TAILS: [Tail; 5] = [Tail::Left, Tail::Torn, Tail::Cut, Tail::Flipped, Tail::Deep];

/// The end of the newest file.
struct End {
    file: PathBuf,
    /// The offset behind the record that ends the acknowledged ones.
    behind: u64,
    length: u64,
    /// Number and end of each record of the file.
    records: Vec<(u64, u64)>,
}

/// The end of a journal of which so many records that `counts` are acknowledged.
fn end_of(dir: &Path, acknowledged: u64, counts: fn(&Body) -> bool) -> End {
    let newest = fs::read_dir(dir)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| segment::first_of(name).is_some())
        .max();
    let file = newest.map(|name| dir.join(name)).unwrap_or_default();
    let length = fs::metadata(&file).map_or(0, |metadata| metadata.len());
    let mut end = End { file, behind: segment::HEADER as u64, length, records: Vec::new() };
    let mut reader = Reader::open(dir).unwrap();
    let mut seen = 0;
    while let Some(Ok((number, body))) = reader.next() {
        let (file, offset) = reader.place().unwrap();
        let here = file == end.file;
        if here {
            end.records.push((number, offset));
        }
        if !counts(&body) {
            continue;
        }
        seen += 1;
        if seen <= acknowledged && here {
            end.behind = offset;
        }
    }
    end
}

/// Damages the tail; if what was acknowledged was hit, the number of the record.
pub(crate) fn damage(
    dir: &Path,
    tail: Tail,
    (acknowledged, counts): (u64, fn(&Body) -> bool),
    rng: &mut Rng,
) -> Option<u64> {
    let end = end_of(dir, acknowledged, counts);
    if end.length < segment::HEADER as u64 || tail == Tail::Left {
        return None;
    }
    let mut bytes = fs::read(&end.file).unwrap();
    let behind = usize::try_from(end.behind).unwrap();
    let mut garbage: Vec<u8> = (0..rng.usize(1..3000)).map(|_| rng.u8(..)).collect();
    let mut deep = None;
    match tail {
        Tail::Cut if behind < bytes.len() => bytes.truncate(rng.usize(behind..bytes.len())),
        Tail::Flipped if behind < bytes.len() => {
            let at = rng.usize(behind..bytes.len());
            bytes[at] ^= 1 << rng.u8(0..8);
        }
        Tail::Deep if behind > segment::HEADER => {
            let at = rng.usize(segment::HEADER..behind);
            bytes[at] ^= 1 << rng.u8(0..8);
            let hit = end.records.iter().find(|(_, end)| *end > at as u64);
            deep = Some(hit.unwrap().0);
        }
        // There is nothing behind: the next record is begun.
        _ => {
            if rng.bool() {
                garbage.fill(0);
            }
            bytes.extend(garbage);
        }
    }
    fs::write(&end.file, bytes).unwrap();
    deep
}

/// Runs a writer, kills it within a few milliseconds of so many acknowledgements (or before the
/// first), and returns the number of the last record that it acknowledged.
pub(crate) fn run_and_kill(
    arguments: &[&OsStr],
    phase: &Path,
    acknowledgements: usize,
    rng: &mut Rng,
) -> Option<u64> {
    fs::write(phase, [Phase::Opening as u8]).unwrap();
    let mut child = Command::new(PROGRAM).args(arguments).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    // Some die before they have opened the journal.
    if rng.u8(..) < 235 {
        for _ in 0..acknowledgements {
            if stdout.read_line(&mut text).unwrap() == 0 {
                break;
            }
        }
    }
    thread::sleep(Duration::from_micros(rng.u64(0..15_000)));
    kill(&mut child);
    stdout.read_to_string(&mut text).unwrap();
    // A line that was cut off is an acknowledgement that nobody got.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().last().map(|line| line.parse().unwrap())
}

pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.signal().is_some() || status.success(), "it ended before: {status}");
}
