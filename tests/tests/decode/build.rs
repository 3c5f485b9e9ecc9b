//! Captures made byte by byte, independently of the code that reads them.

use std::net::IpAddr;

pub(crate) const ETHERNET: u32 = 1;
pub(crate) const RAW: u32 = 101;
pub(crate) const LINUX_SLL: u32 = 113;
pub(crate) const LINUX_SLL2: u32 = 276;

pub(crate) const RSVP: u8 = 46;
pub(crate) const FRAGMENT: u8 = 44;

/// 2026-01-02T03:04:05Z; each frame comes a second after the one before.
const START: u32 = 1_767_323_045;

/// A pcap file with microseconds.
pub(crate) fn pcap(link_type: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    pcap_cut(link_type, frames, usize::MAX)
}

/// A pcap file whose frames are cut to `snaplen` bytes.
pub(crate) fn pcap_cut(link_type: u32, frames: &[Vec<u8>], snaplen: usize) -> Vec<u8> {
    let mut file = words(&[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, link_type], false);
    for (index, frame) in frames.iter().enumerate() {
        let captured = &frame[..frame.len().min(snaplen)];
        let lengths = [captured.len() as u32, frame.len() as u32];
        file.extend(words(&[START + index as u32, 250_000, lengths[0], lengths[1]], false));
        file.extend(captured);
    }
    file
}

/// A pcapng file with an interface for each frame and blocks between that nobody has to know; the
/// times are in nanoseconds.
pub(crate) fn pcapng(big_endian: bool, frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let block = |kind: u32, body: Vec<u8>| {
        let length = 12 + body.len() as u32;
        [words(&[kind, length], big_endian), body, words(&[length], big_endian)].concat()
    };
    let halves = |high: u16, low: u16| {
        let both = [high, low];
        both.map(|half| if big_endian { half.to_be_bytes() } else { half.to_le_bytes() }).concat()
    };
    let section = [words(&[0x1a2b_3c4d], big_endian), halves(1, 0), vec![0xff; 8]].concat();
    let mut file = block(0x0a0d_0d0a, section);
    for (link_type, _) in frames {
        let link_type = u16::try_from(*link_type).expect("link types have 16 bits");
        // Option 9, if_tsresol: 10^-9 s.
        let options = [halves(9, 1), vec![9, 0, 0, 0], halves(0, 0)].concat();
        let body = [halves(link_type, 0), words(&[262_144], big_endian), options].concat();
        file.extend(block(1, body));
        file.extend(block(0x0bad_cafe, vec![0x55; 8]));
    }
    for (index, (_, frame)) in frames.iter().enumerate() {
        let ns = (u64::from(START) + index as u64) * 1_000_000_000 + 250_000_000;
        let times = [(ns >> 32) as u32, ns as u32];
        let length = frame.len() as u32;
        let header = words(&[index as u32, times[0], times[1], length, length], big_endian);
        let padding = vec![0; frame.len().next_multiple_of(4) - frame.len()];
        file.extend(block(6, [header, frame.clone(), padding].concat()));
    }
    file
}

fn words(words: &[u32], big_endian: bool) -> Vec<u8> {
    let bytes = |word: &u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
    words.iter().flat_map(bytes).collect()
}

fn ether_type(packet: &[u8]) -> [u8; 2] {
    if packet[0] >> 4 == 6 { [0x86, 0xdd] } else { [0x08, 0x00] }
}

/// An Ethernet frame, padded to its smallest length, with VLAN tags as given, outermost first:
/// TPID and number.
pub(crate) fn ethernet(tags: &[(u16, u16)], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for (tpid, vlan) in tags {
        frame.extend(tpid.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    frame.extend(ether_type(packet));
    frame.extend(packet);
    if frame.len() < 60 {
        frame.resize(60, 0xee);
    }
    frame
}

pub(crate) fn cooked(packet: &[u8]) -> Vec<u8> {
    let header = [0, 4, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    [&header[..], &ether_type(packet), packet].concat()
}

pub(crate) fn cooked2(interface: u32, packet: &[u8]) -> Vec<u8> {
    let rest = [0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0];
    [&ether_type(packet)[..], &[0, 0], &interface.to_be_bytes(), &rest, packet].concat()
}

/// An IP packet around an RSVP message, with router alert.
pub(crate) fn ip(src: &str, dst: &str, ttl: u8, message: &[u8]) -> Vec<u8> {
    match address(src) {
        IpAddr::V4(_) => ipv4(src, dst, ttl, RSVP, &[0x94, 4, 0, 0], 0, 0, message),
        IpAddr::V6(_) => {
            let hop_by_hop = [RSVP, 0, 5, 2, 0, 0, 1, 0];
            ipv6(src, dst, ttl, 0, &[&hop_by_hop, message].concat())
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the fields of a header")]
pub(crate) fn ipv4(
    src: &str,
    dst: &str,
    ttl: u8,
    protocol: u8,
    options: &[u8],
    identification: u16,
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
    packet.extend(((header_len + payload.len()) as u16).to_be_bytes());
    packet.extend(identification.to_be_bytes());
    packet.extend(fragment.to_be_bytes());
    packet.extend([ttl, protocol, 0, 0]);
    packet.extend(octets(src));
    packet.extend(octets(dst));
    packet.extend(options);
    let sum = rsvp_wire::checksum::of(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

pub(crate) fn ipv6(src: &str, dst: &str, hop_limit: u8, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, hop_limit]);
    packet.extend(octets(src));
    packet.extend(octets(dst));
    packet.extend(payload);
    packet
}

/// The message in fragments of at most `size` bytes (a multiple of 8), in order.
pub(crate) fn fragments(
    src: &str,
    dst: &str,
    id: u16,
    size: usize,
    message: &[u8],
) -> Vec<Vec<u8>> {
    let count = message.len().div_ceil(size);
    let pieces = message.chunks(size).enumerate();
    pieces.map(|(n, piece)| fragment(src, dst, id, n * size, n + 1 < count, piece)).collect()
}

/// One fragment.
pub(crate) fn fragment(
    src: &str,
    dst: &str,
    id: u16,
    offset: usize,
    more: bool,
    piece: &[u8],
) -> Vec<u8> {
    if address(src).is_ipv4() {
        let place = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
        return ipv4(src, dst, 61, RSVP, &[], id, place, piece);
    }
    let place = (offset as u16 | u16::from(more)).to_be_bytes();
    let id = u32::from(id).to_be_bytes();
    let header = [&[RSVP, 0][..], &place, &id].concat();
    ipv6(src, dst, 61, FRAGMENT, &[&header[..], piece].concat())
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn octets(text: &str) -> Vec<u8> {
    match address(text) {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
