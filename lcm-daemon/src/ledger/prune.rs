//! `lcmctl ledger prune`: retention by closed period. Whole files whose periods are billed are put
//! away, and what they came to is carried on in a signed summary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{error, fmt, fs, io};

use super::backup::segments;
use super::carried::Carried;
use super::frame::Hash;
use super::keys::{self, KeyError};
use super::lock::Refused;
use super::record::{Body, Contra, Dispute, Flow};
use super::replay::{Moment, Replay};
use super::segment;
use super::sign::PublicKey;
use super::storage::Disk;
use super::verify::{Expected, Unsound, Walk};

/// What was put away.
#[derive(Debug, PartialEq, Eq)]
pub struct Pruned {
    /// The first record that is still there.
    pub first: u64,
    /// The files that were put away.
    pub files: Vec<PathBuf>,
}

/// Why nothing was put away.
#[derive(Debug)]
pub enum PruneError {
    /// A daemon runs, or the directory cannot be locked.
    Refused(Refused),
    /// The journal is not sound.
    Unsound(Unsound),
    /// The period was not closed.
    NotClosed {
        /// Which was asked for.
        period: u64,
        /// The last one that was closed.
        last: Option<u64>,
    },
    /// A posting of the period may still change.
    NotFinal {
        /// Number of the record that opened it.
        posting: u64,
    },
    /// A posting of the period is named by a record that would stay.
    Corrected {
        /// Number of the record that opened it.
        posting: u64,
        /// Number of the contra entry or dispute.
        by: u64,
    },
    /// The key cannot be used.
    Key(KeyError),
    /// A file cannot be written, moved or removed.
    Io(PathBuf, io::Error),
}

impl error::Error for PruneError {}

impl fmt::Display for PruneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => refused.fmt(f),
            Self::Unsound(unsound) => write!(f, "{unsound}; nothing was put away"),
            Self::NotClosed { period, last } => {
                write!(f, "period {period} is not closed; ")?;
                match last {
                    Some(last) => write!(f, "the last closed one is {last}"),
                    None => f.write_str("none is"),
                }
            }
            Self::NotFinal { posting } => write!(
                f,
                "posting {posting} is provisional or disputed; wait until it is final, or name an \
                 earlier period"
            ),
            Self::Corrected { posting, by } => write!(
                f,
                "record {by} corrects or disputes posting {posting}, and comes after the period; \
                 name the period that holds both, or an earlier one"
            ),
            Self::Key(error) => error.fmt(f),
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

/// Where the journal is cut.
struct Cut {
    first: u64,
    before: Hash,
    key: PublicKey,
    replay: Replay,
    flows: Vec<Flow>,
}

/// Puts away the files of a directory whose records all belong to periods up to `period`: moved
/// into the directory `to`, or removed without one. `None` if there are none.
///
/// # Errors
/// If a daemon runs, the journal is not sound, or the period is not over.
pub fn prune(
    dir: &Path,
    period: u64,
    to: Option<&Path>,
    now: &Moment,
) -> Result<Option<Pruned>, PruneError> {
    let _claimed = Disk::claim(dir).map_err(PruneError::Refused)?;
    let io = |path: &Path| {
        let path = path.to_owned();
        move |error| PruneError::Io(path, error)
    };
    let all = segments(dir).map_err(io(dir))?;
    let Found { cut, later, corrections, key: signing } = find(dir, period, &all)?;
    let last = later.last_period();
    if last.is_none_or(|last| last < period) {
        return Err(PruneError::NotClosed { period, last });
    }
    let Some(Cut { first, before, key, mut replay, flows }) = cut else { return Ok(None) };
    if let Some(posting) = replay.not_final(&later, now) {
        return Err(PruneError::NotFinal { posting });
    }
    if let Some((by, posting)) = corrections.into_iter().find(|(_, of)| replay.has_posting(*of)) {
        return Err(PruneError::Corrected { posting, by });
    }
    replay.carry();
    let signer = keys::open(dir, signing).map_err(PruneError::Key)?;
    let carried = Carried { first, before, key, signer: signer.public(), replay, flows };
    if let Some(to) = to {
        fs::create_dir_all(to).map_err(io(to))?;
    }
    carried.write(dir, &signer).map_err(io(dir))?;
    let mut files = Vec::new();
    for number in all.iter().filter(|number| **number < first) {
        for name in [segment::name(*number), Carried::name(*number)] {
            let path = dir.join(&name);
            if path.exists() {
                put_away(&path, to.map(|to| to.join(&name)).as_deref()).map_err(io(&path))?;
                files.push(path);
            }
        }
    }
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))?;
    Ok(Some(Pruned { first, files }))
}

fn put_away(path: &Path, to: Option<&Path>) -> io::Result<()> {
    if let Some(to) = to {
        if to.exists() {
            return Err(io::Error::other(format!("{} is there already", to.display())));
        }
        fs::copy(path, to)?;
        fs::File::open(to)?.sync_all()?;
    }
    fs::remove_file(path)
}

/// What a journal was found to hold.
struct Found {
    cut: Option<Cut>,
    /// The books at the end.
    later: Replay,
    /// Contra entries and disputes behind the cut, and which posting each names.
    corrections: Vec<(u64, u64)>,
    /// The key that signs by now.
    key: Option<PublicKey>,
}

/// The last place between two files behind which no record of the period stands, and what is known
/// by now.
fn find(dir: &Path, period: u64, all: &[u64]) -> Result<Found, PruneError> {
    let mut walk = Walk::new(dir, Expected::default()).map_err(PruneError::Unsound)?;
    let mut cut = None;
    let mut corrections = Vec::new();
    let mut over = false;
    let mut flows: BTreeMap<u64, Flow> =
        walk.flows().iter().map(|flow| (flow.flow, flow.clone())).collect();
    while let Some((number, body, applied)) = walk.step().map_err(PruneError::Unsound)? {
        over = match &body {
            Body::Period(closed) => closed.number <= period,
            Body::Head(_) | Body::Key(_) => over,
            _ => false,
        };
        match &body {
            Body::Started(_) => flows.clear(),
            Body::Flow(flow) => drop(flows.insert(flow.flow, flow.clone())),
            _ => {}
        }
        if let Body::Contra(Contra { of, .. }) | Body::Dispute(Dispute { of, .. }) = body {
            corrections.push((number, of));
        }
        corrections.extend(applied.returned().iter().map(|(of, _)| (number, *of)));
        let first = number.saturating_add(1);
        if over
            && all.contains(&first)
            && let Some(key) = walk.key()
        {
            let (before, replay) = (*walk.hash(), walk.replay().clone());
            let flows = flows.values().cloned().collect();
            cut = Some(Cut { first, before, key, replay, flows });
            corrections.clear();
        }
    }
    let key = walk.key();
    let later = walk.end().map_err(PruneError::Unsound)?.replay;
    Ok(Found { cut, later, corrections, key })
}
