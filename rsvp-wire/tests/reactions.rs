//! Bad input, fault by fault: the reason that metrics count, where the fault is, and what RFC 2205
//! section 3.10 and appendix B, and RFC 2750 appendix A, want done.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::{hex, ip};
use rsvp_wire::object::*;
use rsvp_wire::{
    DecodeError, EncodeObject, ErrorContext, Message, MessageType, MessageWriter, PolicyOptions,
    Reaction, rewrite_checksum,
};

const DROP: Reaction = Reaction::Drop;

fn path_err(code: u8, value: u16) -> Reaction {
    Reaction::SendPathErr { code, value }
}

fn resv_err(code: u8, value: u16) -> Reaction {
    Reaction::SendResvErr { code, value }
}

fn vector(name: &str) -> Vec<u8> {
    let lines = include_str!("vectors/messages.txt").lines();
    let mut found = lines.filter(|line| line.starts_with(&format!("{name} | ")));
    hex(found.next().unwrap().rsplit(" | ").next().unwrap())
}

fn session() -> Session {
    Session::new(ip("192.0.2.9"), 17, 5004)
}

fn hop() -> Hop {
    Hop { address: ip("192.0.2.1"), lih: 7 }
}

fn sender() -> Filter {
    Filter::port(ip("192.0.2.7"), 4000)
}

fn tspec() -> Tspec {
    Tspec::new(125_000, 16_000, 64, 1500)
}

const R: TimeValues = TimeValues { refresh_ms: 30_000 };

fn message(kind: MessageType, objects: &[&dyn EncodeObject]) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let mut writer = MessageWriter::new(&mut buffer, kind, 63);
    objects.iter().for_each(|object| writer.object(*object).unwrap());
    let length = writer.finish().unwrap();
    buffer[..length].to_vec()
}

/// A PATH with further objects at its end.
fn path_with(more: &[&dyn EncodeObject]) -> Vec<u8> {
    let (template, tspec) = (SenderTemplate(sender()), SenderTspec(tspec()));
    let base: [&dyn EncodeObject; 5] = [&session(), &hop(), &R, &template, &tspec];
    message(MessageType::Path, &[&base, more].concat())
}

/// A RESV with these flow descriptors.
fn resv_with(more: &[&dyn EncodeObject]) -> Vec<u8> {
    let base: [&dyn EncodeObject; 3] = [&session(), &hop(), &R];
    message(MessageType::Resv, &[&base, more].concat())
}

fn error(bytes: &[u8]) -> DecodeError {
    match Message::parse(bytes) {
        Err(error) => error,
        Ok(message) => panic!("accepted: {message:?}"),
    }
}

#[track_caller]
fn check(bytes: &[u8], reason: &str, reaction: Reaction) -> DecodeError {
    let error = error(bytes);
    assert_eq!((error.reason(), error.reaction()), (reason, reaction), "{error}");
    error
}

fn changed(mut bytes: Vec<u8>, at: usize, to: &[u8]) -> Vec<u8> {
    bytes[at..at + to.len()].copy_from_slice(to);
    rewrite_checksum(&mut bytes);
    bytes
}

#[test]
fn header_faults_are_dropped() {
    let good = path_with(&[]);
    check(&good[..7], "truncated", DROP);
    check(&[], "truncated", DROP);
    check(&good[..good.len() - 4], "bad_length", DROP);
    let mut longer = good.clone();
    longer.extend([0; 4]);
    check(&longer, "bad_length", DROP);
    check(&changed(good.clone(), 0, &[0x20]), "bad_version", DROP);
    let mut flipped = good.clone();
    flipped[30] ^= 1;
    let error = check(&flipped, "bad_checksum", DROP);
    assert_eq!((error.offset, error.message_type), (2, Some(1)));
    // No checksum is no fault, and reserved bits are ignored.
    let mut bare = good.clone();
    bare[2..4].fill(0);
    assert!(Message::parse(&bare).is_ok());
    assert!(Message::parse(&changed(good, 5, &[0xff])).is_ok());
}

#[test]
fn object_framing_faults_are_dropped() {
    let good = path_with(&[]);
    for length in [0_u16, 3, 10, 13, 4096, 65_532] {
        let error = check(&changed(good.clone(), 8, &length.to_be_bytes()), "object_length", DROP);
        assert_eq!((error.object, error.offset), (Some((1, 1)), 8));
        assert_eq!((error.field, error.value), ("length", u64::from(length)));
    }
    // A length that frames, but not one that a SESSION has.
    let short = message(MessageType::Path, &[&Raw { class: 1, ctype: 1, body: &[0; 4] }]);
    check(&short, "object_length", DROP);
}

#[test]
fn objects_have_to_be_there_once_and_where_they_may_stand() {
    let (template, spec) = (SenderTemplate(sender()), SenderTspec(tspec()));
    let all: [&dyn EncodeObject; 5] = [&session(), &hop(), &R, &template, &spec];
    for left_out in 0..all.len() {
        let mut objects = all.to_vec();
        let (class, _) = objects.remove(left_out).class_and_ctype();
        let error = check(&message(MessageType::Path, &objects), "missing_object", DROP);
        assert_eq!(error.object, Some((class, 0)));
    }
    for twice in all {
        check(&path_with(&[twice]), "duplicate_object", DROP);
    }
    // In any order.
    let mut backwards = all;
    backwards.reverse();
    assert!(Message::parse(&message(MessageType::Path, &backwards)).is_ok());
    // Of known classes only those that the type has.
    check(&path_with(&[&Style::FixedFilter]), "misplaced_object", DROP);
    check(&path_with(&[&ResvConfirm { receiver: ip("192.0.2.9") }]), "misplaced_object", DROP);
    // INTEGRITY only right behind the header.
    let integrity = Integrity { flags: 0, key_id: 1, sequence: 1, digest: &[0; 16] };
    check(&path_with(&[&integrity]), "misplaced_object", DROP);
    // Behind STYLE nothing but flow descriptors.
    let flow = FlowSpec::ControlledLoad(tspec());
    let late: [&dyn EncodeObject; 4] = [&Style::WildcardFilter, &flow, &Scope(&[]), &flow];
    check(&resv_with(&late[..3]), "misplaced_object", DROP);
    check(&resv_with(&[&flow, &Style::WildcardFilter]), "misplaced_object", DROP);
    check(
        &resv_with(&[&Style::WildcardFilter, &flow, &Style::FixedFilter]),
        "duplicate_object",
        DROP,
    );
    // NULL anywhere.
    let null = Raw { class: 0, ctype: 77, body: &[1, 2, 3, 4] };
    assert!(Message::parse(&path_with(&[&null, &null])).is_ok());
    assert!(Message::parse(&resv_with(&[&Style::WildcardFilter, &null, &flow, &null])).is_ok());
}

#[test]
fn unknown_classes_of_the_three_kinds() {
    let unknown = |class| Raw { class, ctype: 9, body: &[0xab; 8] };
    let value = |class: u8| u16::from_be_bytes([class, 9]);
    // 18 was never assigned, 19 is RFC 3209's LABEL_REQUEST, which this node does not process.
    for class in [2, 18, 19, 127] {
        check(&path_with(&[&unknown(class)]), "unknown_class", path_err(13, value(class)));
        let flow = FlowSpec::ControlledLoad(tspec());
        let bytes = resv_with(&[&unknown(class), &Style::WildcardFilter, &flow]);
        check(&bytes, "unknown_class", resv_err(13, value(class)));
        let template = SenderTemplate(sender());
        let tear: [&dyn EncodeObject; 4] = [&session(), &hop(), &template, &unknown(class)];
        check(&message(MessageType::PathTear, &tear), "unknown_class", DROP);
    }
    for (class, forwarded) in [(129, 0), (191, 0), (193, 1), (207, 1), (255, 1)] {
        let bytes = path_with(&[&unknown(class)]);
        let Ok(Message::Path(path)) = Message::parse(&bytes) else { panic!("{class}") };
        assert_eq!(path.unknown().count(), forwarded, "{class}");
        let expected = [Reaction::IgnoreObject, Reaction::ForwardObject][forwarded];
        assert_eq!(Reaction::for_unknown_class(MessageType::Path, class, 9), expected);
    }
    let rejected = Reaction::for_unknown_class(MessageType::Resv, 2, 9);
    assert_eq!(rejected, resv_err(13, value(2)));
}

#[test]
fn unknown_ctypes_are_answered() {
    for class in [1, 3, 5, 11, 12, 13, 14] {
        let raw = Raw { class, ctype: 77, body: &[0; 12] };
        let bytes = message(MessageType::Path, &[&raw]);
        let error = check(&bytes, "unknown_ctype", path_err(14, u16::from_be_bytes([class, 77])));
        assert_eq!((error.offset, error.value), (11, 77));
    }
    let obsolete = Raw { class: 9, ctype: 1, body: &[0; 12] };
    let bytes = resv_with(&[&Style::WildcardFilter, &obsolete]);
    check(&bytes, "unknown_ctype", resv_err(14, 0x0901));
}

#[test]
fn values_that_cannot_be() {
    let at = |class: u8| {
        let bytes = path_with(&[]);
        let packet = rsvp_wire::Packet::parse(&bytes).unwrap();
        packet.objects_of(class).next().unwrap().offset
    };
    let good = path_with(&[]);
    check(&changed(good.clone(), at(1) + 4, &[0; 4]), "bad_session", DROP);
    check(&changed(good.clone(), at(1) + 8, &[0]), "bad_session", DROP);
    check(&changed(good.clone(), at(3) + 4, &[0; 4]), "bad_hop", DROP);
    check(&changed(good.clone(), at(3) + 4, &[224, 0, 0, 1]), "bad_hop", DROP);
    check(&changed(good.clone(), at(11) + 4, &[0; 4]), "bad_filter", DROP);
    // A source port in a session without destination port (RFC 2205 section 3.2, rule 2).
    let error = check(&changed(good.clone(), at(1) + 10, &[0, 0]), "bad_port", DROP);
    assert_eq!((error.offset, error.value), (at(11) + 10, 4000));

    for bits in [f32::NAN, -1.0, f32::NEG_INFINITY, -0.0].map(f32::to_bits) {
        // Rate, bucket and peak rate.
        for field in [16, 20, 24] {
            let bytes = changed(good.clone(), at(12) + field, &bits.to_be_bytes());
            let error = check(&bytes, "bad_tspec", path_err(21, 4));
            assert_eq!((error.offset, error.value), (at(12) + field, bits.into()));
        }
    }
    let infinity = f32::INFINITY.to_bits().to_be_bytes();
    check(&changed(good.clone(), at(12) + 16, &infinity), "bad_tspec", path_err(21, 4));
    assert!(Message::parse(&changed(good.clone(), at(12) + 24, &infinity)).is_ok());
    // M < m; version; overall length; service; parameter length.
    check(&changed(good.clone(), at(12) + 32, &[0; 4]), "bad_tspec", path_err(21, 4));
    check(&changed(good.clone(), at(12) + 4, &[0x10]), "bad_tspec", path_err(21, 4));
    check(&changed(good.clone(), at(12) + 7, &[8]), "bad_tspec", path_err(21, 4));
    check(&changed(good.clone(), at(12) + 8, &[5]), "bad_tspec", path_err(21, 4));
    check(&changed(good, at(12) + 15, &[4]), "bad_tspec", path_err(21, 4));

    let adspec = Adspec::controlled_load(Float::from_integer(1), 1500);
    let good = path_with(&[&adspec]);
    let start = good.len() - adspec.encoded_len();
    check(&changed(good.clone(), start + 24, &[0xff; 4]), "bad_adspec", path_err(21, 5));
    check(&changed(good.clone(), start + 8, &[2]), "bad_adspec", path_err(21, 5));
    check(&changed(good, start + 12, &[5]), "bad_adspec", path_err(21, 5));
}

#[test]
fn families_do_not_mix() {
    let v6 = Hop { address: ip("2001:db8::1"), lih: 0 };
    let template = SenderTemplate(Filter::port(ip("2001:db8::7"), 4000));
    let spi = SenderTemplate(Filter { source: ip("192.0.2.7"), id: FlowId::Gpi(1) });
    let spec = SenderTspec(tspec());
    for (hop, template) in [(v6, SenderTemplate(sender())), (hop(), template), (hop(), spi)] {
        let objects: [&dyn EncodeObject; 5] = [&session(), &hop, &R, &template, &spec];
        check(&message(MessageType::Path, &objects), "address_family", DROP);
    }
    let flow = FlowSpec::ControlledLoad(tspec());
    let confirm = ResvConfirm { receiver: ip("2001:db8::1") };
    check(&resv_with(&[&confirm, &Style::WildcardFilter, &flow]), "address_family", DROP);
    let filter = FilterSpec(template.0);
    check(&resv_with(&[&Style::FixedFilter, &flow, &filter]), "address_family", DROP);
}

#[test]
fn flow_descriptors_suit_the_style() {
    let flow = FlowSpec::ControlledLoad(tspec());
    let filter = FilterSpec(sender());
    let reason = "bad_flow_descriptor";
    for style in [Style::WildcardFilter, Style::FixedFilter, Style::SharedExplicit] {
        check(&resv_with(&[&style]), reason, DROP);
        check(&resv_with(&[&style, &filter]), reason, DROP);
        check(&resv_with(&[&style, &filter, &flow]), reason, DROP);
        check(&resv_with(&[&style, &flow, &flow, &filter]), reason, DROP);
    }
    check(&resv_with(&[&Style::WildcardFilter, &flow, &filter]), reason, DROP);
    check(&resv_with(&[&Style::FixedFilter, &flow]), reason, DROP);
    check(&resv_with(&[&Style::FixedFilter, &flow, &filter, &flow]), reason, DROP);
    check(&resv_with(&[&Style::SharedExplicit, &flow, &filter, &flow, &filter]), reason, DROP);
    let unknown = Style::Unknown(0b01001);
    check(&resv_with(&[&unknown, &flow, &filter]), "bad_style", resv_err(6, 0));
    // Bits that RFC 2205 does not define yet do not make a style unknown.
    assert!(Message::parse(&resv_with(&[&Style::Unknown(0b1_01010), &flow, &filter])).is_ok());
    // An unknown service in a FLOWSPEC.
    let mut bytes = resv_with(&[&Style::WildcardFilter, &flow]);
    let service = bytes.len() - 36 + 8;
    bytes[service] = 6;
    rewrite_checksum(&mut bytes);
    check(&bytes, "unknown_service", resv_err(21, 2));
    let bytes = changed(resv_with(&[&Style::WildcardFilter, &flow]), service + 8, &[0xff; 4]);
    check(&bytes, "bad_flowspec", resv_err(21, 3));
}

#[test]
fn r024_policy_data_syntax() {
    let mut buffer = [0; 512];
    let mut writer = MessageWriter::new(&mut buffer, MessageType::Path, 1);
    writer.object(&session()).unwrap();
    let start = writer.position();
    let options = PolicyOptions::from_hop(hop());
    writer.policy_data(&options, |s| write_element(s, 0xd001, |s| s.put(&[0; 32]))).unwrap();
    let objects: [&dyn EncodeObject; 4] =
        [&hop(), &R, &SenderTemplate(sender()), &SenderTspec(tspec())];
    objects.iter().for_each(|object| writer.object(*object).unwrap());
    let length = writer.finish().unwrap();
    let good = buffer[..length].to_vec();
    assert!(Message::parse(&good).is_ok());
    let element = start + 20;
    for (offset, to) in [
        (start + 4, vec![0, 4]),   // data offset within the fixed part
        (start + 4, vec![0, 18]),  // data offset within an option
        (start + 4, vec![0, 100]), // data offset behind the object
        (start + 8, vec![0, 0]),   // option of length 0
        (start + 10, vec![9]),     // FLOWSPEC is no option
        (start + 12, vec![0; 4]),  // hop without address
        (element, vec![0, 0]),     // element of length 0
        (element, vec![0, 34]),    // no multiple of 4
        (element, vec![0, 40]),    // over the object
        (element, vec![0, 32]),    // something is left behind it
    ] {
        let error = check(&changed(good.clone(), offset, &to), "bad_policy", path_err(2, 11));
        assert_eq!(error.object, Some((14, 1)));
        assert!((start..start + 56).contains(&error.offset), "{error}");
    }
}

#[test]
fn an_error_can_be_answered() {
    let good = vector("resv_ff");
    let bytes = changed(good.clone(), good.len() - 12 - 48 + 16, &[0xff; 4]);
    check(&bytes, "bad_flowspec", resv_err(21, 3));
    let context = ErrorContext::scan(&bytes);
    assert_eq!(context.session.unwrap().destination, ip("192.0.2.9"));
    assert_eq!((context.hop, context.style), (Some(hop()), Some(Style::FixedFilter)));
    assert_eq!(context.filter, Some(FilterSpec(sender())));
    assert_eq!(context.flowspec, Some(FlowSpec::ControlledLoad(tspec())));
    let bytes = vector("path_v4");
    let context = ErrorContext::scan(&bytes);
    assert_eq!(context.template, Some(SenderTemplate(sender())));
    assert_eq!(context.tspec, Some(tspec()));
    assert_eq!(ErrorContext::scan(&[1, 2, 3]), ErrorContext::default());
}

#[test]
fn quoted_descriptors_may_be_what_the_error_is_about() {
    let spec = SenderTspec(tspec());
    let error = ErrorSpec { node: ip("192.0.2.1"), flags: ErrorFlags::NONE, code: 21, value: 4 };
    let objects: [&dyn EncodeObject; 4] = [&session(), &error, &SenderTemplate(sender()), &spec];
    let good = message(MessageType::PathErr, &objects);
    let bytes = changed(good.clone(), good.len() - 20, &[0xff; 4]);
    let Ok(Message::PathErr(read)) = Message::parse(&bytes) else { panic!("no PathErr") };
    assert_eq!((read.template, read.tspec), (Some(SenderTemplate(sender())), None));
    assert_eq!(read.sender_objects().count(), 2);
    let (style, flow) = (Style::Unknown(9), FlowSpec::ControlledLoad(tspec()));
    let objects: [&dyn EncodeObject; 5] = [&session(), &hop(), &error, &style, &flow];
    let good = message(MessageType::ResvErr, &objects);
    let bytes = changed(good.clone(), good.len() - 20, &[0xff; 4]);
    let Ok(Message::ResvErr(read)) = Message::parse(&bytes) else { panic!("no ResvErr") };
    assert_eq!((read.style, read.flowspec), (style, None));
    assert_eq!(read.flowspec_bytes().unwrap().len(), 36);
}

#[test]
fn an_error_says_what_and_where() {
    let flow = FlowSpec::ControlledLoad(tspec());
    let text = error(&resv_with(&[&Style::Unknown(9), &flow])).to_string();
    assert_eq!(
        text,
        "Resv: STYLE (class 8, C-Type 1) is none of WF, FF and SE: option vector is 9 at offset 44"
    );
    let text = error(&path_with(&[&Raw { class: 2, ctype: 1, body: &[] }])).to_string();
    assert!(
        text.starts_with("Path: object of class 2, C-Type 1, is of an unknown class"),
        "{text}"
    );
}
