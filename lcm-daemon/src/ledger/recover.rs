//! What is done when a journal is opened for writing: its end is found, and a torn tail put aside.

use std::collections::VecDeque;
use std::io;

use tracing::warn;

use super::fault::{Fault, Wrong};
use super::journal::{Last, OpenError, Place, Segment, Torn};
use super::reader::{Reader, segments};
use super::record::Body;
use super::segment::{self, Header};
use super::storage::{Storage, Stored, write_all};

/// Where a journal can be gone on with.
#[derive(Debug)]
pub(super) struct Found<F> {
    /// Its last file, unless a new one is to be begun.
    pub(super) segment: Option<Segment<F>>,
    pub(super) place: Place,
    pub(super) last: Last,
}

/// Finds the end of the journal. What is read was made durable before: a file that a crashed
/// writer left dirty in memory is synced first, and then read from the disk.
pub(super) fn recover<S: Storage>(storage: &S) -> Result<Found<S::File>, OpenError> {
    let failed = |name: &str, error: io::Error| OpenError::Io { path: storage.path(name), error };
    let all = segments(storage).map_err(|error| failed("", error))?;
    let Some(newest) = all.back().copied() else {
        return Ok(Found { segment: None, place: Place::START, last: Last::default() });
    };
    let name = segment::name(newest);
    // The header first: files of a newer program are not even synced.
    let mut last = Last::default();
    let mut reader = Reader::of(storage, false, VecDeque::from([newest]));
    if let Some(Err(Fault { wrong: Wrong::Newer { version }, file, offset, number })) =
        reader.advance()
    {
        let wrong = Wrong::Newer { version };
        return Err(OpenError::Newer(Fault { file, offset, number, wrong }));
    }
    let mut file = storage.open(&name, true).map_err(|error| failed(&name, error))?;
    file.sync().map_err(|error| failed(&name, error))?;
    file.forget();
    storage.sync_names().map_err(|error| failed("", error))?;

    let mut reader = Reader::of(storage, false, VecDeque::from([newest]));
    let mut torn = None;
    // A file ends with its period, so that whole files can be put away.
    let mut ended = false;
    for record in reader.by_ref() {
        match record {
            Ok((_, body)) => {
                ended = matches!(body, Body::Period(_)) || ended && matches!(body, Body::Head(_));
                last.note(&body);
            }
            Err(fault) => match fault.wrong {
                Wrong::TornTail { bytes } => torn = Some((fault.offset, bytes)),
                _ => return Err(OpenError::of(fault)),
            },
        }
    }
    let place = Place { number: reader.number(), hash: *reader.hash() };
    last.number = place.number;
    look_back(storage, &all, &mut last)?;
    let length = file.length().map_err(|error| failed(&name, error))?;
    let mut header = [0; segment::HEADER];
    let count = file.read_at(0, &mut header).map_err(|error| failed(&name, error))?;
    ended |= !header.get(..count).is_some_and(Header::is_present);
    let segment = match torn {
        None => Some(Segment { file, length }).filter(|_| !ended),
        Some((offset, bytes)) => {
            last.torn = Some(put_aside(storage, file, &name, place.number, offset, bytes));
            None
        }
    };
    Ok(Found { segment, place, last })
}

/// Reads older files until the last proved instant and the key are known: the newest may have
/// been begun just now.
fn look_back<S: Storage>(
    storage: &S,
    all: &VecDeque<u64>,
    last: &mut Last,
) -> Result<(), OpenError> {
    for (first, end) in all.iter().zip(all.iter().skip(1)).rev() {
        if last.proved.is_some() && last.key.is_some() {
            break;
        }
        let mut older = Last::default();
        let mut reader = Reader::of(storage, false, VecDeque::from([*first, *end]));
        while reader.number().saturating_add(1) < *end {
            match reader.next() {
                Some(Ok((_, body))) => older.note(&body),
                Some(Err(fault)) => return Err(OpenError::of(fault)),
                None => break,
            }
        }
        if last.proved.is_none() {
            last.proved = older.proved;
            last.boot = older.boot;
            last.orderly = older.orderly;
        }
        last.key = last.key.or(older.key);
    }
    Ok(())
}

/// Moves a torn tail into a file of its own. If the disk does not take that, the tail stays where
/// it is: the next file supersedes it.
fn put_aside<S: Storage>(
    storage: &S,
    mut file: S::File,
    name: &str,
    number: u64,
    offset: u64,
    bytes: u64,
) -> Torn {
    let number = number.saturating_add(1);
    let side = side_name(storage, &format!("torn-{number}"));
    let path = storage.path(&side);
    let moved = copy(storage, &file, offset, &side).and_then(|()| {
        file.truncate(offset)?;
        file.sync()
    });
    match moved {
        Ok(()) => warn!(
            "{}: a write was cut off at record {number}; its {bytes} bytes were put aside as {}",
            storage.path(name).display(),
            path.display()
        ),
        Err(error) => warn!(
            "{}: a write was cut off at record {number}; its {bytes} bytes stay there, since \
             they cannot be put aside as {}: {error}",
            storage.path(name).display(),
            path.display()
        ),
    }
    Torn { number, bytes, file: path }
}

/// A name like `plain` that no file has yet.
pub(super) fn side_name(storage: &impl Storage, plain: &str) -> String {
    let names = storage.names().unwrap_or_default();
    let taken = |name: &String| names.contains(name);
    std::iter::once(plain.to_owned())
        .chain((2..u32::MAX).map(|count| format!("{plain}.{count}")))
        .find(|name| !taken(name))
        .unwrap_or_else(|| plain.to_owned())
}

/// Copies what a file holds from an offset on into a new one, durably.
pub(super) fn copy<S: Storage>(
    storage: &S,
    from: &S::File,
    mut offset: u64,
    to: &str,
) -> io::Result<()> {
    let mut into = storage.create(to)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut written = 0;
    loop {
        let count = from.read_at(offset, &mut buffer)?;
        if count == 0 {
            break;
        }
        write_all(&mut into, written, buffer.get(..count).unwrap_or_default())?;
        let count = u64::try_from(count).unwrap_or_default();
        offset = offset.saturating_add(count);
        written = written.saturating_add(count);
    }
    into.sync()?;
    storage.sync_names()
}

impl Last {
    /// Takes a record.
    fn note(&mut self, body: &Body) {
        match body {
            Body::Started(started) => {
                self.boot = Some(started.boot);
                self.proved = Some(started.stamp);
                self.orderly = false;
            }
            Body::Alive(stamp) => {
                self.proved = Some(*stamp);
                self.orderly = false;
            }
            Body::Stopped(stamp) => {
                self.proved = Some(*stamp);
                self.orderly = true;
            }
            Body::Key(key) => self.key = Some(key.public),
            _ => {}
        }
    }
}
