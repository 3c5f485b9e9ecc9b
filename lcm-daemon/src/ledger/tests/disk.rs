//! On the machine's disk.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;

use super::super::fault::Wrong;
use super::super::journal::{Journal, OpenError, Options};
use super::super::keys::KeyError;
use super::super::lock::Refused;
use super::super::reader::Reader;
use super::super::record::{Body, Period, Stamp};
use super::super::segment;
use super::super::sign::Signatures;
use super::super::writer::{Event, Settings, Writer};
use super::{next_event, sample, started};

fn open(dir: &Path) -> Journal {
    Journal::open(dir, Options::default()).unwrap()
}

/// All records but those that the journal writes for itself; signatures are checked.
fn read(dir: &Path) -> Vec<Body> {
    let mut reader = Reader::open(dir).unwrap();
    let mut signatures = Signatures::new();
    let mut all = Vec::new();
    let mut expected = 0;
    while let Some(record) = reader.next() {
        let (number, body) = record.unwrap();
        expected += 1;
        assert_eq!(number, expected);
        signatures.check(number, reader.before(), &body).unwrap();
        all.push(body);
    }
    all.retain(|body| !matches!(body, Body::Key(_) | Body::Head(_)));
    all
}

#[test]
fn records_read_back_in_order_over_restarts() {
    let dir = TempDir::new().unwrap();
    let mut expected = Vec::new();
    for round in 0..5 {
        let mut journal = open(dir.path());
        for n in 0..700 {
            let body = sample(round * 1000 + n);
            journal.append(&body).unwrap();
            expected.push(body);
        }
        journal.sync().unwrap();
        assert_eq!(journal.durable(), journal.appended());
    }
    assert_eq!(read(dir.path()), expected);
    let journal = open(dir.path());
    assert_eq!(journal.last().proved, Some(Stamp { at_ms: 4696, wall_ms: 1_004_696 }));
    assert!(!journal.last().orderly);
}

#[test]
fn what_was_proved_is_found_in_older_files() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    let stamp = Stamp { at_ms: 9, wall_ms: 10 };
    for body in [started(), Body::Stopped(stamp), Body::Period(Period { number: 1, stamp })] {
        journal.append(&body).unwrap();
    }
    journal.sync().unwrap();
    journal.append(&sample(1)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    assert!(dir.path().join(segment::name(6)).exists(), "a period ends a file");
    let journal = open(dir.path());
    let last = journal.last();
    assert_eq!((last.proved, last.boot, last.orderly), (Some(stamp), Some([3; 16]), true));
    assert_eq!(last.number, 7);
    assert_eq!(read(dir.path()).len(), 4);
}

#[test]
fn a_second_writer_is_refused_and_told_who_writes() {
    let dir = TempDir::new().unwrap();
    let journal = open(dir.path());
    match Journal::open(dir.path(), Options::default()) {
        Err(OpenError::Refused(Refused::Taken { pid, .. })) => {
            assert_eq!(pid, Some(std::process::id()));
        }
        other => panic!("{other:?}"),
    }
    drop(journal);
    open(dir.path());
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.append(&sample(1)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let path = dir.path().join(segment::name(1));
    let mut bytes = fs::read(&path).unwrap();
    bytes[9] = 200;
    bytes.extend([0; 10]);
    fs::write(&path, &bytes).unwrap();
    let error = Journal::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(&error, OpenError::Newer(_)), "{error}");
    assert!(error.to_string().contains("200"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let fault = Reader::open(dir.path()).unwrap().next().unwrap().unwrap_err();
    assert_eq!(fault.wrong, Wrong::Newer { version: 200 });
}

#[test]
fn a_key_that_others_may_read_is_refused() {
    let dir = TempDir::new().unwrap();
    drop(open(dir.path()));
    let key = dir.path().join("signing.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = Journal::open(dir.path(), Options::default()).unwrap_err();
    assert!(matches!(error, OpenError::Key(KeyError::Permissions { mode: 0o640, .. })), "{error}");
}

#[test]
fn a_journal_without_its_key_is_refused() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    journal.append(&sample(1)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let key = dir.path().join("signing.key");
    fs::remove_file(&key).unwrap();
    for _ in 0..2 {
        let error = Journal::open(dir.path(), Options::default()).unwrap_err();
        assert!(matches!(error, OpenError::Key(KeyError::Other { .. })), "{error}");
        fs::write(&key, "00".repeat(32)).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
}

#[test]
fn keys_are_rotated() {
    let dir = TempDir::new().unwrap();
    let mut journal = open(dir.path());
    let old = journal.key();
    journal.append(&sample(1)).unwrap();
    let new = journal.rotate_key().unwrap();
    assert_ne!(old, new);
    journal.append(&sample(2)).unwrap();
    journal.sign();
    journal.sync().unwrap();
    drop(journal);
    assert_eq!(open(dir.path()).key(), new);
    assert_eq!(read(dir.path()).len(), 2);
}

#[test]
fn the_thread_acknowledges_what_is_durable() {
    let dir = TempDir::new().unwrap();
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut writer = Writer::start(open(dir.path()), Settings::default(), events).unwrap();
    let bodies: Vec<Body> = (0..20_000).map(sample).collect();
    for (id, body) in (1..).zip(&bodies) {
        writer.submit(id, body).unwrap();
    }
    let mut durable = 0;
    while durable < 20_000 {
        match next_event(&mut heard) {
            Event::Durable(id) => {
                assert!(id > durable);
                durable = id;
            }
            other => panic!("{other:?}"),
        }
    }
    writer.stop().unwrap();
    assert_eq!(read(dir.path()), bodies);
}

#[test]
fn the_thread_signs_and_changes_its_key() {
    let dir = TempDir::new().unwrap();
    let (events, mut heard) = mpsc::unbounded_channel();
    let settings = Settings { head: Duration::from_millis(1), ..Settings::default() };
    let mut writer = Writer::start(open(dir.path()), settings, events).unwrap();
    writer.submit(1, &sample(1)).unwrap();
    assert_eq!(next_event(&mut heard), Event::Durable(1));
    writer.rotate_key();
    let Event::KeyRotated(Ok(key)) = next_event(&mut heard) else {
        panic!("no other key");
    };
    writer.submit(2, &sample(2)).unwrap();
    writer.stop().unwrap();
    assert_eq!(open(dir.path()).key(), key);
    assert_eq!(read(dir.path()), [sample(1), sample(2)]);
    let heads =
        Reader::open(dir.path()).unwrap().filter(|record| matches!(record, Ok((_, Body::Head(_)))));
    assert!(heads.count() >= 1);
}

#[test]
fn a_journal_is_read_while_it_is_written() {
    let dir = TempDir::new().unwrap();
    let options = Options { segment_bytes: 3000, ..Options::default() };
    let mut journal = Journal::open(dir.path(), options).unwrap();
    let writer = thread::spawn(move || {
        for n in 0..400 {
            for m in 0..10 {
                journal.append(&sample(n * 10 + m)).unwrap();
            }
            journal.sync().unwrap();
        }
    });
    let mut rounds = 0;
    let mut seen = 0;
    while !writer.is_finished() || rounds == 0 {
        let found = read(dir.path());
        assert!(found.len() >= seen);
        assert_eq!(found, (0..u64::try_from(found.len()).unwrap()).map(sample).collect::<Vec<_>>());
        seen = found.len();
        rounds += 1;
    }
    writer.join().unwrap();
    assert_eq!(read(dir.path()).len(), 4000);
}
