//! Processes that write a journal and are killed, for the tests `crash_*`.

pub mod books;

use std::error::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use lcm_daemon::lab;
use lcm_daemon::ledger::journal::{Journal, OpenError, Options};
use lcm_daemon::ledger::reader::Reader;
use lcm_daemon::ledger::record::{
    AccountId, Body, Cause, Consent, Meter, Neighbour, Payment, Runs, Stamp,
};
use lcm_daemon::ledger::sign::Signer;
use lcm_daemon::ledger::storage::{Disk, Storage, Stored};
use lcm_daemon::ledger::writer::{Event, Settings, Writer};
use nix::mount::{MsFlags, mount};
use tokio::sync::mpsc::{self, UnboundedReceiver};

/// Where a process was in its work: a byte of a file, which outlives the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// It finds the end of the journal.
    Opening = b'o',
    /// A batch is submitted and not written yet.
    BeforeWrite = b'w',
    /// It is written and not durable yet.
    BeforeSync = b's',
    /// It is durable and not acknowledged yet.
    BeforeAcknowledgement = b'a',
    /// It is acknowledged, and the next one not submitted yet.
    After = b'd',
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Opening,
        Self::BeforeWrite,
        Self::BeforeSync,
        Self::BeforeAcknowledgement,
        Self::After,
    ];

    /// The phase that this byte stands for.
    #[must_use]
    pub fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| *phase as u8 == byte)
    }
}

/// The record of this number: consents and turns of meters.
#[must_use]
pub fn record(id: u64) -> Body {
    let neighbour = Neighbour { interface: 2, address: [192, 0, 2, 1].into() };
    if id.is_multiple_of(3) {
        let meter = Meter { flow: id, payment: Payment::ReceiverIn, neighbour };
        return Body::Runs(Runs { at_ms: id, meter, rate: id, cause: Cause::Terms });
    }
    Body::Consent(Consent {
        at_ms: id,
        flow: id % 1000,
        payer: neighbour,
        account: AccountId { kind: 1, id: b"customer-4711".as_slice().into() },
        ceiling: 1_000_000_000_000 + id,
        epoch: 1_767_225_600,
        sequence: 1_767_225_600 + u32::try_from(id % 1_000_000).unwrap_or_default(),
        instance: 1_767_225_600,
        tariff: 3,
        digest: [u8::try_from(id % 251).unwrap_or_default(); 16],
    })
}

/// The numbers of the records in a directory, in order, and the fault behind them. Each must be
/// what [`record`] says.
///
/// # Errors
///
/// If it cannot be read, or a record is another one.
pub fn records(dir: &Path) -> Result<(Vec<u64>, Option<lcm_daemon::ledger::fault::Fault>), String> {
    let mut ids = Vec::new();
    for found in Reader::open(dir).map_err(|error| error.to_string())? {
        let body = match found {
            Ok((_, body)) => body,
            Err(fault) => return Ok((ids, Some(fault))),
        };
        let id = match &body {
            Body::Consent(consent) => consent.at_ms,
            Body::Runs(runs) => runs.at_ms,
            _ => continue,
        };
        if body != record(id) {
            return Err(format!("record {id} is another one: {body:?}"));
        }
        ids.push(id);
    }
    Ok((ids, None))
}

/// The key that signs these journals.
#[must_use]
pub fn signer() -> Signer {
    Signer::new(&[42; 32])
}

/// How these journals are kept: in short files.
#[must_use]
pub fn options() -> Options {
    Options { segment_bytes: 20_000, ..Options::default() }
}

/// Opens such a journal.
///
/// # Errors
///
/// As [`Journal::on`].
pub fn open(dir: &Path) -> Result<Journal, OpenError> {
    Journal::on(Disk::claim(dir).map_err(OpenError::Refused)?, options(), signer())
}

/// A process that writes until it is killed: `DIR PHASE SEED FIRST`. The number of the last
/// acknowledged record goes to standard output, a line each time; the phase into the file PHASE.
pub(crate) fn writer(arguments: Vec<OsString>) -> ExitCode {
    finish(write_on(&arguments))
}

/// A process that opens a new journal with a new key and writes one record: `DIR`.
pub(crate) fn opener(arguments: Vec<OsString>) -> ExitCode {
    finish(open_new(&arguments))
}

/// A process on a file system of its own that is full for a while.
pub(crate) fn full_disk(_: Vec<OsString>) -> ExitCode {
    finish(fill_and_free())
}

fn finish(result: Result<(), Box<dyn Error>>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn write_on(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    let [dir, phase, seed, first] = arguments else {
        return Err("usage: DIR PHASE SEED FIRST".into());
    };
    let number = |text: &OsString| text.to_str().unwrap_or_default().parse::<u64>();
    let (dir, mut rng, mut id) = (Path::new(dir), Rng::with_seed(number(seed)?), number(first)?);
    let clock = Phases { file: File::options().write(true).open(phase)?, seed: rng.u64(..) };
    clock.enter(Phase::Opening)?;
    let disk = Disk::claim(dir)?;
    let watched = Watched { disk, phases: clock.share()? };
    let journal = Journal::on(watched, options(), signer())?;
    let (events, mut heard) = mpsc::unbounded_channel();
    let mut writer = Writer::start(journal, Settings::default(), events)?;
    let mut stdout = io::stdout().lock();
    loop {
        clock.enter(Phase::BeforeWrite)?;
        for _ in 0..rng.u32(1..60) {
            writer.submit(id, &record(id))?;
            id += 1;
        }
        if rng.u8(..) < 60 {
            writer.note(&Body::Alive(Stamp { at_ms: id, wall_ms: id }))?;
        }
        let last = id - 1;
        while wait(&mut heard)? < last {}
        writeln!(stdout, "{last}")?;
        stdout.flush()?;
        clock.enter(Phase::After)?;
    }
}

fn wait(heard: &mut UnboundedReceiver<Event>) -> Result<u64, String> {
    match heard.blocking_recv() {
        Some(Event::Durable(id)) => Ok(id),
        Some(Event::Slow | Event::Swift) => Ok(0),
        other => Err(format!("{other:?}")),
    }
}

fn open_new(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    let dir = arguments.first().ok_or("usage: DIR")?;
    let mut journal = Journal::open(Path::new(dir), options())?;
    journal.append(&record(1))?;
    journal.sync()?;
    journal.rotate_key()?;
    Ok(())
}

/// Says which phase it is, and stays there for a moment, so that all phases can be hit.
#[derive(Debug)]
struct Phases {
    file: File,
    seed: u64,
}

impl Phases {
    fn share(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, seed: self.seed })
    }

    fn enter(&self, phase: Phase) -> io::Result<()> {
        self.file.write_at(&[phase as u8], 0)?;
        thread::sleep(Duration::from_micros(self.seed % 400));
        Ok(())
    }
}

/// A disk that says when it has written and synced.
#[derive(Debug)]
struct Watched {
    disk: Disk,
    phases: Phases,
}

#[derive(Debug)]
struct WatchedFile {
    file: File,
    phases: Phases,
}

impl Watched {
    fn watch(&self, file: File) -> io::Result<WatchedFile> {
        Ok(WatchedFile { file, phases: self.phases.share()? })
    }
}

impl Storage for Watched {
    type File = WatchedFile;

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.disk.names()
    }

    fn create(&self, name: &str) -> io::Result<WatchedFile> {
        self.watch(self.disk.create(name)?)
    }

    fn open(&self, name: &str, write: bool) -> io::Result<WatchedFile> {
        self.watch(self.disk.open(name, write)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.disk.sync_names()
    }

    fn in_use(&self) -> bool {
        self.disk.in_use()
    }
}

impl Stored for WatchedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        Stored::read_at(&self.file, offset, into)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let count = Stored::write_at(&mut self.file, offset, bytes)?;
        // What stands in front of the frames of a file is its header, and no record.
        if offset > 0 {
            self.phases.enter(Phase::BeforeSync)?;
        }
        Ok(count)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        if self.file.length()? > 58 {
            self.phases.enter(Phase::BeforeAcknowledgement)?;
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn forget(&self) {
        self.file.forget();
    }
}

/// A file system of 256 KiB: full while records are submitted, then with space again.
fn fill_and_free() -> Result<(), Box<dyn Error>> {
    lab::enter(&[])?;
    let dir = lab::scratch_dir()?.join("small");
    fs::create_dir(&dir)?;
    let (none, size) = (MsFlags::empty(), Some("size=256k"));
    mount(Some("lcm-small"), &dir, Some("tmpfs"), none, size)?;
    let books = dir.join("ledger");
    let (events, mut heard) = mpsc::unbounded_channel();
    let journal = Journal::open(&books, Options::default())?;
    let mut writer = Writer::start(journal, Settings::default(), events)?;
    writer.submit(1, &record(1))?;
    while wait(&mut heard)? < 1 {}

    let ballast = dir.join("ballast");
    let mut filled = File::create(&ballast)?;
    while filled.write_all(&[1; 4096]).is_ok() {}
    // What was taken before the disk was full may fit into the page that was begun.
    let last = 500;
    let mut failed = String::new();
    for id in 2..=last {
        writer.submit(id, &record(id))?;
    }
    let mut durable = 0;
    while failed.is_empty() {
        match heard.blocking_recv() {
            Some(Event::Failed { error }) => failed = error,
            Some(Event::Durable(id)) if id < last => durable = id,
            Some(Event::Slow | Event::Swift) => {}
            other => return Err(format!("{other:?} on a full disk").into()),
        }
    }
    if !failed.contains("os error 28") {
        return Err(failed.into());
    }
    drop(filled);
    fs::remove_file(&ballast)?;
    let mut recovered = false;
    while durable < last {
        match heard.blocking_recv() {
            Some(Event::Recovered) => recovered = true,
            Some(Event::Durable(id)) if recovered => durable = id,
            Some(Event::Slow | Event::Swift) => {}
            other => return Err(format!("{other:?} when there is space again").into()),
        }
    }
    writer.stop()?;
    let (found, fault) = records(&books)?;
    if fault.is_some() || found != (1..=last).collect::<Vec<_>>() {
        return Err(format!("{fault:?} after {} records", found.len()).into());
    }
    Ok(())
}
