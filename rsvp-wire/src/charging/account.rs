//! Accounts: who pays.

use alloc::boxed::Box;
use core::fmt;

use crate::iana::open_enum;

open_enum! {
    /// The id_type octet of an ACCOUNT TLV: how an identifier is to be read.
    pub enum AccountKind(u8) {
        /// Agreed between the neighbours.
        Opaque = 1 => "opaque",
        /// Network access identifier (RFC 7542).
        Nai = 2 => "NAI",
        /// Four octets of an IPv4 address.
        Ipv4 = 3 => "IPv4",
        /// Sixteen octets of an IPv6 address.
        Ipv6 = 4 => "IPv6",
        /// SHA-256 of a public key.
        KeyHash = 5 => "key hash",
        /// A SIP or tel URI, as P-Charge-Info names the charged party (RFC 8496).
        Uri = 6 => "URI",
    }
}

/// Identifiers up to this length are kept without an allocation.
const INLINE: usize = 38;

/// The bytes of an account's identifier.
#[derive(Clone)]
pub struct AccountId(Repr);

#[derive(Clone)]
enum Repr {
    Inline { length: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl AccountId {
    /// Copies an identifier; up to 38 bytes without an allocation.
    #[must_use]
    pub fn new(id: &[u8]) -> Self {
        let mut bytes = [0; INLINE];
        match (bytes.get_mut(..id.len()), u8::try_from(id.len())) {
            (Some(to), Ok(length)) => {
                to.copy_from_slice(id);
                Self(Repr::Inline { length, bytes })
            }
            _ => Self(Repr::Heap(id.into())),
        }
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Repr::Heap(bytes) => bytes,
        }
    }
}

impl PartialEq for AccountId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for AccountId {}

impl PartialOrd for AccountId {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AccountId {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl core::hash::Hash for AccountId {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.as_bytes().escape_ascii())
    }
}

impl From<&[u8]> for AccountId {
    fn from(id: &[u8]) -> Self {
        Self::new(id)
    }
}

/// The account that a payment is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Account {
    /// How the identifier is to be read.
    pub kind: AccountKind,
    /// The identifier; not empty.
    pub id: AccountId,
}

impl Account {
    /// An account from its parts.
    #[must_use]
    pub fn new(kind: AccountKind, id: &[u8]) -> Self {
        Self { kind, id: AccountId::new(id) }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id.as_bytes();
        match self.kind {
            AccountKind::Opaque | AccountKind::Nai | AccountKind::Uri => {
                write!(f, "{}", id.escape_ascii())
            }
            AccountKind::Ipv4 => match <[u8; 4]>::try_from(id) {
                Ok(octets) => write!(f, "{}", core::net::Ipv4Addr::from(octets)),
                Err(_) => write_hex(f, id),
            },
            AccountKind::Ipv6 => match <[u8; 16]>::try_from(id) {
                Ok(octets) => write!(f, "{}", core::net::Ipv6Addr::from(octets)),
                Err(_) => write_hex(f, id),
            },
            AccountKind::KeyHash | AccountKind::Unknown(_) => write_hex(f, id),
        }
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
