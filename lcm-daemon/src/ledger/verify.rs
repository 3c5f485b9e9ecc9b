//! Going through a journal: chain, signatures and books at once.
//!
//! What an auditor asks: has anything been changed since it was written, did its owner write it,
//! and does it come to what is billed? [`Walk`] answers record by record, [`verify`] for a whole
//! directory.

use std::path::{Path, PathBuf};
use std::{error, fmt, io};

use serde::{Deserialize, Serialize};

use super::carried::{BadCarried, Carried};
use super::fault::Fault;
use super::lock;
use super::reader::Reader;
use super::record::{Body, Flow, Head};
use super::replay::{self, Applied, Replay};
use super::sign::{BadSignature, PublicKey, Signatures, hex};

/// A signed head as it is deposited with a neighbour: whoever holds one can tell later whether the
/// journal still has the history that it had then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deposit {
    /// Number of the record that holds the head.
    pub number: u64,
    /// The hash before it, over all records up to there: 64 hexadecimal digits.
    pub hash: String,
    /// When it was signed, in milliseconds since 1970.
    pub wall_ms: u64,
    /// The key that signed it: 64 hexadecimal digits.
    pub public_key: String,
    /// The Ed25519 signature: 128 hexadecimal digits.
    pub signature: String,
}

impl Deposit {
    fn of(number: u64, before: &[u8; 32], head: &Head, key: &PublicKey) -> Self {
        Self {
            number,
            hash: hex(before),
            wall_ms: head.wall_ms,
            public_key: hex(key),
            signature: hex(&head.signature.concat()),
        }
    }
}

/// What a journal is to be held against.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// A head that was deposited.
    pub head: Option<Deposit>,
    /// A key that must have signed.
    pub key: Option<PublicKey>,
}

/// The first thing that is wrong with a journal.
#[derive(Debug)]
pub enum Unsound {
    /// The directory cannot be read.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no journal in it.
    Empty(PathBuf),
    /// Files are damaged or missing.
    Chain(Fault),
    /// The records before the first file were put away without a summary of them.
    Cut {
        /// The first record that is there.
        first: u64,
    },
    /// The summary of what was put away is not to be believed.
    Carried(PathBuf, BadCarried),
    /// A signature is wrong.
    Signature {
        /// Of which record.
        number: u64,
        /// What is wrong.
        wrong: BadSignature,
    },
    /// The books do not follow.
    Books(replay::Fault),
    /// The accounts do not sum to zero.
    Sum(Option<i128>),
    /// The journal has another history than it had when a head was deposited.
    Rewritten {
        /// Number of the head.
        number: u64,
    },
    /// The journal ends before a head that was deposited.
    Shortened {
        /// Number of the head.
        number: u64,
        /// The last record.
        last: u64,
    },
    /// What a deposited head signs was put away.
    HeadPutAway {
        /// Number of the head.
        number: u64,
        /// The first record that is there.
        first: u64,
    },
    /// The key that was asked for signed nothing.
    OtherKey {
        /// The one that signs.
        found: Option<PublicKey>,
    },
}

impl error::Error for Unsound {}

impl fmt::Display for Unsound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, error } => {
                write!(f, "{}: {error}", path.display())?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str(": do this as a user who may read the books")
                    }
                    _ => Ok(()),
                }
            }
            Self::Empty(dir) => {
                write!(f, "{}: no journal is here: no file NUMBER.journal", dir.display())
            }
            Self::Chain(fault) if fault.is_torn_tail() => write!(
                f,
                "{fault}. No daemon runs here that could be writing it: a crash left it behind. \
                 The daemon cuts it off at its next start; nothing acknowledged is lost"
            ),
            Self::Chain(fault) => write!(f, "{fault}"),
            Self::Cut { first } => write!(
                f,
                "record {first} is the first here, and no summary says what came before it; \
                 restore the files before it, or NUMBER.carried, from the backup"
            ),
            Self::Carried(path, wrong) => write!(f, "{}: {wrong}", path.display()),
            Self::Signature { number, wrong } => write!(f, "record {number}: {wrong}"),
            Self::Books(fault) => write!(f, "{fault}"),
            Self::Sum(Some(sum)) => write!(f, "the accounts sum to {sum}, not to 0"),
            Self::Sum(None) => f.write_str("the sum of the accounts does not fit 127 bits"),
            Self::Rewritten { number } => write!(
                f,
                "record {number}: not the head that was deposited: the records before it were \
                 written anew since, or the head is of another journal"
            ),
            Self::Shortened { number, last } => write!(
                f,
                "the head that was deposited is record {number}, but the journal ends with record \
                 {last}: records were taken off its end, or the head is of another journal"
            ),
            Self::HeadPutAway { number, first } => write!(
                f,
                "the head that was deposited is record {number}, but the records before {first} \
                 were put away; verify a backup that has them"
            ),
            Self::OtherKey { found } => {
                let found = found.map_or("no key at all".to_owned(), |key| hex(&key));
                write!(f, "the key that was asked for signed nothing here; {found} signs")
            }
        }
    }
}

/// A journal that is sound.
#[derive(Debug)]
pub struct Verified {
    /// The books.
    pub replay: Replay,
    /// Records that were read.
    pub records: u64,
    /// Signed heads among them.
    pub heads: u64,
    /// The last of them, for a deposit.
    pub head: Option<Deposit>,
    /// The key that signs by now.
    pub key: Option<PublicKey>,
    /// A daemon runs, and its last record was not complete when it was read.
    pub unfinished: bool,
}

/// Goes through the journal of a directory.
#[derive(Debug)]
pub struct Walk {
    reader: Reader,
    signatures: Signatures,
    replay: Replay,
    /// The flows that were named before that, and may be named again.
    flows: Vec<Flow>,
    /// The first record that is there.
    first: u64,
    records: u64,
    head: Option<Deposit>,
    expected: Expected,
    /// The deposited head was found; the key asked for signed.
    found: (bool, bool),
    /// The key that signed the summary of what was put away, until the chain of keys leads to it.
    carried_by: Option<PublicKey>,
    dir: PathBuf,
    unfinished: bool,
}

impl Walk {
    /// Begins at the first record that is there.
    ///
    /// # Errors
    /// If there is none, or what came before it is not known.
    pub fn new(dir: &Path, expected: Expected) -> Result<Self, Unsound> {
        let failed = |error| Unsound::Io { path: dir.to_owned(), error };
        let reader = Reader::open(dir).map_err(failed)?;
        let first = super::backup::segments(dir).map_err(failed)?.first().copied();
        let first = first.ok_or_else(|| Unsound::Empty(dir.to_owned()))?;
        let (mut replay, mut signatures) = (Replay::default(), Signatures::new());
        let (mut carried_by, mut flows) = (None, Vec::new());
        if first > 1 {
            let path = dir.join(Carried::name(first));
            let carried = Carried::read(&path).map_err(|e| Unsound::Carried(path.clone(), e))?;
            let carried = carried.ok_or(Unsound::Cut { first })?;
            if carried.first != first || !reader.continues(&carried.before) {
                return Err(Unsound::Carried(path, BadCarried::Joint));
            }
            signatures = Signatures::of(carried.key);
            carried_by = Some(carried.signer).filter(|signer| *signer != carried.key);
            (replay, flows) = (carried.replay, carried.flows);
        }
        Ok(Self {
            reader,
            signatures,
            replay,
            flows,
            first,
            records: 0,
            head: None,
            expected,
            found: (false, false),
            carried_by,
            dir: dir.to_owned(),
            unfinished: false,
        })
    }

    /// Goes to the next record; `None` behind the last.
    ///
    /// # Errors
    /// What is wrong. Nothing follows after that.
    pub fn step(&mut self) -> Result<Option<(u64, Body, Applied)>, Unsound> {
        let (number, body) = match self.reader.next() {
            None => return Ok(None),
            Some(Err(fault)) if fault.is_torn_tail() && lock::holder(&self.dir).is_some() => {
                self.unfinished = true;
                return Ok(None);
            }
            Some(Err(fault)) => return Err(Unsound::Chain(fault)),
            Some(Ok(record)) => record,
        };
        self.records = self.records.saturating_add(1);
        if matches!(body, Body::Head(_) | Body::Key(_)) {
            let checked = self.signatures.check(number, self.reader.before(), &body);
            checked.map_err(|wrong| Unsound::Signature { number, wrong })?;
            self.carried_by = self.carried_by.filter(|key| Some(*key) != self.signatures.key());
        }
        if let (Body::Head(head), Some(key)) = (&body, self.signatures.key()) {
            self.head = Some(Deposit::of(number, self.reader.before(), head, &key));
            self.found.1 |= self.expected.key == Some(key);
        }
        if self.expected.head.as_ref().is_some_and(|head| head.number == number) {
            if !matches!(body, Body::Head(_)) || self.head != self.expected.head {
                return Err(Unsound::Rewritten { number });
            }
            self.found.0 = true;
        }
        let applied = self.replay.apply(number, &body).map_err(Unsound::Books)?;
        Ok(Some((number, body, applied)))
    }

    /// The books as far as the walk went.
    pub fn replay(&self) -> &Replay {
        &self.replay
    }

    /// The flows that were named before the first record.
    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    /// The hash of the last record.
    pub(super) fn hash(&self) -> &[u8; 32] {
        self.reader.hash()
    }

    /// The key that signs by now.
    pub(super) fn key(&self) -> Option<PublicKey> {
        self.signatures.key()
    }

    /// Sums up at the end.
    ///
    /// # Errors
    /// If something is missing that was expected.
    pub fn end(self) -> Result<Verified, Unsound> {
        match self.replay.sum() {
            Some(0) => {}
            sum => return Err(Unsound::Sum(sum)),
        }
        if self.carried_by.is_some() {
            let path = self.dir.join(Carried::name(self.first));
            return Err(Unsound::Carried(path, BadCarried::Signature));
        }
        if let Some(head) = self.expected.head.filter(|_| !self.found.0) {
            let (number, first, last) = (head.number, self.first, self.reader.number());
            return Err(if number < first {
                Unsound::HeadPutAway { number, first }
            } else {
                Unsound::Shortened { number, last }
            });
        }
        if self.expected.key.is_some() && !self.found.1 {
            return Err(Unsound::OtherKey { found: self.signatures.key() });
        }
        Ok(Verified {
            replay: self.replay,
            records: self.records,
            heads: self.signatures.heads(),
            head: self.head,
            key: self.signatures.key(),
            unfinished: self.unfinished,
        })
    }
}

/// Verifies the journal of a directory, also while a daemon writes there, and a copy.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(dir: &Path, expected: Expected) -> Result<Verified, Unsound> {
    let mut walk = Walk::new(dir, expected)?;
    while walk.step()?.is_some() {}
    walk.end()
}
