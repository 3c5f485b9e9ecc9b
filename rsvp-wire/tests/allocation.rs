//! Reading a message does not allocate.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::hint::black_box;

use allocation_counter::measure;
use common::hex;
use rsvp_wire::charging::{DCPE_PTYPE, Dcpe, UCPE_PTYPE, Ucpe};
use rsvp_wire::object::{AdspecView, PolicyData};
use rsvp_wire::policy::Element;
use rsvp_wire::{ErrorContext, Message, Packet};

fn vectors(text: &str) -> Vec<(String, Vec<u8>)> {
    let parts = text.lines().map(|line| line.split(" | ").collect::<Vec<_>>());
    parts.map(|parts| (parts[0].to_owned(), hex(parts[2]))).collect()
}

/// Everything that the decode path offers, accessors included.
fn read(bytes: &[u8]) {
    let Ok(message) = Message::parse(bytes) else {
        black_box(ErrorContext::scan(bytes));
        return;
    };
    let packet: &Packet<'_> = message.packet();
    black_box((packet.objects().count(), packet.unknown().count(), packet.integrity()));
    black_box((packet.message_id(), packet.message_id_acks().count()));
    for policy in packet.policy_data() {
        black_box((policy.originating_hop(), policy.filter_specs().count()));
        for element in policy.elements() {
            black_box(Element::parse(&element)).ok();
        }
    }
    match message {
        Message::Path(path) => {
            black_box(path.sender.adspec.as_ref().map(AdspecView::guaranteed));
        }
        Message::Resv(resv) => {
            black_box((resv.flows().count(), resv.scope().count()));
        }
        Message::Srefresh(refresh) => {
            black_box(refresh.lists().filter_map(|list| list.entries().last()).count());
        }
        Message::Bundle(bundle) => bundle.parts().for_each(read),
        _ => {}
    }
}

#[test]
fn reading_does_not_allocate() {
    // The counter counts: a test of nothing would pass too.
    assert!(measure(|| drop(black_box(vec![1_u8]))).count_total > 0);
    for (name, bytes) in vectors(include_str!("vectors/messages.txt")) {
        assert_eq!(measure(|| read(&bytes)).count_total, 0, "{name}");
        // Neither do the faults.
        for end in 0..bytes.len() {
            assert_eq!(measure(|| read(&bytes[..end])).count_total, 0, "{name} cut at {end}");
        }
        for at in 8..bytes.len() {
            let mut broken = bytes.clone();
            broken[2..4].fill(0);
            broken[at] ^= 0xff;
            assert_eq!(measure(|| read(&broken)).count_total, 0, "{name} broken at {at}");
        }
    }
}

/// Charging elements own their parts, but the usual ones fit into the value.
#[test]
fn charging_elements_without_lists_do_not_allocate() {
    let find = |name| {
        let all = vectors(include_str!("vectors/objects.txt"));
        all.into_iter().find(|(n, _)| n == name).unwrap().1
    };
    for name in ["pe_dcpe_core", "pe_ucpe"] {
        let bytes = find(name);
        let mut out = [0; 256];
        let counted = measure(|| {
            if name == "pe_ucpe" {
                black_box(Ucpe::parse(&bytes).unwrap().encode(UCPE_PTYPE, &mut out)).unwrap();
            } else {
                black_box(Dcpe::parse(&bytes).unwrap().encode(DCPE_PTYPE, &mut out)).unwrap();
            }
        });
        assert_eq!(counted.count_total, 0, "{name}");
    }
    let message = vectors(include_str!("vectors/messages.txt")).remove(0).1;
    let packet = Packet::parse(&message).unwrap();
    let policy: PolicyData<'_> = packet.policy_data().next().unwrap();
    let dcpe = policy.element(DCPE_PTYPE).unwrap().bytes;
    assert_eq!(measure(|| drop(black_box(Dcpe::parse(dcpe)))).count_total, 0);
    assert!(std::mem::size_of::<Dcpe>() <= 256, "{}", std::mem::size_of::<Dcpe>());
    assert!(std::mem::size_of::<Ucpe>() <= 320, "{}", std::mem::size_of::<Ucpe>());
}
