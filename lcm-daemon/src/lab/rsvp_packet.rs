//! Finding the RSVP message in an Ethernet frame.

use std::net::IpAddr;

use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

/// IP protocol number of RSVP (RFC 2205, section 3).
pub(crate) const RSVP: IpNextHeaderProtocol = IpNextHeaderProtocol(46);
/// First byte of the IPv4 Router Alert option (RFC 2113, section 2.1).
const ROUTER_ALERT_V4: u8 = 148;
/// Type of the IPv6 Router Alert option (RFC 2711, section 2.1).
const ROUTER_ALERT_V6: u8 = 5;

/// An RSVP message and what its IP header said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RsvpPacket<'a> {
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// True if the Router Alert option is there.
    pub router_alert: bool,
    /// The RSVP message: common header and objects.
    pub message: &'a [u8],
}

impl<'a> RsvpPacket<'a> {
    /// Reads an Ethernet frame; `None` if it does not hold a whole RSVP message in IPv4 or IPv6.
    #[must_use]
    pub fn parse(frame: &'a [u8]) -> Option<RsvpPacket<'a>> {
        let ethernet = EthernetPacket::new(frame)?;
        let packet = frame.get(EthernetPacket::minimum_packet_size()..)?;
        match ethernet.get_ethertype() {
            EtherTypes::Ipv4 => parse_ipv4(packet),
            EtherTypes::Ipv6 => parse_ipv6(packet),
            _ => None,
        }
    }
}

fn parse_ipv4(packet: &[u8]) -> Option<RsvpPacket<'_>> {
    let header = Ipv4Packet::new(packet)?;
    let fragmented = header.get_fragment_offset() != 0 || header.get_flags() & 1 != 0;
    if header.get_next_level_protocol() != RSVP || fragmented {
        return None;
    }
    let header_length = usize::from(header.get_header_length()) * 4;
    let options = packet.get(Ipv4Packet::minimum_packet_size()..header_length)?;
    Some(RsvpPacket {
        source: header.get_source().into(),
        destination: header.get_destination().into(),
        ttl: header.get_ttl(),
        router_alert: has_ipv4_option(options, ROUTER_ALERT_V4),
        message: packet.get(header_length..usize::from(header.get_total_length()))?,
    })
}

fn parse_ipv6(packet: &[u8]) -> Option<RsvpPacket<'_>> {
    let header = Ipv6Packet::new(packet)?;
    let start = Ipv6Packet::minimum_packet_size();
    let end = start + usize::from(header.get_payload_length());
    let mut payload = packet.get(start..end)?;
    let mut next = header.get_next_header();
    let mut router_alert = false;
    if next == IpNextHeaderProtocols::Hopopt {
        // RFC 8200, section 4.3: next header, length in 8 bytes without the first 8, options.
        let (&following, &length) = (payload.first()?, payload.get(1)?);
        let length = (usize::from(length) + 1) * 8;
        router_alert = has_ipv6_option(payload.get(2..length)?, ROUTER_ALERT_V6);
        next = IpNextHeaderProtocol(following);
        payload = payload.get(length..)?;
    }
    (next == RSVP).then_some(RsvpPacket {
        source: header.get_source().into(),
        destination: header.get_destination().into(),
        ttl: header.get_hop_limit(),
        router_alert,
        message: payload,
    })
}

/// Looks for an option by its first byte (RFC 791, section 3.1).
fn has_ipv4_option(mut options: &[u8], wanted: u8) -> bool {
    loop {
        match options {
            [kind, ..] if *kind == wanted => return true,
            [0, ..] | [] => return false,
            [1, rest @ ..] => options = rest,
            [_, length, ..] => match options.get(usize::from((*length).max(2))..) {
                Some(rest) => options = rest,
                None => return false,
            },
            [_] => return false,
        }
    }
}

/// Looks for a hop-by-hop option by its type (RFC 8200, section 4.2).
fn has_ipv6_option(mut options: &[u8], wanted: u8) -> bool {
    loop {
        match options {
            [kind, ..] if *kind == wanted => return true,
            [0, rest @ ..] => options = rest,
            [_, length, ..] => match options.get(usize::from(*length) + 2..) {
                Some(rest) => options = rest,
                None => return false,
            },
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ipv4_frame(options: &[u8], message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00]);
        let words = 5 + options.len() / 4;
        let total = 20 + options.len() + message.len();
        frame.extend([0x40 | words as u8, 0, 0, total as u8, 0, 0, 0, 0, 7, 46, 0, 0]);
        frame.extend([10, 0, 1, 1, 10, 0, 2, 2]);
        frame.extend(options);
        frame.extend(message);
        frame
    }

    #[test]
    fn ipv4_with_padding_and_router_alert() {
        let mut frame = ipv4_frame(&[1, 1, 1, 1, 148, 4, 0, 0], &[0x10, 1, 2, 3]);
        frame.extend([0; 20]); // Ethernet pads short frames
        let packet = RsvpPacket::parse(&frame).unwrap();
        assert_eq!(packet.source, "10.0.1.1".parse::<IpAddr>().unwrap());
        assert_eq!(packet.destination, "10.0.2.2".parse::<IpAddr>().unwrap());
        assert_eq!((packet.ttl, packet.router_alert), (7, true));
        assert_eq!(packet.message, [0x10, 1, 2, 3]);
    }

    #[test]
    fn ipv4_without_router_alert() {
        let frame = ipv4_frame(&[], &[9]);
        assert!(!RsvpPacket::parse(&frame).unwrap().router_alert);
    }

    #[test]
    fn ipv6_with_hop_by_hop_header() {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 0, 63]);
        frame.extend([0; 15].iter().chain(&[1]).chain(&[0; 15]).chain(&[2]));
        frame.extend([46, 0, 5, 2, 0, 1, 1, 0, 1, 2, 3, 4]);
        let packet = RsvpPacket::parse(&frame).unwrap();
        assert_eq!(packet.destination, "::2".parse::<IpAddr>().unwrap());
        assert_eq!((packet.ttl, packet.router_alert), (63, true));
        assert_eq!(packet.message, [1, 2, 3, 4]);
    }

    #[test]
    fn no_prefix_of_a_frame_panics_or_passes() {
        let frame = ipv4_frame(&[148, 4, 0, 0], &[1, 2, 3, 4]);
        for length in 0..frame.len() {
            assert_eq!(RsvpPacket::parse(&frame[..length]), None, "{length} bytes");
        }
    }
}
