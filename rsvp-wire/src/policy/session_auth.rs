//! AUTH_SESSION (RFC 3520): a session that somebody entitled to it has authorized.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::attribute::put_attribute;
use crate::iana::{open_enum, ptype};
use crate::object::{PolicyElement, write_element};
use crate::policy::{Attribute, Attributes, PolicyError};
use crate::writer::Sink;

mod x_type {
    pub(super) const AUTH_ENT_ID: u8 = 1;
    pub(super) const SESSION_ID: u8 = 2;
    pub(super) const SOURCE_ADDR: u8 = 3;
    pub(super) const DEST_ADDR: u8 = 4;
    pub(super) const START_TIME: u8 = 5;
    pub(super) const END_TIME: u8 = 6;
    pub(super) const RESOURCES: u8 = 7;
    pub(super) const AUTHENTICATION_DATA: u8 = 8;
}

const NTP_TIMESTAMP: u8 = 1;

open_enum! {
    /// SubType of an AUTH_ENT_ID (RFC 3520 section 3.3.1).
    pub enum EntityType(u8) {
        /// Four octets.
        Ipv4Address = 1 => "IPV4_ADDRESS",
        /// Sixteen octets.
        Ipv6Address = 2 => "IPV6_ADDRESS",
        /// A domain name in ASCII.
        Fqdn = 3 => "FQDN",
        /// An X.500 DN in ASCII.
        AsciiDn = 4 => "ASCII_DN",
        /// An X.500 DN in UTF-8.
        UnicodeDn = 5 => "UNICODE_DN",
        /// A URI.
        Uri = 6 => "URI",
        /// principal@realm.
        KerberosPrincipal = 7 => "KRB_PRINCIPAL",
        /// The subject of a certificate, in UTF-8.
        X509V3Cert = 8 => "X509_V3_CERT",
        /// A PGP certificate.
        PgpCert = 9 => "PGP_CERT",
    }
}

/// Ports, two octets each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PortList<'a> {
    ports: &'a [[u8; 2]],
}

impl<'a> PortList<'a> {
    /// Ports as they travel, two octets each, for writing.
    #[must_use]
    pub const fn new(ports: &'a [[u8; 2]]) -> Self {
        Self { ports }
    }

    /// The ports in order.
    pub fn ports(&self) -> impl ExactSizeIterator<Item = u16> + Clone + use<'a> {
        self.ports.iter().map(|port| u16::from_be_bytes(*port))
    }
}

/// SOURCE_ADDR and DEST_ADDR: what the session may come from and go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressSpec<'a> {
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// UDP ports; without any port list all ports are meant.
    UdpPorts(PortList<'a>),
    /// TCP ports.
    TcpPorts(PortList<'a>),
    /// A sub-type without a name.
    Other(u8, &'a [u8]),
}

impl<'a> AddressSpec<'a> {
    fn read(subtype: u8, value: &'a [u8]) -> Option<Self> {
        let ports = || match value.as_chunks::<2>() {
            (ports, []) => Some(PortList { ports }),
            _ => None,
        };
        Some(match subtype {
            1 => Self::V4(Ipv4Addr::from(<[u8; 4]>::try_from(value).ok()?)),
            2 => Self::V6(Ipv6Addr::from(<[u8; 16]>::try_from(value).ok()?)),
            3 => Self::UdpPorts(ports()?),
            4 => Self::TcpPorts(ports()?),
            _ => Self::Other(subtype, value),
        })
    }

    fn write(&self, sink: &mut Sink<'_>, kind: u8) {
        match self {
            Self::V4(address) => put_attribute(sink, kind, 1, |s| s.put(&address.octets())),
            Self::V6(address) => put_attribute(sink, kind, 2, |s| s.put(&address.octets())),
            Self::UdpPorts(l) => put_attribute(sink, kind, 3, |s| s.put(l.ports.as_flattened())),
            Self::TcpPorts(l) => put_attribute(sink, kind, 4, |s| s.put(l.ports.as_flattened())),
            Self::Other(subtype, value) => {
                put_attribute(sink, kind, *subtype, |s| s.put(value));
            }
        }
    }
}

/// RESOURCES: what may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resources<'a> {
    /// Bandwidth in kbit/s.
    Bandwidth(u32),
    /// A flowspec as RFC 2205 defines it.
    FlowSpec(&'a [u8]),
    /// An SDP media descriptor.
    Sdp(&'a [u8]),
    /// A differentiated services codepoint; the RFC does not say how it is packed.
    Dscp(&'a [u8]),
    /// A sub-type without a name.
    Other(u8, &'a [u8]),
}

impl<'a> Resources<'a> {
    fn read(subtype: u8, value: &'a [u8]) -> Option<Self> {
        Some(match subtype {
            1 => Self::Bandwidth(u32::from_be_bytes(value.try_into().ok()?)),
            2 => Self::FlowSpec(value),
            3 => Self::Sdp(value),
            4 => Self::Dscp(value),
            _ => Self::Other(subtype, value),
        })
    }

    fn write(&self, sink: &mut Sink<'_>) {
        let kind = x_type::RESOURCES;
        match *self {
            Self::Bandwidth(kbps) => put_attribute(sink, kind, 1, |s| s.put_u32(kbps)),
            Self::FlowSpec(value) => put_attribute(sink, kind, 2, |s| s.put(value)),
            Self::Sdp(value) => put_attribute(sink, kind, 3, |s| s.put(value)),
            Self::Dscp(value) => put_attribute(sink, kind, 4, |s| s.put(value)),
            Self::Other(subtype, value) => put_attribute(sink, kind, subtype, |s| s.put(value)),
        }
    }
}

/// A session authorization attribute, read by its X-Type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SessionAttribute<'a> {
    /// AUTH_ENT_ID: who authorized.
    Entity(EntityType, &'a [u8]),
    /// SESSION_ID: the authorizing entity's own name for the session.
    SessionId(&'a [u8]),
    /// SOURCE_ADDR.
    Source(AddressSpec<'a>),
    /// DEST_ADDR.
    Destination(AddressSpec<'a>),
    /// START_TIME, an NTP timestamp.
    StartTime(u64),
    /// END_TIME, an NTP timestamp.
    EndTime(u64),
    /// RESOURCES.
    Resources(Resources<'a>),
    /// AUTHENTICATION_DATA over all data of the element before it.
    AuthenticationData(&'a [u8]),
    /// Any other X-Type, and times of another sub-type.
    Other(Attribute<'a>),
}

impl<'a> SessionAttribute<'a> {
    fn read(attribute: &Attribute<'a>) -> Option<Self> {
        let Attribute { kind, subtype, value, .. } = *attribute;
        let time = || Some(u64::from_be_bytes(value.try_into().ok()?));
        Some(match (kind, subtype) {
            (x_type::AUTH_ENT_ID, _) => Self::Entity(subtype.into(), value),
            (x_type::SESSION_ID, _) => Self::SessionId(value),
            (x_type::SOURCE_ADDR, _) => Self::Source(AddressSpec::read(subtype, value)?),
            (x_type::DEST_ADDR, _) => Self::Destination(AddressSpec::read(subtype, value)?),
            (x_type::START_TIME, NTP_TIMESTAMP) => Self::StartTime(time()?),
            (x_type::END_TIME, NTP_TIMESTAMP) => Self::EndTime(time()?),
            (x_type::RESOURCES, _) => Self::Resources(Resources::read(subtype, value)?),
            (x_type::AUTHENTICATION_DATA, _) => Self::AuthenticationData(value),
            _ => Self::Other(*attribute),
        })
    }

    /// Appends the attribute.
    pub fn write(&self, sink: &mut Sink<'_>) {
        match *self {
            Self::Entity(kind, id) => {
                put_attribute(sink, x_type::AUTH_ENT_ID, kind.into(), |s| s.put(id));
            }
            Self::SessionId(id) => put_attribute(sink, x_type::SESSION_ID, 0, |s| s.put(id)),
            Self::Source(spec) => spec.write(sink, x_type::SOURCE_ADDR),
            Self::Destination(spec) => spec.write(sink, x_type::DEST_ADDR),
            Self::StartTime(time) => {
                put_attribute(sink, x_type::START_TIME, NTP_TIMESTAMP, |s| s.put_u64(time));
            }
            Self::EndTime(time) => {
                put_attribute(sink, x_type::END_TIME, NTP_TIMESTAMP, |s| s.put_u64(time));
            }
            Self::Resources(resources) => resources.write(sink),
            Self::AuthenticationData(data) => {
                put_attribute(sink, x_type::AUTHENTICATION_DATA, 0, |s| s.put(data));
            }
            Self::Other(Attribute { kind, subtype, value, .. }) => {
                put_attribute(sink, kind, subtype, |s| s.put(value));
            }
        }
    }
}

/// An AUTH_SESSION element: a checked list of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthSession<'a> {
    element: PolicyElement<'a>,
}

impl<'a> AuthSession<'a> {
    /// Reads the element.
    ///
    /// # Errors
    /// An attribute without a value or over the element, a value whose length does not fit its
    /// type, a second port list of a kind, an attribute behind AUTHENTICATION_DATA.
    pub fn parse(element: &PolicyElement<'a>) -> Result<Self, PolicyError> {
        let attributes = Attributes::new(element);
        attributes.check(element)?;
        let mut signed = false;
        // Port lists seen: source UDP, source TCP, destination UDP, destination TCP.
        let mut ports = 0_u8;
        for attribute in attributes {
            let (offset, kind) = (attribute.offset, attribute.kind);
            if signed {
                let field = "X-Type behind the authentication data";
                return Err(element.fault(offset, field, kind.into()));
            }
            signed = kind == x_type::AUTHENTICATION_DATA;
            let read = SessionAttribute::read(&attribute).filter(|_| !attribute.value.is_empty());
            let port_list = match read {
                None => {
                    let length = attribute.value.len() as u64 + 4;
                    return Err(element.fault(offset, "attribute length", length));
                }
                Some(SessionAttribute::Source(AddressSpec::UdpPorts(_))) => 1,
                Some(SessionAttribute::Source(AddressSpec::TcpPorts(_))) => 2,
                Some(SessionAttribute::Destination(AddressSpec::UdpPorts(_))) => 4,
                Some(SessionAttribute::Destination(AddressSpec::TcpPorts(_))) => 8,
                Some(_) => 0,
            };
            if ports & port_list != 0 {
                let subtype = attribute.subtype.into();
                return Err(element.fault(offset, "second port list, sub-type", subtype));
            }
            ports |= port_list;
        }
        Ok(Self { element: *element })
    }

    /// The attributes in order.
    pub fn attributes(&self) -> impl Iterator<Item = SessionAttribute<'a>> + Clone + use<'a> {
        Attributes::new(&self.element).filter_map(|attribute| SessionAttribute::read(&attribute))
    }

    /// What AUTHENTICATION_DATA signs: the element up to it, header included; none without.
    #[must_use]
    pub fn signed_bytes(&self) -> Option<&'a [u8]> {
        let mut attributes = Attributes::new(&self.element);
        let data = attributes.find(|a| a.kind == x_type::AUTHENTICATION_DATA)?;
        self.element.bytes.get(..data.offset)
    }
}

/// Appends an AUTH_SESSION element.
pub fn write_auth_session(sink: &mut Sink<'_>, attributes: &[SessionAttribute<'_>]) {
    write_element(sink, ptype::AUTH_SESSION, |sink| {
        for attribute in attributes {
            attribute.write(sink);
        }
    });
}
