//! The IPv4 header around an RSVP message: read without trust, written for `IP_HDRINCL`.
//!
//! Pure functions over bytes. Layout: RFC 791 section 3.1; the Router Alert option: RFC 2113.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use crate::packet::PacketMeta;

/// IP protocol number of RSVP (RFC 2205 section 3.1).
pub const PROTOCOL_RSVP: u8 = 46;

/// The Router Alert option: copied flag, option 20, length 4, value 0 (RFC 2113 section 2.1).
pub const ROUTER_ALERT: [u8; 4] = [0x94, 0x04, 0x00, 0x00];

/// Octets of a header without options.
pub const HEADER_BYTES: usize = 20;

/// Octets of a header whose only option is Router Alert.
pub const HEADER_BYTES_ROUTER_ALERT: usize = HEADER_BYTES + ROUTER_ALERT.len();

/// Why a received packet was not handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// Shorter than an IPv4 header.
    Short,
    /// The version field is not 4.
    Version,
    /// The header length is under 20 octets or beyond the end of the packet.
    HeaderLength,
    /// The total length is under the header length or beyond the end of the packet.
    TotalLength,
    /// The protocol field is not 46.
    Protocol,
    /// A fragment that nobody reassembled.
    Fragment,
    /// An option runs past the end of the header.
    Options,
    /// Longer than the receive buffer of one packet.
    OverLong,
    /// The kernel did not say on which interface the packet came in.
    NoInterface,
}

impl Skip {
    /// All reasons, in the order of their counters.
    pub const ALL: [Skip; 9] = [
        Skip::Short,
        Skip::Version,
        Skip::HeaderLength,
        Skip::TotalLength,
        Skip::Protocol,
        Skip::Fragment,
        Skip::Options,
        Skip::OverLong,
        Skip::NoInterface,
    ];

    /// The reason as a metric label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Skip::Short => "ip_short",
            Skip::Version => "ip_version",
            Skip::HeaderLength => "ip_header_length",
            Skip::TotalLength => "ip_total_length",
            Skip::Protocol => "ip_protocol",
            Skip::Fragment => "ip_fragment",
            Skip::Options => "ip_options",
            Skip::OverLong => "over_long",
            Skip::NoInterface => "no_interface",
        }
    }
}

/// Reads the IPv4 header of `packet`, which came in on `interface`.
///
/// Gives what it says and where in `packet` the RSVP message lies. The header checksum is not
/// looked at: the kernel did that.
///
/// # Errors
/// The first contradiction found. Octets after the total length are no contradiction (link-layer
/// padding) and are left out of the range.
pub fn parse(packet: &[u8], interface: u32) -> Result<(PacketMeta, Range<usize>), Skip> {
    let header: &[u8; HEADER_BYTES] = packet.first_chunk().ok_or(Skip::Short)?;
    let &[
        version_ihl,
        _tos,
        length_high,
        length_low,
        _,
        _,
        fragment_high,
        fragment_low,
        ttl,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = header;
    if version_ihl >> 4 != 4 {
        return Err(Skip::Version);
    }
    let header_length = usize::from(version_ihl & 0x0f) * 4;
    if header_length < HEADER_BYTES {
        return Err(Skip::HeaderLength);
    }
    let options = packet.get(HEADER_BYTES..header_length).ok_or(Skip::HeaderLength)?;
    let total_length = usize::from(u16::from_be_bytes([length_high, length_low]));
    if total_length < header_length || total_length > packet.len() {
        return Err(Skip::TotalLength);
    }
    if protocol != PROTOCOL_RSVP {
        return Err(Skip::Protocol);
    }
    // More-fragments flag or a fragment offset; the reserved and the don't-fragment bit may be set.
    if u16::from_be_bytes([fragment_high, fragment_low]) & 0x3fff != 0 {
        return Err(Skip::Fragment);
    }
    let meta = PacketMeta {
        interface,
        source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        destination: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        ttl,
        router_alert: has_router_alert(options)?,
    };
    Ok((meta, header_length..total_length))
}

/// True if a Router Alert option stands among `options`.
fn has_router_alert(mut options: &[u8]) -> Result<bool, Skip> {
    let mut found = false;
    while let Some((&kind, rest)) = options.split_first() {
        options = match kind {
            0 => break,
            1 => rest,
            _ => {
                let length = usize::from(*rest.first().ok_or(Skip::Options)?);
                if length < 2 {
                    return Err(Skip::Options);
                }
                let (option, rest) = options.split_at_checked(length).ok_or(Skip::Options)?;
                // Any value: those other than 0 are reserved, and the kernel delivers them too.
                found |= kind == ROUTER_ALERT[0] && option.len() == ROUTER_ALERT.len();
                rest
            }
        };
    }
    Ok(found)
}

/// What goes into the header of a message to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Source; unspecified lets the kernel fill in the address of the outgoing interface.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Time to live.
    pub ttl: u8,
    /// Type of service octet.
    pub tos: u8,
    /// Whether to carry the Router Alert option.
    pub router_alert: bool,
}

impl Header {
    /// Octets that the header takes: 20, or 24 with Router Alert.
    #[must_use]
    pub fn length(&self) -> usize {
        if self.router_alert { HEADER_BYTES_ROUTER_ALERT } else { HEADER_BYTES }
    }

    /// The header for `IP_HDRINCL`; only the first [`Header::length`] octets count.
    ///
    /// Total length, identification and checksum are zero: the kernel fills them in. The
    /// don't-fragment bit is clear, so that a router with a smaller MTU may fragment.
    #[must_use]
    pub fn octets(&self) -> [u8; HEADER_BYTES_ROUTER_ALERT] {
        let version_ihl = if self.router_alert { 0x46 } else { 0x45 };
        let [s0, s1, s2, s3] = self.source.octets();
        let [d0, d1, d2, d3] = self.destination.octets();
        let [a0, a1, a2, a3] = ROUTER_ALERT;
        [
            version_ihl,
            self.tos,
            0,
            0,
            0,
            0,
            0,
            0,
            self.ttl,
            PROTOCOL_RSVP,
            0,
            0,
            s0,
            s1,
            s2,
            s3,
            d0,
            d1,
            d2,
            d3,
            a0,
            a1,
            a2,
            a3,
        ]
    }
}
