//! SESSION (RFC 2205 A.1; RFC 2207 section 3.1 for IPsec).

use core::net::IpAddr;

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::address::{v4_and, v6_and};
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// A data flow's destination.
///
/// Equality, order and hash take the flags in; state is looked up by [`Session::key`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Session {
    /// Unicast or multicast destination; not the unspecified address.
    pub destination: IpAddr,
    /// IP protocol of the data flow; not 0.
    pub protocol: u8,
    /// Flag bits: [`Session::E_POLICE`].
    pub flags: u8,
    /// UDP or TCP destination port, 0 for none; the virtual destination port if `generalized`.
    pub destination_port: u16,
    /// Whether senders are told apart by a generalized port identifier (RFC 2207).
    pub generalized: bool,
}

impl Session {
    /// Flag of a Path message: the traffic has not been policed yet.
    pub const E_POLICE: u8 = 0x01;

    /// A session with ports and no flags.
    #[must_use]
    pub const fn new(destination: IpAddr, protocol: u8, destination_port: u16) -> Self {
        Self { destination, protocol, flags: 0, destination_port, generalized: false }
    }

    /// The session without its flags, which are no part of its identity.
    #[must_use]
    pub const fn key(self) -> Self {
        Self { flags: 0, ..self }
    }

    /// Reads a SESSION.
    ///
    /// # Errors
    /// An unknown C-Type, a wrong length, a destination or protocol of zero.
    #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let (parts, generalized) = match raw.ctype {
            1 => (v4_and::<4>(raw.body), false),
            2 => (v6_and::<4>(raw.body), false),
            3 => (v4_and::<4>(raw.body), true),
            4 => (v6_and::<4>(raw.body), true),
            _ => return Err(raw.bad_ctype()),
        };
        let Some((destination, &[protocol, flags, high, low])) = parts else {
            return Err(raw.bad_length());
        };
        if destination.is_unspecified() {
            return Err(raw.fault(ErrorKind::BadSession, 4, "DestAddress", 0));
        }
        if protocol == 0 {
            return Err(raw.fault(ErrorKind::BadSession, raw.bytes.len() - 4, "Protocol Id", 0));
        }
        let destination_port = u16::from_be_bytes([high, low]);
        Ok(Self { destination, protocol, flags, destination_port, generalized })
    }
}

impl EncodeObject for Session {
    fn class_and_ctype(&self) -> (u8, u8) {
        let ctype = match (self.destination, self.generalized) {
            (IpAddr::V4(_), false) => 1,
            (IpAddr::V6(_), false) => 2,
            (IpAddr::V4(_), true) => 3,
            (IpAddr::V6(_), true) => 4,
        };
        (class::SESSION, ctype)
    }

    fn encode_body(&self, sink: &mut Sink<'_>) {
        let [high, low] = self.destination_port.to_be_bytes();
        sink.put_ip(self.destination);
        sink.put(&[self.protocol, self.flags, high, low]);
    }
}
