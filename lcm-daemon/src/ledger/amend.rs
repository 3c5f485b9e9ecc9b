//! Disputes: a posting is kept out of bills until it is settled what becomes of it. Written while
//! no daemon runs, and only after the journal was verified: a record that could not follow would
//! make it unsound.

use std::path::Path;
use std::{error, fmt, io};

use super::journal::{AppendError, Journal, OpenError, Options};
use super::record::{Body, Dispute};
use super::replay::{Fault, Posting, Replay};
use super::verify::{Expected, Unsound, Walk, verify};

/// Why nothing was written.
#[derive(Debug)]
pub enum AmendError {
    /// The journal cannot be opened, or a daemon has it.
    Open(OpenError),
    /// The journal is not sound.
    Unsound(Unsound),
    /// The record cannot follow.
    Fault(Fault),
    /// It cannot be appended.
    Append(AppendError),
    /// It cannot be made durable.
    Io(io::Error),
}

impl error::Error for AmendError {}

impl fmt::Display for AmendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(error @ OpenError::Refused(_)) => {
                write!(f, "{error}; disputes are written while no daemon runs: stop it first")
            }
            Self::Open(error) => error.fmt(f),
            Self::Unsound(unsound) => write!(f, "{unsound}; nothing was written"),
            Self::Fault(fault) => write!(
                f,
                "{}; nothing was written: `lcmctl ledger export --what postings` lists postings \
                 and their states",
                fault.what
            ),
            Self::Append(error) => error.fmt(f),
            Self::Io(error) => write!(f, "{error}; look with `ledger verify` before you repeat it"),
        }
    }
}

/// Opens a dispute, or resolves one, durably.
///
/// # Errors
/// If a daemon has the directory, the journal is not sound, there is no such posting, or it is
/// disputed already, or is not.
pub fn dispute(dir: &Path, dispute: Dispute) -> Result<(), AmendError> {
    // Opening would begin a journal where there is none.
    let verified = verify(dir, Expected::default()).map_err(AmendError::Unsound)?;
    let mut journal = Journal::open(dir, Options::default()).map_err(AmendError::Open)?;
    // A daemon may have written, and stopped, in between.
    let mut replay: Replay = verified.replay;
    if journal.last().number != replay.last() {
        replay = verify(dir, Expected::default()).map_err(AmendError::Unsound)?.replay;
    }
    let body = Body::Dispute(dispute);
    replay.apply(replay.last().saturating_add(1), &body).map_err(AmendError::Fault)?;
    journal.append(&body).map_err(AmendError::Append)?;
    journal.sync().map_err(AmendError::Io)
}

/// What the journal has about a posting.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The posting itself.
    pub posting: Option<Posting>,
    /// Records about it, with their numbers: its flow, the approvals that it rests on, the turns of
    /// its meter, what was given back, disputes.
    pub records: Vec<(u64, Body)>,
}

/// Lists what the journal has about the posting that a record opened.
///
/// # Errors
/// If the journal is not sound.
pub fn evidence(dir: &Path, of: u64) -> Result<Evidence, Unsound> {
    let mut posting = None;
    let mut walk = Walk::new(dir, Expected::default())?;
    let mut begin = 0;
    let mut started = 0;
    while let Some((number, body, applied)) = walk.step()? {
        if let Body::Started(_) = body {
            started = number;
        }
        if let Some(found) = applied.into_iter().find(|made| made.number == of) {
            posting = Some(found);
            begin = if started > of { begin } else { started };
        }
        if number <= of {
            begin = started;
        }
    }
    let Some(known) = posting.clone() else { return Ok(Evidence::default()) };
    let mut records = Vec::new();
    let mut walk = Walk::new(dir, Expected::default())?;
    let mut run = 0;
    let mut over = false;
    while let Some((number, body, _)) = walk.step()? {
        if let Body::Started(_) = body {
            run = number;
        }
        let here = run == begin && !over;
        let meter = known.meter;
        let about = match &body {
            Body::Flow(flow) => here && flow.flow == meter.flow,
            Body::Consent(c) => here && c.flow == meter.flow && c.payer == meter.neighbour,
            Body::Offer(o) => here && o.flow == meter.flow && o.payee == meter.neighbour,
            Body::Closed(c) => here && c.flow == meter.flow && c.payer == meter.neighbour,
            Body::Runs(runs) => {
                let same = here && runs.meter == meter;
                over |= same && number > of;
                same && number >= of
            }
            Body::Gap(gap) => here && gap.meter == meter && number == of,
            Body::Contra(contra) => contra.of == of,
            Body::Dispute(dispute) => dispute.of == of,
            _ => false,
        };
        if about {
            records.push((number, body));
        }
    }
    Ok(Evidence { posting, records })
}
