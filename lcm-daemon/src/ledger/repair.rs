//! `lcmctl ledger repair DIR`: a damaged journal is cut where it stops being provable.

use std::path::{Path, PathBuf};

use super::fault::{Fault, Wrong};
use super::journal::OpenError;
use super::reader::{Reader, segments};
use super::recover::{copy, side_name};
use super::segment::{self, HEADER};
use super::storage::{Disk, Storage, Stored};

/// What was cut off.
#[derive(Debug)]
pub struct Repaired {
    /// What was wrong.
    pub fault: Fault,
    /// Number of the last record that was kept.
    pub kept: u64,
    /// The files that hold the rest.
    pub aside: Vec<PathBuf>,
}

/// Cuts the journal of a directory before its first fault, and keeps what stood behind it in files
/// `cut-N-…`; `None` if nothing is wrong.
///
/// # Errors
///
/// If the directory is in use, cannot be read or written, or was written by a newer program.
pub fn repair(dir: &Path) -> Result<Option<Repaired>, OpenError> {
    let disk = Disk::claim(dir).map_err(OpenError::Refused)?;
    repair_on(&disk)
}

pub(super) fn repair_on<S: Storage>(storage: &S) -> Result<Option<Repaired>, OpenError> {
    let io = |name: &str, error| OpenError::Io { path: storage.path(name), error };
    let mut reader = Reader::on(storage, false).map_err(|error| io("", error))?;
    let fault = loop {
        match reader.next() {
            None => return Ok(None),
            Some(Ok(_)) => {}
            Some(Err(fault)) => break fault,
        }
    };
    if matches!(fault.wrong, Wrong::Io(_) | Wrong::Newer { .. }) {
        return Err(OpenError::of(fault));
    }
    let number = fault.number;
    let at = fault.file.file_name().and_then(|name| segment::first_of(name.to_str()?));
    let at = at.unwrap_or_default();
    let mut aside = Vec::new();
    let all = segments(storage).map_err(|error| io("", error))?;
    // The newest first, so that what remains is a journal with a fault at every moment.
    for first in all.iter().rev().filter(|first| **first >= at) {
        let name = segment::name(*first);
        let side = side_name(storage, &format!("cut-{number}-{name}"));
        let whole = *first > at || fault.offset < u64::try_from(HEADER).unwrap_or_default();
        if whole {
            storage.rename(&name, &side).map_err(|error| io(&name, error))?;
        } else {
            let mut file = storage.open(&name, true).map_err(|error| io(&name, error))?;
            let length = file.length().map_err(|error| io(&name, error))?;
            if length <= fault.offset {
                continue;
            }
            copy(storage, &file, fault.offset, &side)
                .and_then(|()| file.truncate(fault.offset))
                .and_then(|()| file.sync())
                .map_err(|error| io(&name, error))?;
        }
        storage.sync_names().map_err(|error| io("", error))?;
        aside.push(storage.path(&side));
    }
    Ok(Some(Repaired { fault, kept: number.saturating_sub(1), aside }))
}
