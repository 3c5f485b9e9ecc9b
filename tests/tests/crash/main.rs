//! Processes that are killed while they write the journal: nothing acknowledged is lost, nothing
//! is there twice, and the chain holds, whatever becomes of the tail of the file.

#![cfg(test)]

mod books;
mod damage;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use lcm_daemon::ledger::journal::{Journal, OpenError};
use lcm_daemon::ledger::keys::KeyError;
use lcm_daemon::ledger::record::Body;
use lcm_tests::crash::{self, Phase, records};
use lcm_tests::node::{JOURNAL, JOURNAL_FULL, JOURNAL_OPEN};
use tempfile::TempDir;

use crate::damage::{PROGRAM, TAILS, Tail, damage, kill, run_and_kill};

#[derive(Debug, Default)]
struct Report {
    phases: BTreeMap<Phase, u32>,
    tails: BTreeMap<Tail, u32>,
    torn_found: u32,
    acknowledged: u64,
    /// Records that were durable without having been acknowledged.
    unannounced: u64,
}

fn is_counted(body: &Body) -> bool {
    matches!(body, Body::Consent(_) | Body::Runs(_))
}

/// The lives of one journal, one kill after the other.
fn history(seed: u64, kills: u32, report: &mut Report) {
    let mut rng = Rng::with_seed(seed);
    let dir = TempDir::new().unwrap();
    let (books, phase) = (dir.path().join("ledger"), dir.path().join("phase"));
    let mut stored = 0;
    for round in 0..kills {
        let context = format!("seed {seed}, kill {round}");
        let (seed, first) = (rng.u32(..).to_string(), (stored + 1).to_string());
        let arguments = [JOURNAL.as_ref(), books.as_os_str(), phase.as_os_str()];
        let arguments = [&arguments[..], &[seed.as_ref(), first.as_ref()]].concat();
        let acknowledged = run_and_kill(&arguments, &phase, 1, &mut rng).unwrap_or(stored);
        let killed_in = Phase::of(fs::read(&phase).unwrap()[0]).unwrap();
        *report.phases.entry(killed_in).or_default() += 1;
        report.acknowledged += acknowledged - stored;
        if !books.exists() {
            continue;
        }
        let tail = rng.choice(TAILS).unwrap();
        *report.tails.entry(tail).or_default() += 1;
        let deep = damage(&books, tail, (acknowledged, is_counted), &mut rng).is_some();

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

/// The service's umask is made for its socket; whoever runs as root would not notice.
#[test]
fn a_directory_can_be_entered_whatever_the_umask() {
    let dir = TempDir::new().unwrap();
    let books = dir.path().join("books").join("ledger");
    let words = [PROGRAM.as_ref(), JOURNAL_OPEN.as_ref(), books.as_os_str()];
    let script = ["-c", "umask 0177; exec \"$@\"", "sh"];
    assert!(Command::new("sh").args(script).args(words).status().unwrap().success());
    for made in [books.as_path(), books.parent().unwrap()] {
        assert_eq!(fs::metadata(made).unwrap().permissions().mode() & 0o777, 0o700, "{made:?}");
    }
}

#[test]
fn full_disk_is_waited_for() {
    let output = Command::new(PROGRAM).arg(JOURNAL_FULL).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}
