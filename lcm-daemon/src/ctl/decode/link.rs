//! Link layers: where the IP packet begins in a frame.

/// Link types, as <https://www.tcpdump.org/linktypes.html> numbers them.
mod link_type {
    pub(super) const ETHERNET: u32 = 1;
    /// What DLT_RAW is on Linux, and on OpenBSD; some writers put it into files.
    pub(super) const RAW_DLT: [u32; 2] = [12, 14];
    pub(super) const RAW: u32 = 101;
    pub(super) const LINUX_SLL: u32 = 113;
    pub(super) const IPV4: u32 = 228;
    pub(super) const IPV6: u32 = 229;
    pub(super) const LINUX_SLL2: u32 = 276;
}

mod ether_type {
    pub(super) const IPV4: u16 = 0x0800;
    pub(super) const IPV6: u16 = 0x86dd;
    /// IEEE 802.1Q.
    pub(super) const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad (QinQ), and the numbers that were used for it before.
    pub(super) const QINQ: [u16; 3] = [0x88a8, 0x9100, 0x9200];
}

/// VLAN tags that are taken off at most.
const VLANS_MAX: usize = 4;

/// Link types that [`ip_packet`] can read, for messages.
pub(super) const SUPPORTED: &str = "Ethernet (1), raw IP (101, 228, 229), Linux cooked v1 (113) and \
                                    v2 (276)";

/// What tells apart two copies of a packet that were captured at two places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Place {
    /// The interface: the capture's, or that of a cooked header.
    pub(super) interface: u32,
    /// The VLANs, outermost first.
    pub(super) vlans: [u16; VLANS_MAX],
}

/// The start of an IP packet in a frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network<'a> {
    /// The packet, and perhaps padding behind it.
    pub(super) bytes: &'a [u8],
    /// Where it was captured.
    pub(super) place: Place,
}

/// Whether frames of this link type can be read.
pub(super) fn is_supported(kind: u32) -> bool {
    use link_type::{ETHERNET, IPV4, IPV6, LINUX_SLL, LINUX_SLL2, RAW, RAW_DLT};
    matches!(kind, ETHERNET | RAW | LINUX_SLL | IPV4 | IPV6 | LINUX_SLL2) || RAW_DLT.contains(&kind)
}

/// The IP packet in a frame; none if it holds another protocol or is cut before it.
pub(super) fn ip_packet(kind: u32, interface: u32, frame: &[u8]) -> Option<Network<'_>> {
    let mut place = Place { interface, ..Place::default() };
    let (protocol, rest) = match kind {
        link_type::ETHERNET => ether_type_at(frame, 12)?,
        // Packet type, ARPHRD, address length, address (8), protocol.
        link_type::LINUX_SLL => ether_type_at(frame, 14)?,
        // Protocol, reserved, interface, ARPHRD, packet type, address length, address (8).
        link_type::LINUX_SLL2 => {
            let (header, rest) = frame.split_first_chunk::<20>()?;
            let &[p1, p0, _, _, i3, i2, i1, i0, ..] = header;
            place.interface = u32::from_be_bytes([i3, i2, i1, i0]);
            (u16::from_be_bytes([p1, p0]), rest)
        }
        raw if is_supported(raw) => return Some(Network { bytes: frame, place }),
        _ => return None,
    };
    let bytes = behind_vlans(protocol, rest, &mut place)?;
    Some(Network { bytes, place })
}

/// The 16 bits at an offset, and what follows them.
fn ether_type_at(frame: &[u8], offset: usize) -> Option<(u16, &[u8])> {
    let (number, rest) = frame.get(offset..)?.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*number), rest))
}

/// Takes VLAN tags off.
fn behind_vlans<'a>(mut protocol: u16, mut rest: &'a [u8], place: &mut Place) -> Option<&'a [u8]> {
    for vlan in &mut place.vlans {
        if protocol != ether_type::VLAN && !ether_type::QINQ.contains(&protocol) {
            break;
        }
        let (&[t1, t0, p1, p0], behind) = rest.split_first_chunk::<4>()?;
        // Zero stands for no VLAN, so the tag "priority only" gets a number that is none.
        *vlan = (u16::from_be_bytes([t1, t0]) & 0x0fff) | 0x1000;
        (protocol, rest) = (u16::from_be_bytes([p1, p0]), behind);
    }
    matches!(protocol, ether_type::IPV4 | ether_type::IPV6).then_some(rest)
}
