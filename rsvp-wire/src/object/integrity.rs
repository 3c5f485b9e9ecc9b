//! INTEGRITY (RFC 2747 section 2).
//!
//! ```text
//! +-------------+-------------+-------------+-------------+
//! |    Flags    | 0 (Reserved)|                           |
//! +-------------+-------------+                           +
//! |                    Key Identifier                     |
//! +-------------+-------------+-------------+-------------+
//! |                    Sequence Number (64 bits)          |
//! |                                                       |
//! +-------------+-------------+-------------+-------------+
//! |                    Keyed Message Digest               |
//! ```

use crate::error::DecodeError;
use crate::iana::class;
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// INTEGRITY: a keyed digest over the message, or over a POLICY_DATA object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Integrity<'a> {
    /// Flag bits: [`Integrity::HANDSHAKE`].
    pub flags: u8,
    /// Key identifier, 48 bits.
    pub key_id: u64,
    /// Sequence number against replay.
    pub sequence: u64,
    /// Keyed message digest; its length, a multiple of 4, depends on the key's algorithm.
    pub digest: &'a [u8],
}

impl<'a> Integrity<'a> {
    /// Flag: the sender answers integrity challenges.
    pub const HANDSHAKE: u8 = 0x80;
    /// Bytes from the start of the object to the digest.
    pub const DIGEST_OFFSET: usize = 20;

    /// Reads an INTEGRITY object; the digest is not compared here.
    ///
    /// # Errors
    /// An unknown C-Type, or too short for a digest of 32 bits.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        if raw.ctype != 1 {
            return Err(raw.bad_ctype());
        }
        let Some((&[flags, _, a, b, c, d, e, f], rest)) = raw.body.split_first_chunk::<8>() else {
            return Err(raw.bad_length());
        };
        let Some((sequence, digest)) = rest.split_first_chunk::<8>() else {
            return Err(raw.bad_length());
        };
        if digest.is_empty() {
            return Err(raw.bad_length());
        }
        let key_id = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        Ok(Self { flags, key_id, sequence: u64::from_be_bytes(*sequence), digest })
    }
}

impl EncodeObject for Integrity<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::INTEGRITY, 1)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        let [_, _, key @ ..] = self.key_id.to_be_bytes();
        sink.put(&[self.flags, 0]);
        sink.put(&key);
        sink.put_u64(self.sequence);
        sink.put(self.digest);
    }
}
