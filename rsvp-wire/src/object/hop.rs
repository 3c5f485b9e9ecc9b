//! RSVP_HOP and TIME_VALUES (RFC 2205 A.2 and A.4).

use core::net::IpAddr;

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::address::{family_ctype, v4_and, v6_and};
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// RSVP_HOP: the neighbour that sent the message (PHOP downstream, NHOP upstream).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hop {
    /// Address of the interface through which the message was sent.
    pub address: IpAddr,
    /// Logical interface handle: kept from a Path and returned in the Resv.
    pub lih: u32,
}

impl Hop {
    /// Reads an RSVP_HOP.
    ///
    /// # Errors
    /// An unknown C-Type, a wrong length, an unspecified or multicast address.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let parts = match raw.ctype {
            1 => v4_and::<4>(raw.body),
            2 => v6_and::<4>(raw.body),
            _ => return Err(raw.bad_ctype()),
        };
        let Some((address, lih)) = parts else { return Err(raw.bad_length()) };
        let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_unspecified() || address.is_multicast() || broadcast {
            let first = raw.body.first_chunk::<4>().copied().unwrap_or_default();
            let value = u32::from_be_bytes(first).into();
            return Err(raw.fault(ErrorKind::BadHop, 4, "address (first 32 bits)", value));
        }
        Ok(Self { address, lih: u32::from_be_bytes(*lih) })
    }
}

impl EncodeObject for Hop {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::RSVP_HOP, family_ctype(self.address))
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put_ip(self.address);
        sink.put_u32(self.lih);
    }
}

/// TIME_VALUES: the refresh period R of the message's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimeValues {
    /// R in milliseconds.
    pub refresh_ms: u32,
}

impl TimeValues {
    /// Reads a TIME_VALUES.
    ///
    /// # Errors
    /// An unknown C-Type or a wrong length.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        if raw.ctype != 1 {
            return Err(raw.bad_ctype());
        }
        let &[a, b, c, d] = raw.body else { return Err(raw.bad_length()) };
        Ok(Self { refresh_ms: u32::from_be_bytes([a, b, c, d]) })
    }
}

impl EncodeObject for TimeValues {
    fn class_and_ctype(&self) -> (u8, u8) {
        (class::TIME_VALUES, 1)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        sink.put_u32(self.refresh_ms);
    }
}
