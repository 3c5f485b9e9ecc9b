//! The IPv4 header against arbitrary bytes.

use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use crate::io::ipv4::{Header, ROUTER_ALERT, Skip, parse};

fn header() -> impl Strategy<Value = Header> {
    (any::<Ipv4Addr>(), any::<Ipv4Addr>(), any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
        |(source, destination, ttl, tos, router_alert)| Header {
            source,
            destination,
            ttl,
            tos,
            router_alert,
        },
    )
}

/// A packet as the kernel would complete it.
fn packet(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut packet = header.octets()[..header.length()].to_vec();
    packet.extend_from_slice(payload);
    let length = u16::try_from(packet.len()).unwrap();
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet
}

proptest! {
    #[test]
    fn no_bytes_panic_and_the_message_lies_inside(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        if let Ok((_, range)) = parse(&bytes, 1) {
            prop_assert!(range.start >= 20 && range.start <= range.end);
            prop_assert!(range.end <= bytes.len());
        }
    }

    #[test]
    fn bytes_that_look_like_a_header_do_not_panic_either(
        words in 0_u8..16,
        mut bytes in proptest::collection::vec(any::<u8>(), 20..100),
        length in any::<u8>(),
    ) {
        bytes[0] = 0x40 | words;
        bytes[2..4].copy_from_slice(&[0, length]);
        bytes[6..8].copy_from_slice(&[0, 0]);
        bytes[9] = 46;
        match parse(&bytes, 1) {
            Ok((_, range)) => {
                prop_assert_eq!(range.start, usize::from(words) * 4);
                prop_assert_eq!(range.end, usize::from(length));
                prop_assert!(range.end <= bytes.len());
            }
            Err(Skip::HeaderLength) => {
                prop_assert!(words < 5 || usize::from(words) * 4 > bytes.len());
            }
            Err(Skip::TotalLength) => {
                let length = usize::from(length);
                prop_assert!(length < usize::from(words) * 4 || length > bytes.len());
            }
            Err(reason) => prop_assert_eq!(reason, Skip::Options),
        }
    }

    #[test]
    fn what_is_written_reads_back(
        header in header(),
        payload in proptest::collection::vec(any::<u8>(), 0..50),
        padding in 0_usize..8,
    ) {
        let mut bytes = packet(&header, &payload);
        bytes.resize(bytes.len() + padding, 0xee);
        let (meta, range) = parse(&bytes, 42).unwrap();
        prop_assert_eq!(&bytes[range], &payload[..]);
        prop_assert_eq!(meta.interface, 42);
        prop_assert_eq!(meta.source, IpAddr::V4(header.source));
        prop_assert_eq!(meta.destination, IpAddr::V4(header.destination));
        prop_assert_eq!(meta.ttl, header.ttl);
        prop_assert_eq!(meta.router_alert, header.router_alert);
    }

    #[test]
    fn a_packet_cut_short_is_never_taken(
        header in header(),
        payload in proptest::collection::vec(any::<u8>(), 1..50),
        keep in any::<proptest::sample::Index>(),
    ) {
        let bytes = packet(&header, &payload);
        prop_assert!(parse(&bytes[..keep.index(bytes.len())], 1).is_err());
    }
}

#[test]
fn each_contradiction_has_its_reason() {
    let header = Header {
        source: Ipv4Addr::new(10, 0, 0, 1),
        destination: Ipv4Addr::new(10, 0, 0, 2),
        ttl: 3,
        tos: 0,
        router_alert: true,
    };
    let good = packet(&header, b"rsvp");
    let with = |place: usize, octet: u8| {
        let mut bytes = good.clone();
        bytes[place] = octet;
        parse(&bytes, 1).map(|(meta, _)| meta.router_alert)
    };
    assert_eq!(with(1, 0xff), Ok(true));
    assert_eq!(parse(&good[..19], 1).unwrap_err(), Skip::Short);
    assert_eq!(with(0, 0x66), Err(Skip::Version));
    assert_eq!(with(0, 0x44), Err(Skip::HeaderLength));
    assert_eq!(with(0, 0x4f), Err(Skip::HeaderLength));
    assert_eq!(with(3, 23), Err(Skip::TotalLength));
    assert_eq!(with(3, 29), Err(Skip::TotalLength));
    assert_eq!(with(9, 17), Err(Skip::Protocol));
    assert_eq!(with(6, 0x20), Err(Skip::Fragment));
    assert_eq!(with(7, 0x01), Err(Skip::Fragment));
    assert_eq!(with(6, 0x40), Ok(true), "don't fragment is no fragment");
    assert_eq!(with(21, 1), Err(Skip::Options));
    assert_eq!(with(21, 5), Err(Skip::Options));
    assert_eq!(with(20, 0), Ok(false), "end of options");
    assert_eq!(with(20, 0x44), Ok(false), "another option of the same length");
}

#[test]
fn router_alert_is_found_behind_other_options() {
    let mut bytes = vec![0x48, 0, 0, 32, 0, 0, 0, 0, 1, 46, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
    bytes.extend([1, 0x44, 5, 9, 9, 9, 1, 1]);
    bytes.extend(ROUTER_ALERT);
    let (meta, range) = parse(&bytes, 1).unwrap();
    assert!(meta.router_alert);
    assert_eq!(range, 32..32);
}
