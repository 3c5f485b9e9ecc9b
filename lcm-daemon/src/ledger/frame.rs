//! Frames: a record's body with its length and the tag that chains it to all records before.
//!
//! ```text
//!  length u16 BE │ body (postcard) │ tag: first 8 bytes of h_n = SHA-256(h_(n−1) ‖ body_n)
//! ```
//!
//! A record's number is not written: it is that of the one before, plus 1. The tag stands for the
//! whole history, so a frame that was changed, moved, doubled or left out shows at its place.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

/// A link of the chain: the hash over a record and all before it.
pub type Hash = [u8; 32];

/// The hash before record 1.
pub const GENESIS: Hash = [0; 32];

/// Longest body of a record, in bytes.
pub const BODY_MAX: usize = u16::MAX as usize;

/// Bytes of a frame beside its body.
pub const OVERHEAD: usize = LENGTH + TAG;

const LENGTH: usize = 2;
const TAG: usize = 8;

/// The hash of a record, from the hash before it and its body.
pub fn link(before: &Hash, body: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(before);
    hasher.update(body);
    hasher.finalize().into()
}

fn tag(hash: &Hash) -> &[u8] {
    hash.split_at_checked(TAG).map_or(&[], |(tag, _)| tag)
}

/// Writes one frame behind what `out` holds, and returns the record's hash; `None` for a body that
/// is empty or longer than [`BODY_MAX`].
pub(super) fn write(out: &mut Vec<u8>, before: &Hash, body: &[u8]) -> Option<Hash> {
    let length = u16::try_from(body.len()).ok().filter(|length| *length > 0)?;
    let hash = link(before, body);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(body);
    out.extend_from_slice(tag(&hash));
    Some(hash)
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame that continues the chain: where its body lies, its hash.
    Frame { body: Range<usize>, hash: Hash },
    /// A frame that would be `need` bytes long, and is not there in full.
    Short { need: usize },
    /// No frame that continues the chain.
    Bad,
}

/// Reads the frame at the beginning of `bytes`.
pub(super) fn read(bytes: &[u8], before: &Hash) -> Found {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else {
        return Found::Short { need: LENGTH };
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length == 0 {
        return Found::Bad;
    }
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Found::Short { need: length.saturating_add(OVERHEAD) };
    };
    let Some((found, _)) = rest.split_at_checked(TAG) else {
        return Found::Short { need: length.saturating_add(OVERHEAD) };
    };
    let hash = link(before, body);
    if found != tag(&hash) {
        return Found::Bad;
    }
    Found::Frame { body: LENGTH..LENGTH.saturating_add(length), hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_reads_back() {
        let mut out = Vec::new();
        let hash = write(&mut out, &GENESIS, b"body").unwrap();
        assert_eq!(out.len(), 4 + OVERHEAD);
        assert_eq!(read(&out, &GENESIS), Found::Frame { body: 2..6, hash });
        assert_eq!(read(&out, &hash), Found::Bad);
    }

    #[test]
    fn a_frame_cut_anywhere_is_short() {
        let mut out = Vec::new();
        write(&mut out, &GENESIS, b"body").unwrap();
        for end in 0..out.len() {
            assert!(matches!(read(&out[..end], &GENESIS), Found::Short { .. }), "{end}");
        }
    }

    #[test]
    fn bodies_have_bounds() {
        let mut out = Vec::new();
        assert!(write(&mut out, &GENESIS, &[]).is_none());
        assert!(write(&mut out, &GENESIS, &vec![1; BODY_MAX + 1]).is_none());
        assert!(out.is_empty());
        let hash = write(&mut out, &GENESIS, &vec![1; BODY_MAX]).unwrap();
        assert_eq!(read(&out, &GENESIS), Found::Frame { body: 2..2 + BODY_MAX, hash });
    }
}
