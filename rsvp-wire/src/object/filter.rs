//! FILTER_SPEC and SENDER_TEMPLATE (RFC 2205 A.9 and A.10; RFC 2207 section 3.2 for IPsec).

use core::fmt;
use core::net::IpAddr;

use crate::error::{DecodeError, ErrorKind};
use crate::iana::class;
use crate::object::address::{v4_and, v6_and};
use crate::packet::RawObject;
use crate::writer::{EncodeObject, Sink};

/// What tells one flow of a sender from its others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlowId {
    /// UDP or TCP source port, 0 for none.
    Port(u16),
    /// IPv6 flow label, 24 bits on the wire.
    FlowLabel(u32),
    /// Generalized port identifier, such as an IPsec SPI (RFC 2207).
    Gpi(u32),
}

/// A sender: its address and what tells its flow from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Filter {
    /// Source address; not the unspecified address.
    pub source: IpAddr,
    /// The flow. A flow label goes with an IPv6 source only.
    pub id: FlowId,
}

impl Filter {
    /// A sender with a source port (0 for none).
    #[must_use]
    pub const fn port(source: IpAddr, port: u16) -> Self {
        Self { source, id: FlowId::Port(port) }
    }

    #[inline(always)]
    fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
        let parts = match raw.ctype {
            1 | 4 => v4_and::<4>(raw.body),
            2 | 3 | 5 => v6_and::<4>(raw.body),
            _ => return Err(raw.bad_ctype()),
        };
        let Some((source, &[a, b, c, d])) = parts else { return Err(raw.bad_length()) };
        if source.is_unspecified() {
            return Err(raw.fault(ErrorKind::BadFilter, 4, "SrcAddress", 0));
        }
        let id = match raw.ctype {
            1 | 2 => FlowId::Port(u16::from_be_bytes([c, d])),
            3 => FlowId::FlowLabel(u32::from_be_bytes([0, b, c, d])),
            _ => FlowId::Gpi(u32::from_be_bytes([a, b, c, d])),
        };
        Ok(Self { source, id })
    }

    const fn ctype(&self) -> u8 {
        match (self.source, self.id) {
            (IpAddr::V4(_), FlowId::Gpi(_)) => 4,
            (IpAddr::V6(_), FlowId::Gpi(_)) => 5,
            (IpAddr::V4(_), _) => 1,
            (IpAddr::V6(_), FlowId::Port(_)) => 2,
            (IpAddr::V6(_), FlowId::FlowLabel(_)) => 3,
        }
    }

    fn encode(&self, sink: &mut Sink<'_>) {
        sink.put_ip(self.source);
        sink.put_u32(match (self.source, self.id) {
            (_, FlowId::Port(port)) => port.into(),
            (_, FlowId::Gpi(gpi)) => gpi,
            (IpAddr::V6(_), FlowId::FlowLabel(label)) => label & 0x00ff_ffff,
            // IPv4 has no flow labels: written as no port rather than as one that is not meant.
            (IpAddr::V4(_), FlowId::FlowLabel(_)) => 0,
        });
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            FlowId::Port(port) => write!(f, "{}", core::net::SocketAddr::new(self.source, port)),
            FlowId::FlowLabel(label) => write!(f, "{} label {label:#x}", self.source),
            FlowId::Gpi(gpi) => write!(f, "{} spi {gpi:#010x}", self.source),
        }
    }
}

macro_rules! filter_object {
    ($(#[$meta:meta])* $name:ident, $class:expr) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Filter);

        impl $name {
            /// Reads the object.
            ///
            /// # Errors
            /// An unknown C-Type, a wrong length, an unspecified source address.
            #[inline(always)]
    pub fn decode(raw: &RawObject<'_>) -> Result<Self, DecodeError> {
                Filter::decode(raw).map(Self)
            }
        }

        impl EncodeObject for $name {
            fn class_and_ctype(&self) -> (u8, u8) {
                ($class, self.0.ctype())
            }

            fn encode_body(&self, sink: &mut Sink<'_>) {
                self.0.encode(sink);
            }
        }
    };
}

filter_object! {
    /// FILTER_SPEC: a sender whose packets shall get the reserved service.
    FilterSpec, class::FILTER_SPEC
}
filter_object! {
    /// SENDER_TEMPLATE: the sender that a Path message speaks of.
    SenderTemplate, class::SENDER_TEMPLATE
}

impl From<SenderTemplate> for FilterSpec {
    fn from(SenderTemplate(filter): SenderTemplate) -> Self {
        Self(filter)
    }
}

impl From<FilterSpec> for SenderTemplate {
    fn from(FilterSpec(filter): FilterSpec) -> Self {
        Self(filter)
    }
}
