//! Files that are no captures, cut ones, damaged ones.

use std::path::Path;

use proptest::prelude::*;

use crate::build::{ETHERNET, LINUX_SLL2, RAW, cooked2, ethernet, fragments, ip, pcap, pcapng};
use crate::messages::{V4, V6, bundle, path_with_dcpe, resv_with_ucpe};
use crate::programs::{decode, decode_bytes, lines};
use rsvp_wire::object::Style;

fn refusal(bytes: &[u8]) -> String {
    let output = decode_bytes(bytes, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn what_cannot_be_read_is_told() {
    let output = decode(Path::new("/nowhere/at/all.pcap"), &[]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("/nowhere/at/all.pcap") && said.contains("No such file"), "{said}");

    assert!(refusal(b"").contains("0 bytes"));
    assert!(refusal(&pcap(RAW, &[])[..20]).contains("20 bytes"));
    assert!(refusal(b"#!/bin/sh\necho this is no capture").contains("neither a pcap nor"));
    assert!(refusal(b"\x1f\x8b\x08\x00 and so on, and so on").contains("gunzip"));
    let unsupported = refusal(&pcap(127, &[vec![0; 64]]));
    assert!(unsupported.contains("link type 127") && unsupported.contains("Ethernet"));
}

#[test]
fn a_capture_without_packets_is_no_fault() {
    for file in [pcap(RAW, &[]), pcapng(false, &[])] {
        let output = decode_bytes(&file, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0));
    }
}

/// Wherever a file is cut, the packets before are printed and the place is told.
#[test]
fn cut_files_are_read_as_far_as_they_go() {
    let packet = ip(V4.sender, V4.destination, 62, &V4.plain_path(true));
    let frames = [ethernet(&[], &packet), ethernet(&[], &packet)];
    let [first, second] = [pcap(ETHERNET, &frames[..1]).len(), pcap(ETHERNET, &frames).len()];
    let file = pcap(ETHERNET, &frames);
    for (end, frames, there) in
        [(second - 1, 1, second - first - 1), (first + 16, 1, 16), (first + 7, 1, 7), (50, 0, 26)]
    {
        let output = decode_bytes(&file[..end], &["--json"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{end}");
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(printed.lines().count(), frames, "{end}: {said}");
        assert!(said.contains(&format!("{frames} whole frames")), "{end}: {said}");
        assert!(said.contains(&format!("{there} ")), "{end}: {said}");
    }
    assert_eq!(lines(&decode_bytes(&file[..first], &["--json"])).len(), 1);

    let file = pcapng(true, &[(ETHERNET, frames[0].clone()), (ETHERNET, frames[1].clone())]);
    let said = refusal(&file[..file.len() - 3]);
    assert!(said.contains("1 whole frames") && said.contains("cut off"), "{said}");
}

#[test]
fn damaged_records_are_told_with_their_place() {
    let packet = ip(V4.sender, V4.destination, 62, &V4.plain_path(true));
    let mut file = pcap(RAW, &[packet.clone(), packet.clone()]);
    let second = 24 + 16 + packet.len();
    file[second + 8..second + 12].copy_from_slice(&0xf000_0000_u32.to_le_bytes());
    let said = refusal(&file);
    assert!(said.contains(&format!("byte {second}")) && said.contains("damaged"), "{said}");

    let mut file = pcapng(false, &[(RAW, packet)]);
    let last = file.len() - 4;
    file[last..].fill(0);
    assert!(refusal(&file).contains("damaged"));
    let header = &pcapng(false, &[])[..];
    let mut unknown_interface = header.to_vec();
    unknown_interface.extend([6, 0, 0, 0, 32, 0, 0, 0]);
    unknown_interface.extend([0; 20]);
    unknown_interface.extend([32, 0, 0, 0]);
    assert!(refusal(&unknown_interface).contains("interface 0"));
}

/// Some of everything that the decoder can read.
fn sample(ng: bool) -> Vec<u8> {
    let path = path_with_dcpe(&V4);
    let mut frames = vec![
        ethernet(&[(0x88a8, 5), (0x8100, 6)], &ip(V4.sender, V4.destination, 62, &path)),
        ethernet(&[], &ip(V6.hop, V6.sender, 63, &resv_with_ucpe(&V6, Style::FixedFilter))),
        ethernet(&[], &ip(V4.hop, V4.sender, 1, &bundle(&[V4.plain_path(false), path.clone()]))),
    ];
    for cast in [&V4, &V6] {
        let path = path_with_dcpe(cast);
        let pieces = fragments(cast.sender, cast.destination, 3, 120, &path);
        frames.extend(pieces.iter().map(|piece| ethernet(&[], piece)));
    }
    if !ng {
        return pcap(ETHERNET, &frames);
    }
    let mut frames: Vec<_> = frames.into_iter().map(|frame| (ETHERNET, frame)).collect();
    frames.push((LINUX_SLL2, cooked2(4, &ip(V6.sender, V6.destination, 9, &path))));
    pcapng(false, &frames)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// A damaged file ends with 0 or 1 and valid JSON, never with a panic (101) or a signal.
    #[test]
    fn damage_never_ends_the_program_otherwise(
        ng in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut file = sample(ng);
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        if cut {
            file.truncate(end.index(file.len()));
        }
        for options in [&["--json"][..], &[]] {
            let output = decode_bytes(&file, options);
            prop_assert!(matches!(output.status.code(), Some(0 | 1)), "{:?}", output);
            if !options.is_empty() {
                for line in std::str::from_utf8(&output.stdout).unwrap().lines() {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
                }
            }
        }
    }
}
