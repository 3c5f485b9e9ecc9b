//! Hostile captures, in process and in numbers. What is printed of good ones is tested with the
//! program itself.

use proptest::prelude::*;
use rsvp_wire::charging::{Account, AccountKind, Dcpe, Ucpe};
use rsvp_wire::iana::ptype;
use rsvp_wire::object::{
    Adspec, Filter, Float, Hop, SenderTemplate, SenderTspec, Session, TimeValues, Tspec,
};
use rsvp_wire::{MessageType, MessageWriter, PolicyOptions};

use super::link::Place;
use super::{Counts, Decoder, Failure};
use crate::ip::fragments::{Fragments, Outcome};
use crate::ip::{Fragment, IpPacket};

/// What is printed of a capture, which may end in an error.
fn decode(capture: &[u8], json: bool) -> (Vec<u8>, Result<Counts, Failure>) {
    let mut out = Vec::new();
    let counts = Counts::default();
    let result =
        Decoder { out: &mut out, json, fragments: Fragments::default(), counts }.run(capture);
    (out, result)
}

fn path() -> Vec<u8> {
    let mut buffer = vec![0; 2048];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::Path, 63);
    let hop = Hop { address: "192.0.2.1".parse().unwrap(), lih: 1 };
    writer.object(&Session::new("203.0.113.9".parse().unwrap(), 17, 5004)).unwrap();
    writer.object(&hop).unwrap();
    writer.object(&TimeValues { refresh_ms: 30_000 }).unwrap();
    let account = Account::new(AccountKind::Ipv4, &[192, 0, 2, 7]);
    writer
        .policy_data(&PolicyOptions::from_hop(hop), |sink| {
            Dcpe { total: 41, ..Dcpe::new(978, 5) }.write(ptype::DCPE, sink);
            Ucpe::new(978, 5, account).write(ptype::UCPE, sink);
        })
        .unwrap();
    let sender = Filter::port("192.0.2.7".parse().unwrap(), 4000);
    writer.object(&SenderTemplate(sender)).unwrap();
    writer.object(&SenderTspec(Tspec::new(1000, 1000, 64, 1500))).unwrap();
    writer.object(&Adspec::controlled_load(Float::from_integer(1000), 1500)).unwrap();
    let length = writer.finish().unwrap();
    buffer.truncate(length);
    buffer
}

/// An IPv4 packet.
fn packet(fragment: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend((20 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 7]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([62, 46, 0, 0, 192, 0, 2, 7, 203, 0, 113, 9]);
    packet.extend(payload);
    packet
}

/// A pcap file of raw IP packets: a PATH, alone, in a Bundle, and in two fragments.
fn capture() -> Vec<u8> {
    let path = path();
    let bundled = [&[0x10, 12, 0, 0, 1, 0][..], &(8 + path.len() as u16).to_be_bytes(), &path];
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for packet in [
        packet(0, &path),
        packet(0, &bundled.concat()),
        packet(0x2000, &path[..64]),
        packet(8, &path[64..]),
    ] {
        for word in [1, 0, packet.len() as u32, packet.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

#[test]
fn the_sample_is_read_whole() {
    let (out, result) = decode(&capture(), true);
    assert_eq!(result.unwrap().lost, 0);
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("\"name\":\"DCPE\"").count(), 3, "{text}");
    assert_eq!(text.matches("\"error\"").count(), 0, "{text}");
}

/// However many packets are begun and never ended, only so many are kept.
#[test]
fn fragments_are_bounded() {
    let mut fragments = Fragments::default();
    let payload = [0; 8];
    for identification in 0..100_000 {
        let fragment = Fragment { identification, offset: 65_520, more: true };
        let packet = IpPacket {
            src: "192.0.2.7".parse().unwrap(),
            dst: "203.0.113.9".parse().unwrap(),
            ttl: 1,
            protocol: 46,
            payload: &payload,
            payload_len: payload.len(),
            fragment: Some(fragment),
        };
        let outcome = fragments.take(&packet, fragment, Place::default(), None);
        assert!(matches!(outcome, Outcome::Waiting), "{outcome:?}");
    }
    assert!(fragments.bytes() <= 256 * 65_536, "{} bytes are kept", fragments.bytes());
    assert_eq!(fragments.lost(), 100_000);
}

/// Fragments of an hour ago do not mix with those of another packet of the same number.
#[test]
fn fragments_wait_for_a_minute() {
    for (seconds, whole) in [(59, true), (61, false)] {
        let mut fragments = Fragments::default();
        let mut last = None;
        for (offset, more, time) in [(0, true, 0), (8, false, seconds)] {
            let fragment = Fragment { identification: 1, offset, more };
            let packet = IpPacket {
                src: "::1".parse().unwrap(),
                dst: "::2".parse().unwrap(),
                ttl: 1,
                protocol: 46,
                payload: &[0; 8],
                payload_len: 8,
                fragment: Some(fragment),
            };
            let now = Some(time * 1_000_000_000);
            last = Some(fragments.take(&packet, fragment, Place::default(), now));
        }
        assert_eq!(matches!(last, Some(Outcome::Whole(_))), whole, "after {seconds} s");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn damage_does_no_harm(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        end in any::<prop::sample::Index>(),
        json in any::<bool>(),
    ) {
        let mut file = capture();
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        file.truncate(file.len().min(end.index(2 * file.len())));
        let (out, _) = decode(&file, json);
        let text = String::from_utf8(out).unwrap();
        for line in text.lines().filter(|_| json) {
            prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{}", line);
        }
    }

    /// Blocks of every known type, with any contents, in both byte orders.
    #[test]
    fn any_blocks_do_no_harm(
        big_endian in any::<bool>(),
        blocks in prop::collection::vec(
            (prop::sample::select(vec![1_u32, 2, 3, 4, 5, 6, 9, 10, 0xbad, 0x0a0d_0d0a,
                0x8000_0001, 0x4000_0bad]),
             prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 0..80)),
            0..12,
        ),
    ) {
        let word = |word: u32| if big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        let mut file = Vec::new();
        let section = [&word(0x1a2b_3c4d)[..], &[0, 1, 0, 0], &[0xff; 8]].concat();
        for (kind, body) in std::iter::once((0x0a0d_0d0a, section)).chain(blocks) {
            let mut body = body;
            body.resize(body.len().next_multiple_of(4), 0);
            let length = 12 + body.len() as u32;
            file.extend([&word(kind)[..], &word(length), &body, &word(length)].concat());
        }
        let _ = decode(&file, true);
    }

    /// A message of any bytes.
    #[test]
    fn any_message_does_no_harm(
        kind in 0..30_u8,
        body in prop::collection::vec(prop_oneof![0..34_u8, any::<u8>()], 0..300),
    ) {
        let length = 8 + body.len() as u16;
        let message = [&[0x10, kind, 0, 0, 1, 0][..], &length.to_be_bytes(), &body].concat();
        let decoded = super::message::decode(&message, message.len());
        let record = super::message::record(&decoded, &super::record::Record::new());
        prop_assert!(serde_json::to_string(&record).is_ok());
        let end = decoded.objects.last().map_or(0, |raw| raw.offset + raw.bytes.len());
        prop_assert!(end <= message.len());
        prop_assert!(decoded.error.is_some() || kind == 12 || end.max(8) == message.len());
    }
}
