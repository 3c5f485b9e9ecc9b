//! From every link layer and through every IP header to the same message.

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::build::{
    ETHERNET, FRAGMENT, LINUX_SLL, LINUX_SLL2, RAW, RSVP, cooked, cooked2, ethernet, fragment,
    fragments, ip, ipv4, ipv6, octets, pcap, pcap_cut, pcapng,
};
use crate::messages::{Cast, V4, V6, path_with_dcpe};
use crate::programs::{decode_bytes, packets};

/// The one packet of a capture.
fn only(capture: &[u8]) -> Value {
    let mut packets = packets(capture);
    assert_eq!(packets.len(), 1, "{packets:?}");
    packets.remove(0)
}

/// Checks that a packet is the whole PATH of the cast.
fn assert_path(packet: &Value, cast: &Cast, frame: u64, ttl: u8) {
    let seen = json!([packet["frame"], packet["src"], packet["dst"], packet["ttl"]]);
    assert_eq!(seen, json!([frame, cast.sender, cast.destination, ttl]));
    assert_eq!((&packet["msg_type"], &packet["msg_name"]), (&json!(1), &json!("Path")));
    assert_eq!(packet["checksum_ok"], json!(true));
    assert_eq!(packet.get("error"), None, "{packet}");
    let classes: Vec<_> = packet["objects"].as_array().unwrap().iter().collect();
    let classes: Vec<_> = classes.iter().map(|o| o["class"].as_u64().unwrap()).collect();
    assert_eq!(classes, [1, 3, 5, 14, 11, 12, 13]);
    assert_eq!(packet["objects"][3]["elements"][0]["total"], json!(41_000_000));
}

fn path_packet(cast: &Cast) -> Vec<u8> {
    ip(cast.sender, cast.destination, 62, &path_with_dcpe(cast))
}

#[test]
fn every_link_type_leads_to_the_packet() {
    for cast in [&V4, &V6] {
        let packet = path_packet(cast);
        let only_family = if cast.sender == V4.sender { 228 } else { 229 };
        for (link_type, frame) in [
            (ETHERNET, ethernet(&[], &packet)),
            (ETHERNET, ethernet(&[(0x8100, 57)], &packet)),
            (ETHERNET, ethernet(&[(0x88a8, 100), (0x8100, 57)], &packet)),
            (ETHERNET, ethernet(&[(0x9100, 1), (0x9100, 2), (0x8100, 3), (0x8100, 0)], &packet)),
            (RAW, packet.clone()),
            (12, packet.clone()),
            (only_family, packet.clone()),
            (LINUX_SLL, cooked(&packet)),
            (LINUX_SLL2, cooked2(4, &packet)),
        ] {
            assert_path(&only(&pcap(link_type, std::slice::from_ref(&frame))), cast, 1, 62);
            for big_endian in [false, true] {
                let file = pcapng(big_endian, &[(link_type, frame.clone())]);
                let packet = only(&file);
                assert_path(&packet, cast, 1, 62);
                assert_eq!(packet["time"], json!("2026-01-02T03:04:05.250000Z"));
            }
        }
    }
}

#[test]
fn interfaces_of_one_file_may_differ() {
    let packet = path_packet(&V4);
    let file = pcapng(
        true,
        &[
            (ETHERNET, ethernet(&[], &packet)),
            (147, packet.clone()),
            (LINUX_SLL2, cooked2(9, &packet)),
        ],
    );
    let output = decode_bytes(&file, &["--json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(said.contains("1 frames of link type 147"), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    let frames: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!([&frames[0]["frame"], &frames[1]["frame"]], [&json!(1), &json!(3)]);
}

#[test]
fn padding_behind_the_packet_is_not_part_of_it() {
    let srefresh = [0x10, 15, 0, 0, 1, 0, 0, 20, 0, 12, 25, 1, 0, 0, 0, 1, 0, 0, 0, 2];
    let frame = ethernet(&[], &ipv4(V4.sender, V4.hop, 1, RSVP, &[], 0, 0, &srefresh));
    assert_eq!(frame.len(), 60);
    let packet = only(&pcap(ETHERNET, &[frame]));
    assert_eq!((&packet["length"], &packet["checksum_ok"]), (&json!(20), &Value::Null));
    assert_eq!(packet.get("error"), None, "{packet}");
}

#[test]
fn extension_headers_are_passed() {
    let path = path_with_dcpe(&V6);
    let authentication = [&[RSVP, 4, 0, 0, 0, 0, 0, 9][..], &[0xaa; 16]].concat();
    let destination = [&[51, 1, 1, 4][..], &[0; 12]].concat();
    let routing = [&[60, 2, 4, 0, 0, 0, 0, 0][..], &octets(V6.hop)].concat();
    let hop_by_hop = [43, 0, 5, 2, 0, 0, 1, 0];
    let atomic = [0, 0, 0, 0, 0, 0, 0, 7];
    let chain = [&hop_by_hop[..], &routing, &destination, &authentication, &path].concat();
    let packet = ipv6(V6.sender, V6.destination, 62, 0, &chain);
    assert_path(&only(&pcap(RAW, &[packet])), &V6, 1, 62);

    let mut atomic_chain = atomic.to_vec();
    atomic_chain[0] = RSVP;
    atomic_chain.extend(&path);
    let packet = ipv6(V6.sender, V6.destination, 62, FRAGMENT, &atomic_chain);
    assert_path(&only(&pcap(RAW, &[packet])), &V6, 1, 62);

    let path = path_with_dcpe(&V4);
    let packet =
        ipv4(V4.sender, V4.destination, 62, 51, &[], 0, 0, &[&authentication[..], &path].concat());
    assert_path(&only(&pcap(RAW, &[packet])), &V4, 1, 62);
}

#[test]
fn what_icmp_quotes_is_no_packet() {
    let quoted = path_packet(&V4);
    let icmp = [&[3, 2, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
    let icmp = ipv4(V4.hop, V4.sender, 64, 1, &[], 0, 0, &icmp);
    let quoted = path_packet(&V6);
    let icmp6 = [&[4, 1, 0, 0, 0, 0, 0, 40][..], &quoted].concat();
    let icmp6 = ipv6(V6.hop, V6.sender, 64, 58, &icmp6);
    let udp = ipv4(V4.sender, V4.destination, 64, 17, &[], 0, 0, &[0; 16]);
    let frames = [icmp, icmp6, udp, path_packet(&V4)];
    assert_path(&only(&pcap(RAW, &frames)), &V4, 4, 62);
}

#[test]
fn extension_headers_may_be_cut_in_two() {
    let path = path_with_dcpe(&V6);
    let destination = [&[RSVP, 0, 1, 4][..], &[0; 4]].concat();
    let whole = [&destination[..], &path].concat();
    let piece = |range: std::ops::Range<usize>, next: u8| {
        let more = u16::from(range.end < whole.len());
        let place = (range.start as u16 | more).to_be_bytes();
        let header = [&[next, 0][..], &place, &[0, 0, 0, 5]].concat();
        ipv6(V6.sender, V6.destination, 62, FRAGMENT, &[&header[..], &whole[range]].concat())
    };
    // Only the first fragment's word counts for what follows.
    let frames = [piece(48..whole.len(), 17), piece(0..48, 60)];
    // A fragment that says UDP is not kept, so the packet has to stay unseen in this order ...
    assert_eq!(packets(&pcap(RAW, &frames)).len(), 0);
    // ... but any extension header or RSVP may stand there.
    let frames = [piece(48..whole.len(), 60), piece(0..48, 60)];
    assert_path(&only(&pcap(RAW, &frames)), &V6, 2, 62);
}

#[test]
fn fragments_of_different_places_are_kept_apart() {
    let path = path_with_dcpe(&V4);
    let pieces = fragments(V4.sender, V4.destination, 9, 64, &path);
    let place = |vlan, piece: &Vec<u8>| ethernet(&[(0x8100, vlan)], piece);
    let mut frames: Vec<_> = pieces.iter().map(|piece| place(1, piece)).collect();
    let last = frames.pop().unwrap();
    frames.extend(pieces.iter().map(|piece| place(2, piece)));
    frames.push(last);
    let packets = packets(&pcap(ETHERNET, &frames));
    assert_eq!(packets.len(), 2);
    for (packet, frame) in packets.iter().zip([2 * pieces.len() - 1, 2 * pieces.len()]) {
        assert_path(packet, &V4, frame as u64, 61);
    }
}

#[test]
fn contradicting_fragments_make_no_packet() {
    for cast in [&V4, &V6] {
        let path = path_with_dcpe(cast);
        let piece = |range: std::ops::Range<usize>| {
            let more = range.end < path.len();
            fragment(cast.sender, cast.destination, 9, range.start, more, &path[range])
        };
        let mut other = path.clone();
        other[70] ^= 1;
        let changed = fragment(cast.sender, cast.destination, 9, 64, true, &other[64..128]);
        let (a, b, c) = (piece(0..64), piece(64..128), piece(128..path.len()));
        let early_end = fragment(cast.sender, cast.destination, 9, 64, false, &path[64..128]);
        for frames in [
            vec![a.clone(), changed.clone(), b.clone(), c.clone()],
            vec![a.clone(), piece(56..128), c.clone()],
            vec![c.clone(), early_end.clone(), a.clone()],
        ] {
            let output = decode_bytes(&pcap(RAW, &frames), &["--json"]);
            assert_eq!(output.status.code(), Some(0));
            assert_eq!(String::from_utf8(output.stdout).unwrap(), "");
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(said.contains("fragmented packets are not shown"), "{said}");
        }
        // The same bytes twice are no contradiction.
        let frames = [a.clone(), b.clone(), a, b, c];
        assert_path(&only(&pcap(RAW, &frames)), cast, 5, 61);
    }
}

#[test]
fn cut_captures_are_told() {
    let packet = path_packet(&V4);
    let path_len = path_with_dcpe(&V4).len();
    // The router alert option makes a header of 24 bytes.
    let file = pcap_cut(RAW, std::slice::from_ref(&packet), 24 + 40);
    let seen = only(&file);
    let error = seen["error"].as_str().unwrap();
    assert!(error.contains(&format!("40 of the {path_len} bytes")), "{error}");
    assert_eq!(seen["objects"].as_array().unwrap().len(), 3);
    assert_eq!((&seen["msg_type"], &seen["checksum_ok"]), (&json!(1), &Value::Null));

    let mut file = pcap(RAW, std::slice::from_ref(&packet));
    file.extend(&pcap_cut(RAW, &[packet], 12)[24..]);
    let output = decode_bytes(&file, &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(said.contains("1 frames were cut"), "{said}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the size and the order of the fragments, the frame of the last one completes it.
    #[test]
    fn fragments_come_in_any_order(
        v6 in any::<bool>(),
        units in 1..12_usize,
        order in prop::collection::vec(any::<u32>(), 64),
    ) {
        let cast = if v6 { &V6 } else { &V4 };
        let path = path_with_dcpe(cast);
        let pieces = fragments(cast.sender, cast.destination, 77, units * 8, &path);
        let mut frames: Vec<_> = pieces.into_iter().enumerate().collect();
        frames.sort_by_key(|(index, _)| order[index % order.len()]);
        let frames: Vec<_> = frames.into_iter().map(|(_, frame)| frame).collect();
        let packet = only(&pcap(RAW, &frames));
        assert_path(&packet, cast, frames.len() as u64, 61);
    }
}
