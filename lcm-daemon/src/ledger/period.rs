//! `lcmctl ledger close-period` while no daemon runs: a period ends in books that rest.

use std::path::Path;
use std::{error, fmt, io};

use super::journal::{AppendError, Journal, OpenError, Options};
use super::record::{Body, Period, Stamp};
use super::replay::Moment;
use super::verify::{Expected, Unsound, verify};

/// Why a period was not closed.
#[derive(Debug)]
pub enum CloseError {
    /// The journal cannot be opened, or a daemon has it.
    Open(OpenError),
    /// The journal is not sound.
    Unsound(Unsound),
    /// No daemon ever wrote here, so there is nothing that a period could hold.
    NeverStarted,
    /// The record cannot be appended.
    Append(AppendError),
    /// The record cannot be made durable.
    Io(io::Error),
}

impl error::Error for CloseError {}

impl fmt::Display for CloseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error) => error.fmt(f),
            Self::Unsound(unsound) => write!(f, "{unsound}; no period was closed"),
            Self::NeverStarted => f.write_str("no daemon has started here; no period was closed"),
            Self::Append(error) => error.fmt(f),
            Self::Io(error) => write!(f, "{error}; look with `ledger verify` before you repeat it"),
        }
    }
}

/// Closes the next period at `now`, durably; its number. The journal is verified before.
///
/// # Errors
/// If a daemon has the directory, the journal is not sound, or the disk fails.
pub fn close(dir: &Path, now: &Moment) -> Result<u64, CloseError> {
    // Opening would begin a journal where there is none.
    let none = super::backup::segments(dir).is_ok_and(|all| all.is_empty());
    if none {
        return Err(CloseError::Unsound(Unsound::Empty(dir.to_owned())));
    }
    let mut journal = Journal::open(dir, Options::default()).map_err(CloseError::Open)?;
    let replay = verify(dir, Expected::default()).map_err(CloseError::Unsound)?.replay;
    let proved = replay.proved().ok_or(CloseError::NeverStarted)?;
    let number = replay.last_period().map_or(1, |last| last.saturating_add(1));
    let stamp = stamp(now, &proved);
    journal.append(&Body::Period(Period { number, stamp })).map_err(CloseError::Append)?;
    journal.sync().map_err(CloseError::Io)?;
    Ok(number)
}

/// `now` by the clock of the boot that the books are in: of an earlier boot only the wall clock
/// tells how long ago its last proof was.
fn stamp(now: &Moment, proved: &Moment) -> Stamp {
    let Moment { boot, stamp: now } = *now;
    let at_ms = if boot == proved.boot {
        now.at_ms.max(proved.stamp.at_ms)
    } else {
        let passed = now.wall_ms.saturating_sub(proved.stamp.wall_ms);
        proved.stamp.at_ms.saturating_add(passed)
    };
    Stamp { at_ms, ..now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_ends_by_the_clock_of_the_boot_that_the_books_are_in() {
        let at =
            |boot, at_ms, wall_ms| Moment { boot: [boot; 16], stamp: Stamp { at_ms, wall_ms } };
        let proved = at(1, 5_000, 70_000);
        let by = |now: Moment| stamp(&now, &proved).at_ms;
        assert_eq!(by(at(1, 6_000, 10)), 6_000, "whatever the wall clock says");
        assert_eq!(by(at(2, 9, 79_000)), 14_000);
        assert_eq!(by(at(2, 999_999, 60_000)), 5_000, "a wall clock that was set back");
        assert_eq!(stamp(&at(2, 9, 79_000), &proved).wall_ms, 79_000);
    }
}
