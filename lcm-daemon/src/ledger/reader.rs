//! Reading a journal: every record in order, each checked against the chain.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;
use std::{io, mem};

use super::fault::{Fault, Wrong};
use super::frame::{self, Found, GENESIS, Hash};
use super::record::Body;
use super::segment::{self, HEADER, Header};
use super::storage::{Disk, Storage, Stored};

/// The most bytes that are written at once, and so the longest torn tail.
pub const BATCH_BYTES: usize = 256 * 1024;

const BUFFER: usize = 1024 * 1024;

/// How long a reader waits for a write that is under way, in steps of [`PAUSE`].
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Reads the records of a directory, also while a daemon writes there, and of a copy.
///
/// ```no_run
/// # use std::path::Path;
/// use lcm_daemon::ledger::reader::Reader;
///
/// let mut reader = Reader::open(Path::new("/var/lib/lcm/ledger"))?;
/// while let Some(record) = reader.next() {
///     match record {
///         Ok((number, body)) => println!("{number} {body:?}"),
///         Err(fault) => println!("{fault}"),
///     }
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// After a [`Fault`] nothing follows.
#[derive(Debug)]
pub struct Reader<S: Storage = Disk> {
    storage: S,
    /// Whether somebody may be writing, so that the end may move.
    live: bool,
    /// First records of the segments after the current one.
    todo: VecDeque<u64>,
    current: Option<Current<S::File>>,
    /// Number and hash of the last record, 0 before the first.
    number: u64,
    hash: Hash,
    /// The hash before it.
    before: Hash,
    /// Where its body lies in the buffer.
    body: Range<usize>,
    /// Records that were read already in a segment that was superseded since: until this number,
    /// which must come to this hash.
    again: Option<(u64, Hash)>,
    started: bool,
    done: bool,
}

impl Reader {
    /// A reader of all records in a directory.
    ///
    /// # Errors
    ///
    /// If the directory cannot be listed.
    pub fn open(dir: &Path) -> io::Result<Self> {
        Self::on(Disk::read_only(dir), true)
    }
}

impl<S: Storage> Reader<S> {
    /// A reader of all records; `live` if somebody else may be writing them.
    pub(super) fn on(storage: S, live: bool) -> io::Result<Self> {
        let todo = segments(&storage)?;
        Ok(Self::of(storage, live, todo))
    }

    /// A reader of these segments, in order.
    pub(super) fn of(storage: S, live: bool, todo: VecDeque<u64>) -> Self {
        Self {
            storage,
            live,
            todo,
            current: None,
            number: 0,
            hash: GENESIS,
            before: GENESIS,
            body: 0..0,
            again: None,
            started: false,
            done: false,
        }
    }

    /// Number of the last record that was read; 0, or that before the oldest file, if none was.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its hash: all of the journal up to it.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// The hash of the record before it.
    pub fn before(&self) -> &Hash {
        &self.before
    }

    /// Whether the first file continues a chain that ends in this hash; to be asked before the
    /// first record is read.
    pub fn continues(&self, before: &Hash) -> bool {
        let header = || {
            let name = segment::name(*self.todo.front()?);
            let file = self.storage.open(&name, false).ok()?;
            let mut bytes = [0; HEADER];
            let count = file.read_at(0, &mut bytes).ok()?;
            Header::parse(bytes.get(..count)?).ok()
        };
        header().is_some_and(|header| header.before == *before)
    }

    /// Its body, as it stands on disk.
    pub fn body(&self) -> &[u8] {
        let buffer = self.current.as_ref().map(|current| current.buffer.as_slice());
        buffer.and_then(|buffer| buffer.get(self.body.clone())).unwrap_or_default()
    }

    /// Which file holds it, and the offset behind it.
    pub fn place(&self) -> Option<(PathBuf, u64)> {
        let current = self.current.as_ref()?;
        Some((self.storage.path(&segment::name(current.first)), current.offset()))
    }

    /// Goes to the next record, without looking into its body.
    ///
    /// # Errors
    ///
    /// What is wrong with the journal. After that, and at its end, there is nothing more.
    pub fn advance(&mut self) -> Option<Result<(), Fault>> {
        if self.done {
            return None;
        }
        let step = self.step().transpose();
        self.done = !matches!(step, Some(Ok(())));
        step
    }

    fn step(&mut self) -> Result<Option<()>, Fault> {
        let mut patience = PATIENCE;
        loop {
            let next = self.number.saturating_add(1);
            let ends = self.started && self.todo.front() == Some(&next);
            let Some(current) = self.current.as_mut().filter(|_| !ends) else {
                if !self.next_segment()? {
                    return Ok(None);
                }
                continue;
            };
            match frame::read(current.bytes(), &self.hash) {
                Found::Frame { body, hash } => {
                    self.body = current.take(body);
                    self.before = mem::replace(&mut self.hash, hash);
                    self.number = next;
                    if self.is_new(next)? {
                        return Ok(Some(()));
                    }
                }
                Found::Short { need } => match current.fill(need) {
                    Ok(true) => {}
                    Ok(false) if current.bytes().is_empty() => {
                        if !self.at_end(next)? {
                            return Ok(None);
                        }
                    }
                    Ok(false) => self.odd_bytes(&mut patience)?,
                    Err(error) => return Err(self.fault(Wrong::Io(error))),
                },
                Found::Bad => self.odd_bytes(&mut patience)?,
            }
        }
    }

    /// Whether a record was not read before, from a file that was superseded since.
    fn is_new(&mut self, number: u64) -> Result<bool, Fault> {
        match self.again {
            None => Ok(true),
            Some((until, _)) if number < until => Ok(false),
            Some((_, hash)) if hash == self.hash => {
                self.again = None;
                Ok(false)
            }
            Some(_) => Err(self.fault(Wrong::Joint)),
        }
    }

    /// At the end of a file: whether another one follows.
    fn at_end(&mut self, next: u64) -> Result<bool, Fault> {
        if let Some(first) = self.todo.front() {
            return Err(self.fault(Wrong::Gap { first: *first }));
        }
        if self.live {
            self.look_for_new()?;
        }
        if self.todo.front().is_some_and(|first| *first > next) {
            return self.at_end(next);
        }
        let more = !self.todo.is_empty();
        if more {
            self.current = None;
        }
        Ok(more)
    }

    /// At bytes that are no record: returns if they may have become one by now.
    fn odd_bytes(&mut self, patience: &mut u32) -> Result<(), Fault> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        if !self.todo.is_empty() {
            return Err(self.fault(Wrong::Record));
        }
        let length = current.file.length().map_err(|error| self.fault(Wrong::Io(error)))?;
        let bytes = length.saturating_sub(current.offset());
        if bytes > u64::try_from(BATCH_BYTES).unwrap_or(u64::MAX) {
            return Err(self.fault(Wrong::Record));
        }
        // A write that is under way, or that failed and was repeated in a new file.
        if self.live {
            self.look_for_new()?;
        }
        if !self.todo.is_empty() {
            self.current = None;
            return Ok(());
        }
        if *patience == 0 || !self.live || !self.storage.in_use() {
            return Err(self.fault(Wrong::TornTail { bytes }));
        }
        *patience = patience.saturating_sub(1);
        thread::sleep(PAUSE);
        if let Some(current) = &mut self.current {
            current.rewind();
        }
        Ok(())
    }

    fn look_for_new(&mut self) -> Result<(), Fault> {
        let Some(first) = self.current.as_ref().map(|current| current.first) else {
            return Ok(());
        };
        let mut all = segments(&self.storage).map_err(|error| self.fault(Wrong::Io(error)))?;
        all.retain(|other| *other > first);
        self.todo = all;
        Ok(())
    }

    /// Opens the next file, if there is one.
    fn next_segment(&mut self) -> Result<bool, Fault> {
        let Some(first) = self.todo.pop_front() else {
            return Ok(false);
        };
        self.current = None;
        let name = segment::name(first);
        let fault =
            |wrong| Fault { file: self.storage.path(&name), offset: 0, number: first, wrong };
        let file = self.storage.open(&name, false).map_err(|error| fault(Wrong::Io(error)))?;
        let mut current = Current::new(file, first);
        current.fill(HEADER).map_err(|error| fault(Wrong::Io(error)))?;
        let header = Header::parse(current.bytes()).map_err(fault)?;
        current.take(0..HEADER);
        let next = self.number.saturating_add(1);
        if header.first != first || (self.started && first == next && header.before != self.hash) {
            return Err(fault(Wrong::Joint));
        }
        if self.started && first < next {
            self.again = Some((self.number, self.hash));
        }
        self.started = true;
        self.number = first.saturating_sub(1);
        self.hash = header.before;
        self.current = Some(current);
        Ok(true)
    }

    /// A fault at the next record.
    fn fault(&self, wrong: Wrong) -> Fault {
        let (file, offset) = self.place().unwrap_or_else(|| (self.storage.path(""), 0));
        Fault { file, offset, number: self.number.saturating_add(1), wrong }
    }
}

impl<S: Storage> Iterator for Reader<S> {
    type Item = Result<(u64, Body), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.advance()? {
            Ok(()) => match postcard::take_from_bytes(self.body()) {
                Ok((body, [])) => Some(Ok((self.number, body))),
                Ok(_) | Err(_) => {
                    self.done = true;
                    let length = u64::try_from(self.body().len()).unwrap_or_default();
                    let mut fault = self.fault(Wrong::Body);
                    let frame = length.saturating_add(u64::try_from(frame::OVERHEAD).unwrap_or(0));
                    fault.offset = fault.offset.saturating_sub(frame);
                    fault.number = self.number;
                    Some(Err(fault))
                }
            },
            Err(fault) => Some(Err(fault)),
        }
    }
}

/// The first records of all segments, in order.
pub(super) fn segments(storage: &impl Storage) -> io::Result<VecDeque<u64>> {
    let mut all: Vec<u64> =
        storage.names()?.iter().filter_map(|name| segment::first_of(name)).collect();
    all.sort_unstable();
    Ok(all.into())
}

/// A file that is being read.
#[derive(Debug)]
struct Current<F> {
    file: F,
    first: u64,
    buffer: Vec<u8>,
    /// What of the buffer was read, and not taken yet.
    start: usize,
    end: usize,
    /// Offset in the file of the end.
    position: u64,
}

impl<F: Stored> Current<F> {
    fn new(file: F, first: u64) -> Self {
        Self { file, first, buffer: vec![0; BUFFER], start: 0, end: 0, position: 0 }
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Offset in the file of what comes next.
    fn offset(&self) -> u64 {
        self.position.saturating_sub(u64::try_from(self.bytes().len()).unwrap_or_default())
    }

    /// Takes a frame whose body stands at `body` of [`bytes`](Self::bytes), or a header, and
    /// returns where in the buffer that is.
    fn take(&mut self, body: Range<usize>) -> Range<usize> {
        let at = body.start.saturating_add(self.start)..body.end.saturating_add(self.start);
        // A body stands between a length of 2 bytes and a tag of 8.
        let tag = if body.start == 0 { 0 } else { frame::OVERHEAD.saturating_sub(body.start) };
        self.start = at.end.saturating_add(tag);
        at
    }

    /// Reads on until there are `need` bytes; whether there are.
    fn fill(&mut self, need: usize) -> io::Result<bool> {
        while self.bytes().len() < need {
            if self.start > 0 {
                self.buffer.copy_within(self.start..self.end, 0);
                self.end = self.end.saturating_sub(self.start);
                self.start = 0;
            }
            let free = self.buffer.get_mut(self.end..).unwrap_or_default();
            match self.file.read_at(self.position, free) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    self.end = self.end.saturating_add(count);
                    self.position =
                        self.position.saturating_add(u64::try_from(count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Forgets what was read and not taken.
    fn rewind(&mut self) {
        self.position = self.offset();
        self.end = self.start;
    }
}
