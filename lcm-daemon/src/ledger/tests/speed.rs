//! How long a full verification takes. Run with
//! `cargo test --release -p lcm-daemon --lib -- --ignored --nocapture ten_million`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Instant;

use nix::time::{ClockId, clock_gettime};
use tempfile::TempDir;

use super::super::journal::{Journal, Options};
use super::super::reader::Reader;
use super::super::record::{
    AccountId, Body, Cause, Closed, Consent, Flow, Meter, Neighbour, Payment, Runs, Stamp,
};
use super::super::verify::{Expected, verify};
use super::started;

const FLOWS: u64 = 1_000_000;

struct Books {
    journal: Journal,
    at_ms: u64,
    records: u64,
}

impl Books {
    fn put(&mut self, body: &Body) {
        if self.journal.append(body).is_err() {
            self.journal.sync().unwrap();
            self.journal.append(body).unwrap();
        }
        self.records += 1;
        if self.records.is_multiple_of(500) {
            self.at_ms += 1_000;
            let stamp = Stamp { at_ms: self.at_ms, wall_ms: 1_700_000_000_000 + self.at_ms };
            self.put(&Body::Alive(stamp));
        }
    }

    fn consent(&mut self, flow: u64, ceiling: u64) {
        self.put(&Body::Consent(Consent {
            at_ms: self.at_ms,
            flow,
            payer: payer(flow),
            account: AccountId { kind: 2, id: Box::from(*b"customer@net.example") },
            ceiling,
            epoch: 1_700_000_000,
            sequence: 1_700_000_001,
            instance: 1_700_000_000,
            tariff: 1,
            digest: [7; 16],
        }));
    }

    fn runs(&mut self, flow: u64, rate: u64, cause: Cause) {
        let meter = Meter { flow, payment: Payment::ReceiverIn, neighbour: payer(flow) };
        self.put(&Body::Runs(Runs { at_ms: self.at_ms, meter, rate, cause }));
    }
}

fn payer(flow: u64) -> Neighbour {
    let last = u8::try_from(flow % 200).unwrap();
    Neighbour { interface: 2, address: [192, 0, 2, last].into() }
}

fn write(dir: &Path) -> u64 {
    let journal = Journal::open(dir, Options::default()).unwrap();
    let mut books = Books { journal, at_ms: 1_000, records: 0 };
    let mut rng = fastrand::Rng::with_seed(1);
    books.put(&started());
    for flow in 1..=FLOWS {
        books.put(&Body::Flow(Flow { flow, session: [1; 12].into(), sender: [2; 12].into() }));
        books.consent(flow, 1_000_000);
        books.runs(flow, 900_000, Cause::Terms);
    }
    for _ in 0..5 * FLOWS / 2 {
        let flow = rng.u64(1..=FLOWS);
        books.consent(flow, 2_000_000);
        books.runs(flow, rng.u64(1..1_000_000), Cause::Terms);
    }
    for flow in 1..=FLOWS {
        books.runs(flow, 0, Cause::Ended);
        let at_ms = books.at_ms;
        books.put(&Body::Closed(Closed { at_ms, flow, payer: payer(flow), orderly: true }));
    }
    books.journal.sync().unwrap();
    books.records
}

/// Seconds that it takes.
fn timed<T>(what: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = what();
    (done, start.elapsed().as_secs_f64())
}

/// Seconds for which this thread had a processor: without what other programs took.
fn busy() -> f64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    std::time::Duration::from(time).as_secs_f64()
}

fn read_plainly(dir: &Path) -> u64 {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let mut file = File::open(entry.unwrap().path()).unwrap();
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => bytes += u64::try_from(count).unwrap(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
    bytes
}

#[test]
#[ignore = "writes a gigabyte and measures; only of use when optimised"]
fn ten_million_records_are_verified_in_seconds() {
    let dir = TempDir::new().unwrap();
    let (records, writing) = timed(|| write(dir.path()));
    let (bytes, plain) = timed(|| read_plainly(dir.path()));
    let (_, chain) = timed(|| {
        let mut reader = Reader::open(dir.path()).unwrap();
        while let Some(step) = reader.advance() {
            step.unwrap();
        }
    });
    let (_, decoded) = timed(|| {
        let reader = Reader::open(dir.path()).unwrap();
        assert!(reader.map(Result::unwrap).count() as u64 >= records);
    });
    let before = busy();
    let (verified, whole) = timed(|| verify(dir.path(), Expected::default()).unwrap());
    let busy = busy() - before;
    println!(
        "{} records, {bytes} bytes; written in {writing:.1} s, read plainly in {plain:.1} s, \
         chain in {chain:.1} s, decoded in {decoded:.1} s, verified in {whole:.1} s, \
         {busy:.1} s of them at work; {} postings",
        verified.records,
        verified.replay.postings()
    );
    assert!(busy < 10.0, "{busy} s");
}
