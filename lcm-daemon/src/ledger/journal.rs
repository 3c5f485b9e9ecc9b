//! Writing a journal: batches of records, each durable as a whole or written again elsewhere.
//!
//! Records are appended to a batch in memory, where they get their numbers and their places in the
//! chain, and [`sync`](Journal::sync) makes them durable. If that fails, the file is not touched
//! again (after a failed fsync, what memory holds of it may differ from the disk): the next
//! attempt writes the same batch into a new file, whose records supersede what the old one has
//! behind the last durable record. So nothing is there twice, and nothing acknowledged is lost.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{error, fmt, io};

use super::fault::{Fault, Wrong};
use super::frame::{self, GENESIS, Hash};
use super::keys::{self, KeyError};
use super::lock;
use super::reader::BATCH_BYTES;
use super::record::{Body, Stamp};
use super::recover;
use super::segment::{self, HEADER, Header};
use super::sign::{PublicKey, Signer};
use super::storage::{Disk, Storage, Stored, write_all};

/// The most records in a batch.
pub const BATCH_RECORDS: usize = 4096;

/// A head is signed after so many records.
pub const HEAD_RECORDS: u64 = 1000;

/// What is kept free in a batch for a key and a head.
const SPARE_BYTES: usize = 512;

/// A file that is being made.
const UNNAMED: &str = "journal.new";

/// How a journal is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// A new file begins after so many bytes.
    pub segment_bytes: u64,
    /// The wall clock, in milliseconds since 1970, for heads.
    pub wall: fn() -> u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes: 256 * 1024 * 1024, wall: wall_ms }
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Why a journal cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it, or the directory cannot be used.
    Refused(lock::Refused),
    /// A file cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A newer program wrote it. Nothing was changed.
    Newer(Fault),
    /// It is damaged otherwise than by a crash.
    Damaged(Fault),
    /// The signing key cannot be used.
    Key(KeyError),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Newer(fault) => fault.fmt(f),
            Self::Damaged(fault) => {
                let dir = fault.file.parent().unwrap_or(Path::new("DIR"));
                write!(
                    f,
                    "{fault}. This is more than a crash leaves behind: restore the backup, or cut \
                     the journal there with `lcmctl ledger repair {}`",
                    dir.display()
                )
            }
            Self::Key(error) => error.fmt(f),
        }
    }
}

impl error::Error for OpenError {}

impl From<KeyError> for OpenError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

/// Why a record cannot be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendError {
    /// The batch is full: [`sync`](Journal::sync) first.
    BatchFull,
    /// The record is longer than [`frame::BODY_MAX`].
    TooLong,
}

impl fmt::Display for AppendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BatchFull => f.write_str("the batch is full"),
            Self::TooLong => write!(f, "the record is longer than {} bytes", frame::BODY_MAX),
        }
    }
}

impl error::Error for AppendError {}

/// The body of a record as it stands on disk.
///
/// # Errors
///
/// If it is too long.
pub fn encode<'a>(body: &Body, into: &'a mut Vec<u8>) -> Result<&'a [u8], AppendError> {
    into.resize(frame::BODY_MAX, 0);
    postcard::to_slice(body, into).map(|bytes| &*bytes).map_err(|_| AppendError::TooLong)
}

/// What stood in a journal when it was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Last {
    /// Number of the last record, 0 in an empty journal.
    pub number: u64,
    /// The last instant that is proved, by the clock of the boot at that time.
    pub proved: Option<Stamp>,
    /// That boot, if the newest files name it.
    pub boot: Option<[u8; 16]>,
    /// Whether the daemon stopped in order then.
    pub orderly: bool,
    /// The key that signs.
    pub key: Option<PublicKey>,
    /// A torn tail that was put aside.
    pub torn: Option<Torn>,
}

/// A tail that a crash had left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Torn {
    /// Number of the record that it would have begun with.
    pub number: u64,
    /// Its length.
    pub bytes: u64,
    /// Where it was put.
    pub file: PathBuf,
}

/// A place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u64,
    pub(super) hash: Hash,
}

impl Place {
    pub(super) const START: Self = Self { number: 0, hash: GENESIS };
}

/// The file that is written.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) file: F,
    pub(super) length: u64,
}

/// A journal that is open for writing.
#[derive(Debug)]
pub struct Journal<S: Storage = Disk> {
    storage: S,
    options: Options,
    signer: Signer,
    /// Where its file lies.
    keys: Option<PathBuf>,
    /// None: the next batch begins a new one.
    segment: Option<Segment<S::File>>,
    durable: Place,
    appended: Place,
    batch: Vec<u8>,
    batch_records: usize,
    /// Records since the last head.
    unsigned: u64,
    /// Whether the file ends with the batch, because a period does.
    period_ended: bool,
    /// Whether this file names the key.
    key_named: bool,
    /// Whether the key's file still waits for the record that names the key.
    key_staged: bool,
    scratch: Vec<u8>,
    last: Last,
}

impl Journal {
    /// Opens the journal of a directory, which is made if it is not there.
    ///
    /// A torn tail is put aside into a file `torn-N`, and the journal goes on in a new file.
    ///
    /// # Errors
    ///
    /// If it is in use, was written by a newer program, is damaged otherwise, or its key cannot be
    /// used.
    pub fn open(dir: &Path, options: Options) -> Result<Self, OpenError> {
        let disk = Disk::claim(dir).map_err(OpenError::Refused)?;
        let found = recover::recover(&disk)?;
        let signer = keys::open(dir, found.last.key)?;
        Ok(Self { keys: Some(dir.to_owned()), ..Self::go_on(disk, options, signer, found) })
    }
}

impl<S: Storage> Journal<S> {
    /// Opens the journal of a storage, to be signed by this key.
    ///
    /// # Errors
    ///
    /// As [`open`](Journal::open).
    pub fn on(storage: S, options: Options, signer: Signer) -> Result<Self, OpenError> {
        let found = recover::recover(&storage)?;
        keys::same(&found.last, &signer)?;
        Ok(Self::go_on(storage, options, signer, found))
    }

    fn go_on(storage: S, options: Options, signer: Signer, found: recover::Found<S::File>) -> Self {
        let recover::Found { segment, place, last } = found;
        Self {
            storage,
            options,
            signer,
            keys: None,
            key_staged: false,
            key_named: segment.is_some() && last.key.is_some(),
            segment,
            durable: place,
            appended: place,
            batch: Vec::with_capacity(BATCH_BYTES),
            batch_records: 0,
            unsigned: 0,
            period_ended: false,
            scratch: Vec::new(),
            last,
        }
    }

    /// What stood in it when it was opened.
    pub fn last(&self) -> &Last {
        &self.last
    }

    /// Number of the last record that is durable.
    pub fn durable(&self) -> u64 {
        self.durable.number
    }

    /// Number of the last record that was appended.
    pub fn appended(&self) -> u64 {
        self.appended.number
    }

    /// The key that signs.
    pub fn key(&self) -> PublicKey {
        self.signer.public()
    }

    /// Appends a record to the batch and returns its number. Heads get numbers too.
    ///
    /// # Errors
    ///
    /// If the batch is full or the record too long.
    pub fn append(&mut self, body: &Body) -> Result<u64, AppendError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let ends = matches!(body, Body::Period(_));
        let number = encode(body, &mut scratch).and_then(|bytes| self.append_encoded(bytes, ends));
        self.scratch = scratch;
        number
    }

    /// Appends a record whose body was encoded before; `ends_file` if it closes a period.
    pub(super) fn append_encoded(
        &mut self,
        body: &[u8],
        ends_file: bool,
    ) -> Result<u64, AppendError> {
        let room = BATCH_BYTES.saturating_sub(SPARE_BYTES.saturating_add(frame::OVERHEAD));
        if self.batch_records >= BATCH_RECORDS
            || self.batch.len().saturating_add(body.len()) > room
            || self.period_ended
        {
            return Err(AppendError::BatchFull);
        }
        if body.is_empty() || body.len() > frame::BODY_MAX {
            return Err(AppendError::TooLong);
        }
        if self.batch.is_empty() {
            self.begin();
        }
        self.push(body);
        let number = self.appended.number;
        self.period_ended = ends_file;
        if self.unsigned >= HEAD_RECORDS.saturating_sub(1) || ends_file {
            self.sign();
        }
        Ok(number)
    }

    /// Signs a head if anything was appended since the last one.
    pub fn sign(&mut self) {
        if self.unsigned == 0 {
            return;
        }
        if self.batch.is_empty() {
            self.begin();
        }
        let number = self.appended.number.saturating_add(1);
        let head = self.signer.head(number, &self.appended.hash, (self.options.wall)());
        self.push_own(&Body::Head(head));
        self.unsigned = 0;
    }

    /// How many records wait in the batch.
    pub fn in_batch(&self) -> usize {
        self.batch_records
    }

    /// Whether records were appended since the last head.
    pub fn unsigned(&self) -> bool {
        self.unsigned > 0
    }

    /// Goes over to a new signing key, which the old one signs; returns when that is durable.
    ///
    /// # Errors
    ///
    /// If the key cannot be written: then the old one remains. If the record cannot be written, it
    /// stays in the batch and becomes durable with it; the new key is in use then.
    pub fn rotate_key(&mut self) -> Result<PublicKey, OpenError> {
        let Some(dir) = self.keys.clone() else {
            return Err(OpenError::Io {
                path: PathBuf::new(),
                error: io::ErrorKind::NotFound.into(),
            });
        };
        let failed = |error| OpenError::Io { path: dir.clone(), error };
        self.sync().map_err(failed)?;
        if std::mem::take(&mut self.key_staged) {
            keys::adopt(&dir)?;
        }
        let new = keys::stage(&dir)?;
        let public = new.public();
        self.begin();
        self.name_key(public);
        self.signer = new;
        self.last.key = Some(public);
        self.key_staged = true;
        self.sync().map_err(failed)?;
        self.key_staged = false;
        keys::adopt(&dir)?;
        Ok(public)
    }

    /// Begins the next file with the next batch.
    pub fn roll(&mut self) {
        if self.batch.is_empty() {
            self.segment = None;
        } else {
            self.period_ended = true;
        }
    }

    /// Makes everything durable that was appended.
    ///
    /// # Errors
    ///
    /// Those of the storage. Everything is kept, and written into a new file at the next attempt.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.write() {
            if let Some(segment) = self.segment.take() {
                segment.file.forget();
            }
            return Err(error);
        }
        self.durable = self.appended;
        self.batch.clear();
        self.batch_records = 0;
        if std::mem::take(&mut self.period_ended) {
            self.segment = None;
        }
        Ok(())
    }

    fn write(&mut self) -> io::Result<()> {
        if self.segment.is_none() {
            self.segment = Some(self.new_segment()?);
        }
        let Some(segment) = &mut self.segment else {
            return Err(io::ErrorKind::NotFound.into());
        };
        write_all(&mut segment.file, segment.length, &self.batch)?;
        segment.file.sync()?;
        let written = u64::try_from(self.batch.len()).unwrap_or(u64::MAX);
        segment.length = segment.length.saturating_add(written);
        Ok(())
    }

    /// A file for the records behind the last durable one. It gets its name when its header is
    /// durable, in the place of one that was begun there in vain.
    fn new_segment(&self) -> io::Result<Segment<S::File>> {
        let first = self.durable.number.saturating_add(1);
        let header = Header { first, before: self.durable.hash }.to_bytes();
        let mut file = self.storage.create(UNNAMED)?;
        write_all(&mut file, 0, &header)?;
        file.sync()?;
        self.storage.rename(UNNAMED, &segment::name(first))?;
        self.storage.sync_names()?;
        Ok(Segment { file, length: u64::try_from(HEADER).unwrap_or_default() })
    }

    /// Before the first record of a batch: a new file, if this one is long enough, and the key.
    fn begin(&mut self) {
        let limit = self.options.segment_bytes;
        if self.segment.as_ref().is_some_and(|segment| segment.length >= limit) {
            self.segment = None;
        }
        if self.segment.is_none() || !self.key_named {
            match self.last.key {
                None => self.push_own(&Body::Key(self.signer.first())),
                Some(_) => self.name_key(self.signer.public()),
            }
            self.last.key = Some(self.signer.public());
            self.key_named = true;
        }
    }

    fn name_key(&mut self, public: PublicKey) {
        let number = self.appended.number.saturating_add(1);
        let key = self.signer.names(number, &self.appended.hash, public);
        self.push_own(&Body::Key(key));
    }

    fn push_own(&mut self, body: &Body) {
        let mut scratch = std::mem::take(&mut self.scratch);
        if let Ok(bytes) = encode(body, &mut scratch) {
            self.push(bytes);
        }
        self.scratch = scratch;
    }

    fn push(&mut self, body: &[u8]) {
        if let Some(hash) = frame::write(&mut self.batch, &self.appended.hash, body) {
            self.appended = Place { number: self.appended.number.saturating_add(1), hash };
            self.batch_records = self.batch_records.saturating_add(1);
            self.unsigned = self.unsigned.saturating_add(1);
        }
    }
}

impl OpenError {
    pub(super) fn of(fault: Fault) -> Self {
        match fault.wrong {
            Wrong::Io(error) => Self::Io { path: fault.file, error },
            Wrong::Newer { .. } => Self::Newer(fault),
            _ => Self::Damaged(fault),
        }
    }
}
