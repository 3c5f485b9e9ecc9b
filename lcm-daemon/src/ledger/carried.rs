//! What is left of records that were put away: `DIR/<first record that is there>.carried`.
//!
//! ```text
//!  magic 8 B │ version u16 │ first record that follows u64 │ hash before it 32 B │ public key of
//!  the records that follow 32 B │ public key of this summary 32 B │ signature 64 B │ the books
//!  by then │ the flows that their run named │ what was given back to holders of accounts beyond
//!  what they were charged since (all postcard; older programs left out the last, or both)
//! ```
//!
//! The signature is over the text `lcm ledger sums` with a zero, the first record, the hash, both
//! keys and the SHA-256 of the books and flows. Integers are big-endian. The second key is that of the day
//! on which the records were put away; the chain of keys leads to it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::{error, fmt};

use sha2::{Digest as _, Sha256};

use super::frame::Hash;
use super::record::{FORMAT, Flow};
use super::replay::Replay;
use super::sign::{PublicKey, Signer, signed};

const MAGIC: &[u8; 8] = b"lcm sums";
const TEXT: &[u8; 16] = b"lcm ledger sums\0";

/// The books up to the first record that is there.
#[derive(Debug)]
pub struct Carried {
    /// The first record that follows.
    pub first: u64,
    /// The hash before it.
    pub before: Hash,
    /// The key of the records that follow.
    pub key: PublicKey,
    /// The key that signs this.
    pub signer: PublicKey,
    /// The books by then.
    pub replay: Replay,
    /// What the numbers of flows stand for that later records name.
    pub flows: Vec<Flow>,
}

/// Why a summary is not to be believed.
#[derive(Debug)]
pub enum BadCarried {
    /// It cannot be read.
    Io(io::Error),
    /// It is no summary, or a damaged one.
    Malformed,
    /// A newer program wrote it.
    Newer(u16),
    /// The key that it names did not sign it, or is not one of the journal.
    Signature,
    /// It is of another journal than the files beside it.
    Joint,
}

impl error::Error for BadCarried {}

impl fmt::Display for BadCarried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Malformed => f.write_str("no summary of books, or a damaged one"),
            Self::Newer(version) => {
                write!(f, "of version {version}, this program knows {FORMAT}: use a newer one")
            }
            Self::Signature => f.write_str("not signed by a key of this journal"),
            Self::Joint => f.write_str("does not continue in the records beside it"),
        }
    }
}

impl Carried {
    /// The name of its file.
    pub fn name(first: u64) -> String {
        format!("{first:020}.carried")
    }

    /// Writes it, durably; it has its name when it is complete.
    pub(super) fn write(&self, dir: &Path, signer: &Signer) -> io::Result<()> {
        let books = postcard::to_extend(&self.replay, Vec::new()).map_err(io::Error::other)?;
        let books = postcard::to_extend(&self.flows, books).map_err(io::Error::other)?;
        let books = postcard::to_extend(&self.replay.over(), books).map_err(io::Error::other)?;
        let signature = signer.sums(&self.text(&books));
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&FORMAT.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.before);
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.signer);
        bytes.extend(signature.concat());
        bytes.extend(books);
        let unnamed = dir.join("carried.new");
        let mut file = File::create(&unnamed)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&unnamed, dir.join(Self::name(self.first)))?;
        File::open(dir)?.sync_all()
    }

    /// Reads and checks one; `None` if there is no such file.
    ///
    /// # Errors
    /// If it is not to be believed.
    pub fn read(path: &Path) -> Result<Option<Self>, BadCarried> {
        match fs::read(path) {
            Ok(bytes) => Self::parse(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(BadCarried::Io(error)),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, BadCarried> {
        let short = || BadCarried::Malformed;
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        if magic != MAGIC {
            return Err(BadCarried::Malformed);
        }
        let (version, rest) = rest.split_first_chunk::<2>().ok_or_else(short)?;
        let version = u16::from_be_bytes(*version);
        if version > FORMAT {
            return Err(BadCarried::Newer(version));
        }
        let (first, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (before, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (key, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (signer, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (r, rest) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let (s, books) = rest.split_first_chunk::<32>().ok_or_else(short)?;
        let mut carried = Self {
            first: u64::from_be_bytes(*first),
            before: *before,
            key: *key,
            signer: *signer,
            replay: Replay::default(),
            flows: Vec::new(),
        };
        if !signed(signer, &carried.text(books), [*r, *s]) {
            return Err(BadCarried::Signature);
        }
        // Version 1 had no accounts of holders, version 2 no bills; they stand at the end.
        let none: &[u8] = match version {
            0 | 1 => &[0; 5],
            2 => &[0; 4],
            _ => &[],
        };
        let books = [books, none].concat();
        let malformed = |_| BadCarried::Malformed;
        let (replay, flows) = postcard::take_from_bytes(&books).map_err(malformed)?;
        carried.replay = replay;
        if !flows.is_empty() {
            let (flows, over) = postcard::take_from_bytes(flows).map_err(malformed)?;
            carried.flows = flows;
            if !over.is_empty() {
                carried.replay.set_over(postcard::from_bytes(over).map_err(malformed)?);
            }
        }
        Ok(carried)
    }

    fn text(&self, books: &[u8]) -> Vec<u8> {
        let digest: Hash = Sha256::digest(books).into();
        let keys = [self.key, self.signer].concat();
        [TEXT.as_slice(), &self.first.to_be_bytes(), &self.before, &keys, &digest].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::record::{Action, Actor, Body, Operator};
    use crate::purse::{Holder, Terms};

    #[test]
    fn what_was_given_back_beyond_what_was_charged_is_in_a_summary() {
        let holder: Holder = "opaque:R".parse().unwrap();
        let by = Actor { uid: 0, name: String::new() };
        let action = Action::Open { holder: holder.clone(), terms: Terms::prepaid(978) };
        let mut replay = Replay::default();
        replay.apply(1, &Body::Operator(Operator { by, wall_ms: 0, action })).unwrap();
        replay.set_over(vec![(holder.clone(), 70)]);
        let signer = Signer::new(&[7; 32]);
        let (before, key, flows) = ([0; 32], signer.public(), Vec::new());
        let carried = Carried { first: 2, before, key, signer: key, replay, flows };
        let dir = tempfile::tempdir().unwrap();
        carried.write(dir.path(), &signer).unwrap();
        let read = Carried::read(&dir.path().join(Carried::name(2))).unwrap().unwrap();
        let left: Vec<_> = read.replay.standings().map(|(_, it)| it.kept.balance()).collect();
        assert_eq!((read.replay.over(), left), (vec![(holder, 70)], vec![70]));
    }
}
