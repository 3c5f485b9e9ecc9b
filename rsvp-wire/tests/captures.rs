//! Messages that other implementations sent: captures in `../shared/pcaps`, next to the workspace.
//! What is expected of each is what tshark says of it. Where the folder is absent, the test says
//! that it did not run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::fs;
use std::path::PathBuf;

use common::ip;
use rsvp_wire::object::*;
use rsvp_wire::{Message, MessageType, Packet};

/// The RSVP message of each frame of a little-endian or big-endian pcap file.
fn messages(file: &str) -> Option<Vec<Vec<u8>>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps").join(file);
    let Ok(bytes) = fs::read(&path) else {
        println!("NOT RUN: there is no capture {}", path.display());
        return None;
    };
    let little = bytes[0] == 0xd4 || bytes[0] == 0x4d;
    let word = |at: usize| {
        let bytes = bytes[at..at + 4].try_into().unwrap();
        if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    };
    // Link layer header: Ethernet, Linux cooked version 1, version 2.
    let link = match word(20) & 0xffff {
        1 => 14,
        113 => 16,
        276 => 20,
        other => panic!("{file}: link type {other}"),
    };
    let mut at = 24;
    let mut found = Vec::new();
    while at < bytes.len() {
        let length = word(at + 8) as usize;
        let packet = &bytes[at + 16 + link..at + 16 + length];
        let header = usize::from(packet[0] & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        found.push(packet[header..total.min(packet.len())].to_vec());
        at += 16 + length;
    }
    Some(found)
}

fn classes(packet: &Packet<'_>) -> Vec<u8> {
    packet.objects().map(|raw| raw.class).collect()
}

#[test]
fn classic_resv_and_resvconf() {
    let Some(messages) = messages("classic_resv_resvconf.pcap") else { return };
    let [resv, confirmation] = &messages[..] else { panic!("{} messages", messages.len()) };
    let sender = FilterSpec(Filter::port(ip("10.1.24.4"), 16388));
    let session = Session::new(ip("10.1.12.1"), 17, 16388);

    let packet = Packet::parse(resv).unwrap();
    assert_eq!(classes(&packet), [1, 3, 5, 15, 8, 9, 10]);
    assert_eq!((packet.checksum_ok(), packet.send_ttl()), (Some(true), 255));
    let Message::Resv(resv) = Message::parse(resv).unwrap() else { panic!("no RESV") };
    assert_eq!(resv.session, session);
    assert_eq!(resv.hop, Hop { address: ip("10.1.12.1"), lih: 134_218_755 });
    assert_eq!(resv.time_values.refresh_ms, 30_000);
    assert_eq!(resv.confirm, Some(ResvConfirm { receiver: ip("10.1.12.1") }));
    let flow = resv.flows().next().unwrap();
    assert_eq!((resv.style, flow.filter), (Style::FixedFilter, Some(sender)));
    // This router sends m = M = 0, which RFC 2210 calls illegal.
    let six = Float::from_integer(6000);
    let tspec = Tspec { rate: six, bucket: six, peak: six, min_policed: 0, max_packet: 0 };
    assert_eq!(flow.flowspec, FlowSpec::ControlledLoad(tspec));

    let packet = Packet::parse(confirmation).unwrap();
    assert_eq!(classes(&packet), [1, 6, 15, 8, 9, 10]);
    let Message::ResvConf(read) = Message::parse(confirmation).unwrap() else { panic!() };
    assert_eq!((read.session, read.error.node), (session, ip("10.1.24.4")));
    assert_eq!((read.error.code, read.error.value), (0, 0));
    assert_eq!(read.flows().next().unwrap().filter, Some(sender));
}

#[test]
fn another_engine() {
    let file = "other_engine_path_resv_conf_srefresh_tear.pcap";
    let Some(messages) = messages(file) else { return };
    let types: Vec<u8> =
        messages.iter().map(|m| Packet::parse(m).unwrap().message_type().into()).collect();
    assert_eq!(types, [1, 1, 2, 2, 7, 7, 15, 1, 15, 1, 1, 15, 15, 1, 15, 1, 1, 5, 5]);
    let session = Session::new(ip("10.77.2.2"), 17, 5000);
    for bytes in &messages {
        let packet = Packet::parse(bytes).unwrap();
        assert_eq!((packet.checksum_ok(), packet.flags() & 1), (Some(true), 1));
        match Message::from_packet(packet) {
            Ok(Message::Path(path)) => {
                assert_eq!(classes(&path.packet), [1, 3, 5, 11, 12, 13]);
                assert_eq!(path.session, session);
                assert_eq!(path.sender.template.0, Filter::port(ip("10.77.1.1"), 4711));
                let peak = Float::from_integer(250_000);
                assert_eq!(
                    path.sender.tspec,
                    Tspec { peak, ..Tspec::new(125_000, 25_000, 100, 1500) }
                );
                let adspec = path.sender.adspec.unwrap();
                assert_eq!(adspec.path_bandwidth(), Float::INFINITY);
            }
            // Its POLICY_DATA has a data offset that covers what are no options.
            Err(error) => {
                assert_eq!(packet.message_type(), MessageType::Resv);
                assert_eq!((error.reason(), error.object), ("bad_policy", Some((14, 1))));
                assert_eq!(classes(&packet), [23, 1, 3, 5, 15, 14, 8, 9, 10]);
            }
            Ok(Message::Srefresh(refresh)) => {
                assert_eq!(refresh.lists().map(|list| list.len()).sum::<usize>(), 1);
            }
            Ok(Message::PathTear(tear)) => assert_eq!(tear.session, session),
            Ok(Message::ResvConf(read)) => assert_eq!(read.confirm.receiver, ip("10.77.2.2")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn messages_that_once_broke_a_decoder() {
    let mut reasons = Vec::new();
    for file in ["rsvp-infinite-loop.pcap", "rsvp_cap.pcap", "rsvp_uni-oobr-1.pcap"] {
        let Some(messages) = messages(file) else { return };
        for bytes in messages {
            let shown = Packet::parse_header(&bytes);
            drop(shown.map(|packet| rsvp_wire::Lines(packet).to_string()));
            reasons.push(Message::parse(&bytes).map_or_else(|e| e.reason(), |_| "accepted"));
        }
    }
    assert_eq!(reasons.len(), 7, "{reasons:?}");
    println!("{reasons:?}");
}
