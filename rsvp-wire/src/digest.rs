//! The keyed digests of INTEGRITY objects: over messages (RFC 2747 section 4) and over POLICY_DATA
//! objects (RFC 2750 appendix B).
//!
//! Signing fills in the digest of an INTEGRITY object that is there already, with key identifier
//! and sequence number; checking tells whether a digest is right. Which key belongs to a sender,
//! and whether a sequence number is a replay, is for the caller to know.

use core::fmt;
use core::ops::Range;
use core::slice;

use hmac::{Hmac, KeyInit, Mac};
use subtle::ConstantTimeEq;

use crate::iana::{class, open_enum};
use crate::object::{Integrity, PolicyData, Session};
use crate::packet::{HEADER_LEN, Objects, Packet, RawObject};
use crate::writer::{EncodeObject, rewrite_checksum};

open_enum! {
    /// The hash under the HMAC. The numbers are for configuration files; they do not travel.
    pub enum Algorithm(u8) {
        /// HMAC-MD5, which RFC 2747 requires: 16 bytes.
        HmacMd5 = 1 => "hmac-md5",
        /// HMAC-SHA-1: 20 bytes.
        HmacSha1 = 2 => "hmac-sha1",
        /// HMAC-SHA-256: 32 bytes.
        HmacSha256 = 3 => "hmac-sha256",
    }
}

/// The longest digest in bytes.
const MAX_DIGEST_LEN: usize = 32;

impl Algorithm {
    /// Bytes of a digest, 0 for an unknown algorithm.
    #[must_use]
    pub const fn digest_len(self) -> usize {
        match self {
            Self::HmacMd5 => 16,
            Self::HmacSha1 => 20,
            Self::HmacSha256 => 32,
            Self::Unknown(_) => 0,
        }
    }

    /// As many zeros as a digest has bytes: what an INTEGRITY object is written with before it is
    /// signed.
    #[must_use]
    pub const fn blank(self) -> &'static [u8] {
        match self {
            Self::HmacMd5 => &[0; 16],
            Self::HmacSha1 => &[0; 20],
            Self::HmacSha256 => &[0; 32],
            Self::Unknown(_) => &[],
        }
    }
}

/// A secret and what it is used with. Its `Debug` form does not show the secret.
#[derive(Clone, Copy)]
pub struct Key<'k> {
    /// The hash.
    pub algorithm: Algorithm,
    /// The secret, of any length.
    pub secret: &'k [u8],
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key {{ {}, secret of {} bytes }}", self.algorithm.name(), self.secret.len())
    }
}

/// Why a digest cannot be made or is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DigestError {
    /// There is no INTEGRITY object where it has to stand.
    Missing,
    /// The digest has another length than the algorithm's.
    WrongLength {
        /// Bytes in the object.
        found: usize,
        /// Bytes that the algorithm makes.
        expected: usize,
    },
    /// The digest is not that of these bytes under this key.
    Mismatch,
}

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no INTEGRITY object"),
            Self::WrongLength { found, expected } => {
                write!(
                    f,
                    "INTEGRITY digest has {found} bytes, the key's algorithm makes {expected}"
                )
            }
            Self::Mismatch => f.write_str("INTEGRITY digest does not match the message and key"),
        }
    }
}

impl core::error::Error for DigestError {}

/// Fills in the digest of a finished message whose first object is an INTEGRITY object, and its
/// checksum anew (RFC 2747 section 4.1).
///
/// # Errors
/// [`DigestError::Missing`] or [`DigestError::WrongLength`]; the message is then unchanged.
pub fn sign(message: &mut [u8], key: &Key<'_>) -> Result<(), DigestError> {
    let range = message_digest_range(message, key)?;
    let digest = compute(key, message, &[2..4, range.clone()], &[]);
    put_digest(message, range, &digest);
    rewrite_checksum(message);
    Ok(())
}

/// Checks the digest of a received message, in constant time (RFC 2747 section 4.2).
///
/// # Errors
/// See [`DigestError`].
pub fn verify<'a>(packet: &Packet<'a>, key: &Key<'_>) -> Result<Integrity<'a>, DigestError> {
    let message = packet.bytes();
    let integrity = packet.integrity().ok_or(DigestError::Missing)?;
    let range = message_digest_range(message, key)?;
    let digest = compute(key, message, &[2..4, range], &[]);
    compare(&digest, integrity.digest, key)?;
    Ok(integrity)
}

/// Fills in the digest of a finished POLICY_DATA object that has an INTEGRITY option, for this
/// session (RFC 2750 appendix B).
///
/// # Errors
/// [`DigestError::Missing`] or [`DigestError::WrongLength`]; the object is then unchanged.
pub fn sign_policy(object: &mut [u8], session: &Session, key: &Key<'_>) -> Result<(), DigestError> {
    let raw = RawObject::parse(object).map_err(|_| DigestError::Missing)?;
    let policy = PolicyData::decode(&raw).map_err(|_| DigestError::Missing)?;
    let range = option_digest_range(policy.options(), key)?;
    let digest = with_session(session, |tail| compute(key, object, slice::from_ref(&range), tail));
    put_digest(object, range, &digest);
    Ok(())
}

/// Checks the digest of a received POLICY_DATA object, in constant time.
///
/// # Errors
/// See [`DigestError`].
pub fn verify_policy<'a>(
    policy: &PolicyData<'a>,
    session: &Session,
    key: &Key<'_>,
) -> Result<Integrity<'a>, DigestError> {
    let integrity = policy.integrity().ok_or(DigestError::Missing)?;
    let in_message = option_digest_range(policy.options(), key)?;
    let start = policy.raw().offset;
    let range = in_message.start - start..in_message.end - start;
    let digest = with_session(session, |tail| compute(key, policy.bytes(), &[range], tail));
    compare(&digest, integrity.digest, key)?;
    Ok(integrity)
}

/// The digest of any bytes, as it stands in a DIGITAL_SIGNATURE of RFC 3182, into `digest`.
///
/// # Errors
/// [`DigestError::WrongLength`] if `digest` has not the algorithm's length.
pub fn sign_bytes(bytes: &[u8], key: &Key<'_>, digest: &mut [u8]) -> Result<(), DigestError> {
    let (found, expected) = (digest.len(), key.algorithm.digest_len());
    if found != expected {
        return Err(DigestError::WrongLength { found, expected });
    }
    digest.copy_from_slice(compute(key, bytes, &[], &[]).as_slice());
    Ok(())
}

/// Checks the digest of any bytes, in constant time.
///
/// # Errors
/// [`DigestError::Mismatch`].
pub fn verify_bytes(bytes: &[u8], key: &Key<'_>, digest: &[u8]) -> Result<(), DigestError> {
    compare(&compute(key, bytes, &[], &[]), digest, key)
}

/// Where the digest of a message stands.
fn message_digest_range(message: &[u8], key: &Key<'_>) -> Result<Range<usize>, DigestError> {
    let objects = message.get(HEADER_LEN..).ok_or(DigestError::Missing)?;
    let first = Objects::new(objects, HEADER_LEN).next().ok_or(DigestError::Missing)?;
    digest_range(&first, key)
}

fn option_digest_range(options: Objects<'_>, key: &Key<'_>) -> Result<Range<usize>, DigestError> {
    let mut integrity = options.filter(|option| option.class == class::INTEGRITY);
    digest_range(&integrity.next().ok_or(DigestError::Missing)?, key)
}

fn digest_range(raw: &RawObject<'_>, key: &Key<'_>) -> Result<Range<usize>, DigestError> {
    if raw.class != class::INTEGRITY {
        return Err(DigestError::Missing);
    }
    let integrity = Integrity::decode(raw).map_err(|_| DigestError::Missing)?;
    let (found, expected) = (integrity.digest.len(), key.algorithm.digest_len());
    if found != expected {
        return Err(DigestError::WrongLength { found, expected });
    }
    let start = raw.offset + Integrity::DIGEST_OFFSET;
    Ok(start..start + found)
}

fn put_digest(bytes: &mut [u8], range: Range<usize>, digest: &Digest) {
    for (to, from) in bytes.get_mut(range).into_iter().flatten().zip(digest.as_slice()) {
        *to = *from;
    }
}

/// Calls with the SESSION object that a policy digest covers: its flags are 0.
fn with_session<T>(session: &Session, then: impl FnOnce(&[u8]) -> T) -> T {
    let mut object = [0; 24];
    let length = session.key().encode(&mut object).unwrap_or(0);
    then(object.get(..length).unwrap_or_default())
}

/// A digest of the algorithm's length.
struct Digest {
    bytes: [u8; MAX_DIGEST_LEN],
    length: usize,
}

impl Digest {
    fn new(from: &[u8]) -> Self {
        let mut bytes = [0; MAX_DIGEST_LEN];
        for (to, from) in bytes.iter_mut().zip(from) {
            *to = *from;
        }
        Self { bytes, length: from.len().min(MAX_DIGEST_LEN) }
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The digest over `bytes`, with the ranges in `blank` (in ascending order) taken as zeros, and
/// then `tail`.
fn compute(key: &Key<'_>, bytes: &[u8], blank: &[Range<usize>], tail: &[u8]) -> Digest {
    match key.algorithm {
        Algorithm::HmacMd5 => compute_with::<Hmac<md5::Md5>>(key.secret, bytes, blank, tail),
        Algorithm::HmacSha1 => compute_with::<Hmac<sha1::Sha1>>(key.secret, bytes, blank, tail),
        Algorithm::HmacSha256 => compute_with::<Hmac<sha2::Sha256>>(key.secret, bytes, blank, tail),
        Algorithm::Unknown(_) => Digest::new(&[]),
    }
}

fn compute_with<M: Mac + KeyInit>(
    secret: &[u8],
    bytes: &[u8],
    blank: &[Range<usize>],
    tail: &[u8],
) -> Digest {
    // HMAC takes keys of any length; the error belongs to other algorithms behind this interface.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return Digest::new(&[]) };
    let mut at = 0;
    for range in blank {
        mac.update(bytes.get(at..range.start).unwrap_or_default());
        mac.update([0; MAX_DIGEST_LEN].get(..range.len()).unwrap_or_default());
        at = range.end;
    }
    mac.update(bytes.get(at..).unwrap_or_default());
    mac.update(tail);
    Digest::new(&mac.finalize().into_bytes())
}

fn compare(computed: &Digest, received: &[u8], key: &Key<'_>) -> Result<(), DigestError> {
    let right: bool = computed.as_slice().ct_eq(received).into();
    if right && received.len() == key.algorithm.digest_len() && !received.is_empty() {
        Ok(())
    } else {
        Err(DigestError::Mismatch)
    }
}
