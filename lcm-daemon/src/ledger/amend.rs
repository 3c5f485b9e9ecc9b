//! Postings that are disputed or given back. Written only after the journal was verified, by the
//! daemon or in its absence: a record that could not follow would make it unsound.

use std::path::Path;
use std::{error, fmt, io};

use super::journal::{AppendError, Journal, OpenError, Options};
use super::record::{Body, Contra, Dispute};
use super::replay::{Fault, GivenBack, Posting, Replay};
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
                write!(f, "{error}; or ask the daemon that has it, with --socket")
            }
            Self::Open(error) => error.fmt(f),
            Self::Unsound(unsound) => write!(f, "{unsound}; nothing was written"),
            Self::Fault(fault) => write!(f, "{}; nothing was written", fault.what.advice()),
            Self::Append(error) => error.fmt(f),
            Self::Io(error) => write!(f, "{error}; look with `ledger verify` before you repeat it"),
        }
    }
}

/// What is ordered about a posting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Correction {
    /// It is kept out of bills.
    Dispute,
    /// The dispute ends: it stands, but for what is given back.
    Resolve(Option<Share>),
    /// A part is given back.
    GiveBack(Share),
}

/// How much of a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// What is left of it.
    All,
    /// So much, in ledger units.
    Part(u128),
}

/// Who ordered it, why, and when by the wall clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ordered {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When, in milliseconds.
    pub wall_ms: u64,
}

/// Records that an order comes to, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Corrected {
    /// What is given back, and where it goes.
    pub contra: Option<(Contra, GivenBack)>,
    /// The dispute that opens or ends.
    pub dispute: Option<Dispute>,
}

impl Corrected {
    /// As they are written.
    pub fn bodies(&self) -> impl Iterator<Item = Body> {
        let contra = self.contra.iter().map(|(contra, _)| Body::Contra(contra.clone()));
        contra.chain(self.dispute.iter().map(|dispute| Body::Dispute(dispute.clone())))
    }
}

/// What an order about the posting that record `of` opened comes to; the books are those of the
/// whole journal, and take it.
///
/// # Errors
/// If it cannot follow.
pub fn correct(
    replay: &mut Replay,
    of: u64,
    correction: &Correction,
    ordered: &Ordered,
) -> Result<Corrected, Fault> {
    let Ordered { by, reason, wall_ms } = ordered.clone();
    let (share, open) = match correction {
        Correction::Dispute => (None, Some(true)),
        Correction::Resolve(share) => (*share, Some(false)),
        Correction::GiveBack(share) => (Some(*share), None),
    };
    let mut corrected = Corrected::default();
    if let Some(share) = share {
        let number = replay.last().saturating_add(1);
        let known = replay.given_back(of);
        let to = known.map_err(|what| Fault { number, flow: None, neighbour: None, what })?;
        let amount = match share {
            Share::All => to.left,
            Share::Part(amount) => amount,
        };
        let contra = Contra { of, amount, by: by.clone(), reason: reason.clone(), wall_ms };
        corrected.contra = Some((contra, to));
    }
    corrected.dispute = open.map(|open| Dispute { of, open, by, reason, wall_ms });
    for body in corrected.bodies() {
        replay.apply(replay.last().saturating_add(1), &body)?;
    }
    Ok(corrected)
}

/// Does what is ordered about a posting, durably, while no daemon runs.
///
/// # Errors
/// If a daemon has the directory, the journal is not sound, or the order cannot follow.
pub fn amend(
    dir: &Path,
    of: u64,
    correction: &Correction,
    ordered: &Ordered,
) -> Result<Corrected, AmendError> {
    let (mut journal, mut replay) = open(dir)?;
    let corrected = correct(&mut replay, of, correction, ordered).map_err(AmendError::Fault)?;
    for body in corrected.bodies() {
        journal.append(&body).map_err(AmendError::Append)?;
    }
    journal.sync().map_err(AmendError::Io)?;
    Ok(corrected)
}

/// The journal to write on, and its books as they are by then.
fn open(dir: &Path) -> Result<(Journal, Replay), AmendError> {
    // Opening would begin a journal where there is none, and write into one that is not sound.
    let verified = verify(dir, Expected::default()).map_err(AmendError::Unsound)?;
    let journal = Journal::open(dir, Options::default()).map_err(AmendError::Open)?;
    if journal.last().number == verified.replay.last() {
        return Ok((journal, verified.replay));
    }
    let replay = verify(dir, Expected::default()).map_err(AmendError::Unsound)?.replay;
    Ok((journal, replay))
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
    while let Some((number, body, applied)) = walk.step()? {
        let returned = applied.returned().iter().any(|(returned, _)| *returned == of);
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
            Body::Refund(_) => returned,
            Body::Dispute(dispute) => dispute.of == of,
            _ => false,
        };
        if about {
            records.push((number, body));
        }
    }
    Ok(Evidence { posting, records })
}
