//! `lcmctl ledger backup` and `restore`: a directory copied as far as its chain is provable.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::{error, fmt};

use super::carried::Carried;
use super::fault::Fault;
use super::frame::Hash;
use super::lock::Refused;
use super::reader::Reader;
use super::segment;
use super::storage::{self, Disk};
use super::verify::{Expected, Unsound, Verified, verify};

/// Why nothing was copied, or the copy is no good.
#[derive(Debug)]
pub enum BackupError {
    /// A file cannot be read or written.
    Io(PathBuf, io::Error),
    /// What is to be copied is damaged.
    Source(Fault),
    /// An earlier backup is damaged.
    Damaged(Fault),
    /// An earlier backup is of another journal, or the journal was rewritten since.
    OtherChain {
        /// Where the two part at the latest.
        number: u64,
    },
    /// The earlier backup ends before the first record that is still there.
    Gap {
        /// The last record of the backup.
        last: u64,
        /// The first one that is there.
        first: u64,
    },
    /// The copy does not verify.
    Unsound(Unsound),
    /// The directory to restore into holds something.
    NotEmpty(PathBuf),
    /// A daemon has it.
    Refused(Refused),
}

impl error::Error for BackupError {}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Source(fault) => write!(f, "{fault}"),
            Self::Damaged(fault) => write!(
                f,
                "the earlier backup is damaged: {fault}; it was left as it is: back up into \
                 another directory"
            ),
            Self::OtherChain { number } => write!(
                f,
                "the earlier backup has another history up to record {number}: it is of another \
                 journal, or this one was rewritten; nothing was copied"
            ),
            Self::Gap { last, first } => write!(
                f,
                "the earlier backup ends with record {last}, the journal begins with record \
                 {first}: back up into another directory"
            ),
            Self::Unsound(unsound) => write!(f, "the copy does not verify: {unsound}"),
            Self::NotEmpty(dir) => {
                write!(f, "{}: not empty; restore into an empty directory", dir.display())
            }
            Self::Refused(refused) => refused.fmt(f),
        }
    }
}

/// The first records of all files of a directory, in order.
pub(crate) fn segments(dir: &Path) -> io::Result<Vec<u64>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        all.extend(entry?.file_name().to_str().and_then(segment::first_of));
    }
    all.sort_unstable();
    Ok(all)
}

/// Where a chain ends.
struct End {
    number: u64,
    hash: Hash,
    /// The file, and the offset in it.
    place: Option<(PathBuf, u64)>,
}

/// Copies the journal of `dir` into `dest`, also while a daemon writes it; goes on with an earlier
/// backup of the same chain that `dest` holds. The copy is verified.
///
/// # Errors
/// If something is in the way, or the copy is not sound.
pub fn backup(dir: &Path, dest: &Path) -> Result<Verified, BackupError> {
    let made = storage::make(dest);
    made.map_err(|error| BackupError::Io(dest.to_owned(), error))?;
    let earlier = end(dest, None, true)?;
    let source = end(dir, earlier.as_ref(), false)?;
    let Some(End { place: Some((last, length)), .. }) = source else {
        return Err(BackupError::Unsound(Unsound::Empty(dir.to_owned())));
    };
    if let Some((file, length)) = earlier.and_then(|end| end.place) {
        // What was cut off while an earlier backup was made.
        let cut = OpenOptions::new().write(true).open(&file).and_then(|f| f.set_len(length));
        cut.map_err(|error| BackupError::Io(file, error))?;
    }
    let all = segments(dir).map_err(|error| BackupError::Io(dir.to_owned(), error))?;
    for first in &all {
        let from = dir.join(segment::name(*first));
        let most = if from == last { length } else { u64::MAX };
        append(&from, &dest.join(segment::name(*first)), most)?;
        if from == last {
            break;
        }
    }
    let oldest = segments(dest).ok().and_then(|all| all.first().copied());
    for name in [oldest.map(Carried::name), Some("signing.key".to_owned())].into_iter().flatten() {
        replace(&dir.join(&name), &dest.join(&name))?;
    }
    sync(dest)?;
    verify(dest, Expected::default()).map_err(BackupError::Unsound)
}

/// Copies a backup into an empty directory, for a daemon to go on with.
///
/// # Errors
/// If the backup is not sound, or the directory is in use or not empty.
pub fn restore(from: &Path, dir: &Path) -> Result<Verified, BackupError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| BackupError::Io(path, error)
    };
    verify(from, Expected::default()).map_err(BackupError::Unsound)?;
    if super::lock::holder(dir).is_some() {
        Disk::claim(dir).map_err(BackupError::Refused)?;
    }
    if dir.exists() {
        let others = fs::read_dir(dir).map_err(at(dir))?;
        let others = others.filter_map(Result::ok).filter(|entry| entry.file_name() != "lock");
        if others.count() > 0 {
            return Err(BackupError::NotEmpty(dir.to_owned()));
        }
    }
    let _claimed = Disk::claim(dir).map_err(BackupError::Refused)?;
    for first in segments(from).map_err(at(from))? {
        for name in [segment::name(first), Carried::name(first)] {
            replace(&from.join(&name), &dir.join(&name))?;
        }
    }
    replace(&from.join("signing.key"), &dir.join("signing.key"))?;
    sync(dir)?;
    verify(dir, Expected::default()).map_err(BackupError::Unsound)
}

/// Goes through the chain of a directory; `None` if there is none. On the way it must pass where
/// `earlier` ends.
fn end(dir: &Path, earlier: Option<&End>, ours: bool) -> Result<Option<End>, BackupError> {
    let failed = |error| BackupError::Io(dir.to_owned(), error);
    let Some(first) = segments(dir).map_err(failed)?.first().copied() else { return Ok(None) };
    let mut reader = Reader::open(dir).map_err(failed)?;
    let mut passed = earlier.is_none();
    let mut place = None;
    while let Some(step) = reader.advance() {
        match step {
            Ok(()) => place = None,
            Err(fault) if fault.is_torn_tail() => {
                place = Some((fault.file, fault.offset));
                break;
            }
            Err(fault) if ours => return Err(BackupError::Damaged(fault)),
            Err(fault) => return Err(BackupError::Source(fault)),
        }
        if let Some(earlier) = earlier {
            // The backup may end just before the first record that is still there.
            let here = reader.number() == earlier.number && reader.hash() == &earlier.hash;
            let before = reader.number() == earlier.number.saturating_add(1)
                && reader.before() == &earlier.hash;
            passed |= here || before;
        }
    }
    match earlier {
        Some(End { number, .. }) if !passed && number.saturating_add(1) < first => {
            return Err(BackupError::Gap { last: *number, first });
        }
        Some(End { number, .. }) if !passed => {
            return Err(BackupError::OtherChain { number: *number });
        }
        _ => {}
    }
    let place = place.or_else(|| reader.place());
    Ok(Some(End { number: reader.number(), hash: *reader.hash(), place }))
}

/// Appends to `to` what `from` has more, up to the offset `most`.
fn append(from: &Path, to: &Path, most: u64) -> Result<(), BackupError> {
    let reading = |error| BackupError::Io(from.to_owned(), error);
    let writing = |error| BackupError::Io(to.to_owned(), error);
    let options = OpenOptions::new().create(true).append(true).mode(0o600).clone();
    let mut into = options.open(to).map_err(writing)?;
    let have = into.metadata().map_err(writing)?.len();
    let mut file = File::open(from).map_err(reading)?;
    file.seek(SeekFrom::Start(have)).map_err(reading)?;
    let mut rest = file.take(most.saturating_sub(have));
    io::copy(&mut rest, &mut into).map_err(writing)?;
    into.sync_all().map_err(writing)
}

/// Copies a whole file for its owner alone, if it is there.
fn replace(from: &Path, to: &Path) -> Result<(), BackupError> {
    let bytes = match fs::read(from) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(BackupError::Io(from.to_owned(), error)),
    };
    let write = || {
        let unnamed = to.with_extension("new");
        let options =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).clone();
        let mut file = options.open(&unnamed)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&unnamed, to)
    };
    write().map_err(|error| BackupError::Io(to.to_owned(), error))
}

fn sync(dir: &Path) -> Result<(), BackupError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(|error| BackupError::Io(dir.to_owned(), error))
}
