//! Segments: the files of a journal, each named after its first record.
//!
//! ```text
//!  00000000000000000001.journal
//!  magic 8 B │ version u16 │ number of the first record u64 │ hash before it 32 B │ check 8 B
//!  frames …
//! ```
//!
//! The check is the first 8 bytes of SHA-256 over what stands before it. A segment says by itself
//! where its chain continues, so old files can be put away and each can be read alone. Records at
//! the end of a segment whose numbers the next one has too are superseded: the writing of them had
//! failed, and they were written again there (see [`journal`](super::journal)).

use sha2::{Digest as _, Sha256};

use super::fault::Wrong;
use super::frame::Hash;
use super::record::FORMAT;

/// Bytes of a header.
pub const HEADER: usize = 58;

const MAGIC: &[u8; 8] = b"lcm book";
const SUFFIX: &str = ".journal";
const DIGITS: usize = 20;

/// Name of the segment whose first record is `first`.
pub fn name(first: u64) -> String {
    format!("{first:020}{SUFFIX}")
}

/// First record of the segment of this name, if it is one.
pub fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let all_digits = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { digits.parse().ok() } else { None }
}

/// What the header of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Number of the first record.
    pub(super) first: u64,
    /// Hash of the record before it.
    pub(super) before: Hash,
}

impl Header {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        self.of_version(FORMAT)
    }

    fn of_version(self, version: u16) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.before);
        let digest: Hash = Sha256::digest(&bytes).into();
        bytes.extend(digest.iter().take(8));
        bytes
    }

    /// Whether a file that begins with these bytes may be gone on with: records of kinds that an
    /// older version does not know begin in a file of their own.
    pub(super) fn is_present(bytes: &[u8]) -> bool {
        let version = bytes.get(MAGIC.len()..).and_then(|rest| rest.first_chunk::<2>());
        version == Some(&FORMAT.to_be_bytes())
    }

    /// Reads a header from the beginning of a file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Wrong> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(Wrong::Header)?;
        if magic != MAGIC {
            return Err(Wrong::Header);
        }
        let (version, rest) = rest.split_first_chunk::<2>().ok_or(Wrong::Header)?;
        let version = u16::from_be_bytes(*version);
        if version > FORMAT {
            return Err(Wrong::Newer { version });
        }
        let (first, rest) = rest.split_first_chunk::<8>().ok_or(Wrong::Header)?;
        let (before, _) = rest.split_first_chunk::<32>().ok_or(Wrong::Header)?;
        let header = Self { first: u64::from_be_bytes(*first), before: *before };
        if bytes.get(..HEADER) == Some(header.of_version(version).as_slice()) {
            Ok(header)
        } else {
            Err(Wrong::Header)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_first_record() {
        assert_eq!(name(1), "00000000000000000001.journal");
        assert_eq!(first_of(&name(u64::MAX)), Some(u64::MAX));
        for other in ["1.journal", "0000000000000000001x.journal", "00000000000000000001", "lock"] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_header_with_any_bit_changed_is_refused() {
        let header = Header { first: 7, before: [3; 32] };
        let good = header.to_bytes();
        assert_eq!(good.len(), HEADER);
        assert_eq!(Header::parse(&good), Ok(header));
        for bit in 0..HEADER * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::parse(&bad).is_err(), "bit {bit}");
        }
        for end in 0..HEADER {
            assert!(Header::parse(&good[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_file_of_an_older_version_is_read_and_not_gone_on_with() {
        let header = Header { first: 1, before: [0; 32] };
        let old = header.of_version(1);
        assert_eq!(Header::parse(&old), Ok(header));
        assert!(!Header::is_present(&old) && Header::is_present(&header.to_bytes()));
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut bytes = Header { first: 1, before: [0; 32] }.to_bytes();
        bytes[9] = 9;
        assert_eq!(Header::parse(&bytes), Err(Wrong::Newer { version: 9 }));
    }
}
