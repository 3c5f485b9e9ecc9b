//! `lcmctl decode --json` beside tshark.

use std::error::Error;
use std::path::{Path, PathBuf};

use rsvp_wire::object::Style;

use crate::build::{ETHERNET, LINUX_SLL2, cooked2, ethernet, fragments, ip, pcap, pcapng};
use crate::messages::{V4, V6, bundle, path_with_dcpe, resv_err_with_chg_err, resv_with_ucpe};
use crate::oracle;
use crate::programs::{decode, lines};

/// Captures that others made, beside the repository.
fn foreign() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/pcaps");
    folder.is_dir().then_some(folder)
}

fn agree(file: &Path) -> Result<usize, Box<dyn Error>> {
    let ours = lines(&decode(file, &["--json"]));
    Ok(oracle::agree(&ours, &oracle::messages(file)?))
}

#[test]
fn foreign_captures_are_read_alike() -> Result<(), Box<dyn Error>> {
    let Some(folder) = foreign() else {
        println!("NOT RUN: there is no ../shared/pcaps beside the repository to compare with");
        return Ok(());
    };
    let mut messages = 0;
    for entry in std::fs::read_dir(&folder)? {
        let file = entry?.path();
        if file.extension().is_some_and(|extension| extension == "pcap") {
            let count = agree(&file)?;
            println!("{}: {count} messages alike", file.display());
            assert!(count > 0, "{}", file.display());
            messages += count;
        }
    }
    assert!(messages >= 20, "only {messages} messages in {}", folder.display());
    Ok(())
}

#[test]
fn own_captures_are_read_alike() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("own.pcapng");
    let mut packets = Vec::new();
    for cast in [&V4, &V6] {
        let (down, up) = ((cast.sender, cast.destination), (cast.hop, cast.sender));
        packets.push(ip(down.0, down.1, 62, &path_with_dcpe(cast)));
        for style in [Style::WildcardFilter, Style::FixedFilter, Style::SharedExplicit] {
            packets.push(ip(up.0, up.1, 63, &resv_with_ucpe(cast, style)));
        }
        packets.push(ip(up.0, cast.destination, 63, &resv_err_with_chg_err(cast)));
        packets.push(ip(up.0, up.1, 1, &cast.plain_path(false)));
        let mut pieces = fragments(cast.sender, cast.destination, 5, 96, &path_with_dcpe(cast));
        pieces.reverse();
        packets.extend(pieces);
    }
    packets.push(ip(V4.hop, V4.sender, 1, &bundle(&[V4.plain_path(true), V4.plain_path(true)])));
    let frames = packets.iter().enumerate().map(|(index, packet)| match index % 3 {
        0 => (ETHERNET, ethernet(&[], packet)),
        1 => (ETHERNET, ethernet(&[(0x88a8, 7), (0x8100, 8)], packet)),
        _ => (LINUX_SLL2, cooked2(2, packet)),
    });
    std::fs::write(&file, pcapng(false, &frames.collect::<Vec<_>>()))?;
    // The fragments of one packet must not be spread over VLANs and interfaces.
    let whole = folder.path().join("whole.pcap");
    let frames: Vec<_> = packets.iter().map(|packet| ethernet(&[], packet)).collect();
    std::fs::write(&whole, pcap(ETHERNET, &frames))?;
    assert_eq!(agree(&whole)?, 17);
    let ours = lines(&decode(&file, &["--json"]));
    assert_eq!(ours.len(), 13, "fragments of different interfaces are different packets");
    Ok(())
}
