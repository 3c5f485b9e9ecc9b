//! IPv4 (RFC 791) and IPv6 (RFC 8200) headers, as far as the way to RSVP needs them. Pure functions
//! over bytes, for captures and for what the kernel hands on unread.

pub(crate) mod fragments;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IP protocol numbers.
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const RSVP: u8 = 46;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
    pub(super) const MOBILITY: u8 = 135;
    pub(super) const HIP: u8 = 139;
    pub(super) const SHIM6: u8 = 140;
}

const IPV4_HEADER_MIN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;

/// What a packet's headers say, as far as they were captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IpPacket<'a> {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
    /// Protocol of the payload; IPv6 extension headers may still follow in a first fragment.
    pub(crate) protocol: u8,
    /// The payload without padding, as far as it was captured.
    pub(crate) payload: &'a [u8],
    /// Bytes of the payload that were sent.
    pub(crate) payload_len: usize,
    /// Where the payload belongs, if it is part of a larger packet only.
    pub(crate) fragment: Option<Fragment>,
}

/// Place of a fragment in its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) identification: u32,
    /// In bytes.
    pub(crate) offset: usize,
    /// Whether more fragments follow.
    pub(crate) more: bool,
}

impl IpPacket<'_> {
    /// Whether the payload can be, or begin with headers before, an RSVP message.
    pub(crate) fn may_be_rsvp(&self) -> bool {
        self.protocol == protocol::RSVP || is_extension(self.protocol)
    }
}

/// Reads the headers in front of `bytes`; none if that is no IP packet, or is cut within them.
pub(crate) fn parse(bytes: &[u8]) -> Option<IpPacket<'_>> {
    match bytes.first()? >> 4 {
        4 => parse_v4(bytes),
        6 => parse_v6(bytes),
        _ => None,
    }
}

fn parse_v4(bytes: &[u8]) -> Option<IpPacket<'_>> {
    let header = bytes.first_chunk::<IPV4_HEADER_MIN>()?;
    let &[first, _, l1, l0, i1, i0, f1, f0, ttl, protocol, _, _, s3, s2, s1, s0, d3, d2, d1, d0] =
        header;
    let header_len = usize::from(first & 0x0f) * 4;
    if header_len < IPV4_HEADER_MIN {
        return None;
    }
    // Segmentation offload leaves 0; then the frame's own length has to do.
    let total = match usize::from(u16::from_be_bytes([l1, l0])) {
        0 => bytes.len(),
        total => total,
    };
    let payload_len = total.checked_sub(header_len)?;
    let captured = bytes.get(header_len..)?;
    let flags = u16::from_be_bytes([f1, f0]);
    let fragment = Fragment {
        identification: u16::from_be_bytes([i1, i0]).into(),
        offset: usize::from(flags & 0x1fff) * 8,
        more: flags & 0x2000 != 0,
    };
    let packet = IpPacket {
        src: IpAddr::V4(Ipv4Addr::new(s3, s2, s1, s0)),
        dst: IpAddr::V4(Ipv4Addr::new(d3, d2, d1, d0)),
        ttl,
        protocol,
        payload: captured.get(..payload_len).unwrap_or(captured),
        payload_len,
        fragment: (fragment.more || fragment.offset > 0).then_some(fragment),
    };
    Some(behind_extensions(packet))
}

fn parse_v6(bytes: &[u8]) -> Option<IpPacket<'_>> {
    let (header, captured) = bytes.split_first_chunk::<IPV6_HEADER_LEN>()?;
    let &[_, _, _, _, l1, l0, protocol, ttl, ref addresses @ ..] = header;
    let (src, dst) = addresses.split_first_chunk::<16>()?;
    let payload_len = usize::from(u16::from_be_bytes([l1, l0]));
    let packet = IpPacket {
        src: IpAddr::V6(Ipv6Addr::from(*src)),
        dst: IpAddr::V6(Ipv6Addr::from(*dst.first_chunk::<16>()?)),
        ttl,
        protocol,
        payload: captured.get(..payload_len).unwrap_or(captured),
        payload_len,
        fragment: None,
    };
    Some(behind_extensions(packet))
}

const fn is_extension(number: u8) -> bool {
    use protocol::{
        AUTHENTICATION, DESTINATION_OPTIONS, FRAGMENT, HIP, HOP_BY_HOP, MOBILITY, ROUTING, SHIM6,
    };
    matches!(
        number,
        HOP_BY_HOP
            | ROUTING
            | FRAGMENT
            | AUTHENTICATION
            | DESTINATION_OPTIONS
            | MOBILITY
            | HIP
            | SHIM6
    )
}

/// Takes extension headers off a packet, up to one that makes it a fragment: what follows that one
/// belongs to the whole packet. Stops where a header is not whole.
pub(crate) fn behind_extensions(mut packet: IpPacket<'_>) -> IpPacket<'_> {
    while packet.fragment.is_none() && is_extension(packet.protocol) {
        let Some((&[next, length, o1, o0, i3, i2, i1, i0], _)) =
            packet.payload.split_first_chunk::<8>()
        else {
            break;
        };
        // In a v4 packet only the authentication header (RFC 4302) can stand here.
        if packet.src.is_ipv4() && packet.protocol != protocol::AUTHENTICATION {
            break;
        }
        let header_len = match packet.protocol {
            protocol::FRAGMENT => 8,
            protocol::AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        let (Some(payload), Some(payload_len)) =
            (packet.payload.get(header_len..), packet.payload_len.checked_sub(header_len))
        else {
            break;
        };
        if packet.protocol == protocol::FRAGMENT {
            let place = u16::from_be_bytes([o1, o0]);
            let fragment = Fragment {
                identification: u32::from_be_bytes([i3, i2, i1, i0]),
                offset: usize::from(place & 0xfff8),
                more: place & 1 != 0,
            };
            // An atomic fragment (RFC 6946) is a whole packet.
            packet.fragment = (fragment.more || fragment.offset > 0).then_some(fragment);
        }
        packet = IpPacket { protocol: next, payload, payload_len, ..packet };
    }
    packet
}

/// Whether this is the payload of RSVP (RFC 2205 section 3.1: protocol 46), whole or in part.
pub(crate) const fn is_rsvp(packet: &IpPacket<'_>) -> bool {
    packet.protocol == protocol::RSVP
}
