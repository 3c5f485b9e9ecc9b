//! A journal lives through faults, deaths of its process and power losses.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use super::super::fault::Wrong;
use super::super::journal::{Journal, OpenError, Options};
use super::super::reader::{BATCH_BYTES, Reader};
use super::super::record::Body;
use super::super::repair::repair_on;
use super::super::segment;
use super::super::sign::{Signatures, Signer};
use super::super::storage::Storage as _;
use super::super::writer::{Event, Settings, SubmitError, Writer};
use super::sim::Sim;
use super::{next_event, sample};

fn options(segment_bytes: u64) -> Options {
    Options { segment_bytes, wall: || 1_700_000_000_000 }
}

fn open(sim: &Sim, segment_bytes: u64) -> Result<Journal<Sim>, OpenError> {
    Journal::on(sim.clone(), options(segment_bytes), Signer::new(&[5; 32]))
}

/// All records but the journal's own, and what is wrong behind them.
fn read(sim: &Sim) -> (Vec<Body>, Option<super::super::fault::Fault>) {
    let mut reader = Reader::on(sim, false).unwrap();
    let mut signatures = Signatures::new();
    let mut all = Vec::new();
    while let Some(record) = reader.next() {
        match record {
            Ok((number, body)) => {
                signatures.check(number, reader.before(), &body).unwrap();
                if !matches!(body, Body::Key(_) | Body::Head(_)) {
                    all.push(body);
                }
            }
            Err(fault) => return (all, Some(fault)),
        }
    }
    (all, None)
}

/// What happened in the lives of a journal.
#[derive(Debug, Default)]
struct Seen {
    failures: u32,
    torn: u32,
    powerless: u32,
    killed: u32,
    segments: usize,
}

/// The lives of one journal; an error says what was lost, doubled or unreadable.
fn live(seed: u64, lying: bool, seen: &mut Seen) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let sim = Sim::new(rng.u64(..));
    sim.state().lying = lying;
    let segment_bytes = rng.u64(200..6000);
    let mut submitted: Vec<Body> = Vec::new();
    let mut acknowledged = 0;
    for life in 0..rng.u32(2..7) {
        // It may take more than one attempt to open, as the disk fails.
        sim.state().failing = if rng.bool() { 0.2 } else { 0.0 };
        let mut journal = loop {
            match open(&sim, segment_bytes) {
                Ok(journal) => break journal,
                Err(OpenError::Io { .. }) => sim.state().failing /= 2.0,
                Err(error) => return Err(format!("life {life}: does not open: {error}")),
            }
        };
        seen.torn += u32::from(journal.last().torn.is_some());
        let (found, fault) = read(&sim);
        match fault {
            Some(fault) if !fault.is_torn_tail() => return Err(format!("life {life}: {fault}")),
            _ => {}
        }
        if found.len() < acknowledged || found != submitted[..found.len().min(submitted.len())] {
            let count = found.len();
            return Err(format!("life {life}: {count} of {acknowledged} acknowledged records"));
        }
        // What was found once must remain too.
        submitted.truncate(found.len());
        acknowledged = found.len();
        if rng.bool() {
            sim.state().dies_in = Some(rng.u32(0..60));
        }
        for _ in 0..rng.u32(0..40) {
            for _ in 0..rng.usize(0..12) {
                let body = sample(u64::try_from(submitted.len()).unwrap());
                journal.append(&body).map_err(|error| error.to_string())?;
                submitted.push(body);
            }
            sim.state().failing = if rng.u8(..) < 60 { 0.3 } else { 0.0 };
            match journal.sync() {
                Ok(()) => acknowledged = submitted.len(),
                Err(_) => seen.failures += 1,
            }
        }
        drop(journal);
        if rng.bool() {
            seen.powerless += 1;
            sim.lose_power();
        } else {
            seen.killed += 1;
            sim.restart();
        }
    }
    let names = sim.names().map_err(|error| error.to_string())?;
    seen.segments += names.iter().filter(|name| segment::first_of(name).is_some()).count();
    Ok(())
}

#[test]
fn nothing_acknowledged_is_lost_by_faults_deaths_and_power_losses() {
    let runs = std::env::var("LEDGER_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let mut seen = Seen::default();
    for seed in 0..runs {
        if let Err(error) = live(seed, false, &mut seen) {
            panic!("seed {seed}: {error}");
        }
    }
    println!("{runs} journals: {seen:?}");
    let Seen { failures, torn, powerless, killed, segments } = seen;
    assert!(failures > 500 && torn > 50 && powerless > 1000 && killed > 1000);
    assert!(segments > 5000);
}

#[test]
fn a_sync_that_lies_is_found_out() {
    let mut seen = Seen::default();
    let found = (0..300).filter(|seed| live(*seed, true, &mut seen).is_err()).count();
    assert!(found > 100, "{found} of 300");
}

/// Names and contents.
type Files = Vec<(String, Vec<u8>)>;

/// A journal of several files, and its records.
fn small() -> (Files, Vec<Body>) {
    let sim = Sim::new(1);
    let mut journal = open(&sim, 400).unwrap();
    let bodies: Vec<Body> = (0..30).map(sample).collect();
    for some in bodies.chunks(3) {
        for body in some {
            journal.append(body).unwrap();
        }
        journal.sync().unwrap();
    }
    let files: Vec<_> = sim
        .names()
        .unwrap()
        .into_iter()
        .filter(|name| segment::first_of(name).is_some())
        .map(|name| (name.clone(), sim.read(&name)))
        .collect();
    assert!(files.len() > 2, "{}", files.len());
    (files, bodies)
}

fn with(files: &[(String, Vec<u8>)], changed: usize, bytes: &[u8]) -> Sim {
    let sim = Sim::new(2);
    for (place, (name, whole)) in files.iter().enumerate() {
        sim.put(name, if place == changed { bytes } else { whole });
    }
    sim
}

#[test]
fn a_byte_changed_anywhere_is_found() {
    let (files, bodies) = small();
    for (place, (name, whole)) in files.iter().enumerate() {
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            let sim = with(&files, place, &bytes);
            let (found, fault) = read(&sim);
            let fault = fault.unwrap_or_else(|| panic!("{name}, byte {at} is not missed"));
            assert_eq!(fault.file.to_str(), Some(name.as_str()));
            assert!(fault.offset <= u64::try_from(at).unwrap(), "{fault}, byte {at}");
            assert_eq!(found, bodies[..found.len()]);
            // Nothing else than the end can be taken for a torn tail.
            assert_eq!(
                fault.is_torn_tail(),
                place + 1 == files.len() && at >= segment::HEADER,
                "{fault}"
            );
            match open(&sim, 400) {
                Ok(_) => assert_eq!(read(&sim).0, found),
                Err(error) => assert!(at < segment::HEADER, "{error}"),
            }
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_found_or_a_whole_prefix() {
    let (files, bodies) = small();
    for (place, (name, whole)) in files.iter().enumerate() {
        for length in 0..whole.len() {
            let sim = with(&files, place, &whole[..length]);
            let (found, fault) = read(&sim);
            assert_eq!(found, bodies[..found.len()]);
            let last = place + 1 == files.len();
            match fault {
                Some(fault) if !last => assert!(!fault.is_torn_tail(), "{fault}"),
                Some(fault) => assert_eq!(fault.is_torn_tail(), length >= segment::HEADER),
                None => assert!(last, "{name} cut at {length} is not missed"),
            }
            if last && length >= segment::HEADER {
                let mut journal = open(&sim, 400).unwrap();
                journal.append(&sample(100)).unwrap();
                journal.sync().unwrap();
                let (again, fault) = read(&sim);
                assert!(fault.is_none(), "{fault:?}");
                assert_eq!(again, [found, vec![sample(100)]].concat());
            }
        }
    }
}

#[test]
fn a_file_that_is_missing_is_found() {
    let (files, _) = small();
    for place in 1..files.len() - 1 {
        let mut rest = files.clone();
        rest.remove(place);
        let (_, fault) = read(&with(&rest, usize::MAX, &[]));
        let next = segment::first_of(&files[place + 1].0).unwrap();
        assert_eq!(fault.unwrap().wrong, Wrong::Gap { first: next });
    }
}

#[test]
fn more_than_a_torn_tail_is_refused_and_repaired_on_demand() {
    let sim = Sim::new(1);
    let mut journal = open(&sim, u64::MAX).unwrap();
    let mut total = 0;
    while total < BATCH_BYTES + 20_000 {
        total += 1000 * 30;
        for n in 0..1000 {
            journal.append(&sample(n)).unwrap();
        }
        journal.sync().unwrap();
    }
    drop(journal);
    let name = segment::name(1);
    let mut bytes = sim.read(&name);
    bytes[3000] ^= 1;
    sim.put(&name, &bytes);
    let error = open(&sim, u64::MAX).unwrap_err();
    assert!(matches!(&error, OpenError::Damaged(fault) if fault.wrong == Wrong::Record));
    assert!(error.to_string().contains("lcmctl ledger repair"), "{error}");
    assert_eq!(sim.read(&name), bytes);

    let before = read(&sim).0;
    let repaired = repair_on(&sim).unwrap().unwrap();
    assert_eq!(repaired.aside.len(), 1);
    let aside = sim.read(repaired.aside[0].to_str().unwrap());
    assert_eq!([sim.read(&name), aside].concat(), bytes);
    assert!(repair_on(&sim).unwrap().is_none());
    let journal = open(&sim, u64::MAX).unwrap();
    assert_eq!(journal.durable(), repaired.kept);
    let (after, fault) = read(&sim);
    assert!(fault.is_none());
    assert_eq!(after, before);
}

#[test]
fn repair_puts_later_files_aside() {
    let (files, _) = small();
    let sim = with(&files, usize::MAX, &[]);
    let (name, whole) = &files[1];
    let mut bytes = whole.clone();
    bytes[100] ^= 1;
    sim.put(name, &bytes);
    let before = read(&sim).0;
    let repaired = repair_on(&sim).unwrap().unwrap();
    assert_eq!(repaired.aside.len(), files.len() - 1);
    let (after, fault) = read(&sim);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(after, before);
    open(&sim, 400).unwrap();
}

#[test]
fn a_reader_follows_a_journal_whose_disk_fails() {
    let mut superseded = 0;
    for seed in 0..50 {
        let sim = Sim::new(seed);
        let mut journal = open(&sim, 10_000).unwrap();
        let mut write = |from: u64, to: u64| {
            for n in from..to {
                journal.append(&sample(n)).unwrap();
            }
            journal.sync().is_ok()
        };
        assert!(write(0, 5));
        sim.state().failing_syncs = true;
        let reader = Reader::on(&sim, true).unwrap();
        let mut reader = reader.filter(|record| !matches!(record, Ok((_, Body::Key(_)))));
        let mut found: Vec<Body> = reader.by_ref().take(4).map(|it| it.unwrap().1).collect();
        assert!(!write(5, 30));
        // Of what failed, the reader sees what became of it on the disk.
        found.extend(reader.by_ref().take(3).map_while(|it| Some(it.ok()?.1)));
        let torn = found.len() < 7;
        superseded += u32::from(!torn);
        sim.state().failing_syncs = false;
        assert!(write(30, 40));
        if !torn {
            found.extend(reader.map(|it| it.unwrap().1));
            assert_eq!(found, (0..40).map(sample).collect::<Vec<_>>(), "seed {seed}");
        }
        assert_eq!(read(&sim).0, (0..40).map(sample).collect::<Vec<_>>());
    }
    assert!(superseded > 5, "{superseded}");
}

fn settings() -> Settings {
    Settings {
        queue_bytes: 4000,
        slow: Duration::from_millis(40),
        retry: Duration::from_millis(5),
        ..Settings::default()
    }
}

fn wait_for(heard: &mut UnboundedReceiver<Event>, wanted: &Event) -> Vec<Event> {
    let mut before = Vec::new();
    loop {
        match heard.blocking_recv().unwrap() {
            event if event == *wanted => return before,
            event => before.push(event),
        }
    }
}

#[test]
fn a_disk_that_fails_is_waited_for() {
    let sim = Sim::new(3);
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut writer = Writer::start(open(&sim, 2000).unwrap(), settings(), events).unwrap();
    writer.submit(1, &sample(1)).unwrap();
    wait_for(&mut heard, &Event::Durable(1));
    sim.state().failing = 1.0;
    let mut id = 1;
    let refused = loop {
        if let Err(error) = writer.submit(id + 1, &sample(id + 1)) {
            break error;
        }
        id += 1;
    };
    assert_eq!(refused, SubmitError::Full);
    match next_event(&mut heard) {
        Event::Failed { error } => assert!(!error.is_empty()),
        other => panic!("{other:?}"),
    }
    assert!(writer.waiting().is_some());
    sim.state().failing = 0.0;
    let before = wait_for(&mut heard, &Event::Recovered);
    assert!(before.iter().all(|e| matches!(e, Event::Slow | Event::Swift)), "{before:?}");
    wait_for(&mut heard, &Event::Durable(id));
    writer.submit(id + 1, &sample(id + 1)).unwrap();
    writer.stop().unwrap();
    let (found, fault) = read(&sim);
    assert!(fault.is_none(), "{fault:?}");
    assert_eq!(found, (1..=id + 1).map(sample).collect::<Vec<_>>());
}

#[test]
fn a_slow_disk_is_told_of() {
    let sim = Sim::new(3);
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut writer = Writer::start(open(&sim, 2000).unwrap(), settings(), events).unwrap();
    sim.stick(true);
    writer.submit(1, &sample(1)).unwrap();
    assert_eq!(heard.blocking_recv(), Some(Event::Slow));
    sim.stick(false);
    wait_for(&mut heard, &Event::Swift);
    writer.stop().unwrap();
}

#[test]
fn a_thread_that_ends_on_a_bad_disk_says_what_it_gave_up() {
    let sim = Sim::new(3);
    let (events, _heard) = mpsc::unbounded_channel();
    let mut writer = Writer::start(open(&sim, 2000).unwrap(), settings(), events).unwrap();
    sim.state().failing = 1.0;
    for id in 0..5 {
        writer.submit(id, &sample(id)).unwrap();
    }
    assert!(writer.stop().unwrap_err().records >= 5);
}
