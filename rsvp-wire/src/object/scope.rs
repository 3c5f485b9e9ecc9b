//! SCOPE (RFC 2205 A.6).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::address::family_ctype;
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// SCOPE for writing: senders of one address family in ascending order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a>(pub &'a [IpAddr]);

impl EncodeObject for Scope<'_> {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::SCOPE, self.0.first().map_or(1, |first| family_ctype(*first)))
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        for address in self.0 {
            sink.put_ip(*address);
        }
    }
}

/// The addresses of a SCOPE or ROUTE object, in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeIter<'a> {
    rest: &'a [u8],
    v6: bool,
}

impl<'a> ScopeIter<'a> {
    /// No addresses.
    pub(crate) const EMPTY: Self = Self { rest: &[], v6: false };

    /// The addresses of a SCOPE object.
    ///
    /// # Errors
    /// An unknown C-Type, or a length that is not a number of addresses. Their order is not
    /// checked: A.6 asks it of the sender, and a receiver can do without.
    pub fn decode(raw: &RawObject<'a>) -> Result<Self, DecodeError> {
        if !matches!(raw.ctype, 1 | 2) {
            return Err(raw.bad_ctype());
        }
        let length = raw.bytes.len() as u64;
        let fault = || raw.fault(ErrorKind::BadScope, 0, "length", length);
        Self::over(raw.body, raw.ctype).ok_or_else(fault)
    }

    /// Addresses of a C-Type's family (1: IPv4, 2: IPv6), if the bytes are whole addresses.
    pub(super) fn over(bytes: &'a [u8], ctype: u8) -> Option<Self> {
        let (v6, size) = match ctype {
            1 => (false, 4),
            2 => (true, 16),
            _ => return None,
        };
        bytes.len().is_multiple_of(size).then_some(Self { rest: bytes, v6 })
    }

    /// Whether the addresses are IPv6.
    pub(crate) const fn is_v6(&self) -> bool {
        self.v6
    }
}

impl Iterator for ScopeIter<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        if self.v6 {
            let (address, rest) = self.rest.split_first_chunk::<16>()?;
            self.rest = rest;
            Some(IpAddr::V6(Ipv6Addr::from(*address)))
        } else {
            let (address, rest) = self.rest.split_first_chunk::<4>()?;
            self.rest = rest;
            Some(IpAddr::V4(Ipv4Addr::from(*address)))
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.rest.len() / if self.v6 { 16 } else { 4 };
        (left, Some(left))
    }
}

impl ExactSizeIterator for ScopeIter<'_> {}
