//! The properties, one function per fuzz target. Each panics where its property does not hold.

use rsvp_wire::charging::{ChargingError, ChgErr, Dcpe, Ucpe};
use rsvp_wire::iana::{class, ptype};
use rsvp_wire::message::Bundle;
use rsvp_wire::object::*;
use rsvp_wire::policy::{Element, write_app_resource_pri, write_auth_data, write_auth_session};
use rsvp_wire::{
    DecodeError, EncodeObject, ErrorContext, Lines, Message, Packet, RawObject, Sink, Summary,
};

/// A property of any bytes.
pub type Property = fn(&[u8]);

/// The properties by name, as the fuzz targets are called.
pub const ALL: &[(&str, Property)] = &[
    ("message", message),
    ("session_objects", session_objects),
    ("intserv_objects", intserv_objects),
    ("extension_objects", extension_objects),
    ("policy", policy),
    ("charging", charging),
];

/// A message, as it is and with version, length and checksum put right, so that mutations get past
/// the header.
pub fn message(bytes: &[u8]) {
    one_message(bytes);
    let mut patched = bytes.to_vec();
    patched.truncate(65_532 & !3);
    patched.truncate(patched.len() & !3);
    if patched.len() >= 8 {
        patched[0] = 0x10 | (patched[0] & 0x0f);
        patched[2..4].fill(0);
        let length = patched.len() as u16;
        patched[6..8].copy_from_slice(&length.to_be_bytes());
        one_message(&patched);
    }
}

fn one_message(bytes: &[u8]) {
    if let Ok(packet) = Packet::parse_header(bytes) {
        show(&packet);
    }
    let _ = ErrorContext::scan(bytes);
    match Message::parse(bytes) {
        Err(error) => faults(bytes, &error),
        Ok(message) => {
            use_up(&message);
            rebuilt(&message);
            if let Message::Bundle(bundle) = message {
                parts(&bundle);
            }
        }
    }
}

fn parts(bundle: &Bundle<'_>) {
    let mut length = 8;
    for part in bundle.parts() {
        length += part.len();
        assert!(!matches!(Message::parse(part), Ok(Message::Bundle(_))), "a Bundle in a Bundle");
    }
    assert_eq!(length, bundle.packet.bytes().len(), "the parts are not the whole");
}

fn show(packet: &Packet<'_>) {
    let lines = format!("{}", Lines(*packet));
    assert!(!lines.is_empty() && !format!("{}", Summary(*packet)).contains('\n'));
}

/// A fault lies within the message and can be told.
fn faults(bytes: &[u8], error: &DecodeError) {
    assert!(error.offset <= bytes.len(), "{error}");
    assert!(!format!("{error}").is_empty() && !error.reason().is_empty());
    let _ = error.reaction();
}

/// Calls every accessor.
fn use_up(message: &Message<'_>) {
    let packet = message.packet();
    show(packet);
    let _ = (packet.integrity(), packet.message_id(), packet.session_assoc(), packet.node_char());
    let _ = (packet.unknown().count(), packet.message_id_acks().count(), message.session());
    for data in packet.policy_data() {
        let of_object = data.options().count() + data.elements().count();
        let _ = (of_object, data.originating_hop(), data.destination_hop(), data.scope());
        data.elements().for_each(|element| one_element(element.bytes));
    }
    match message {
        Message::Path(m) => {
            assert!(
                Tspec::decode(&RawObject::parse(m.sender.tspec_bytes).expect("framed")).is_ok()
            );
        }
        Message::Resv(m) => {
            assert!(m.flows().count() > 0, "a Resv without flows");
            assert!(
                m.flows().all(|flow| flow.filter.is_some() != (m.style == Style::WildcardFilter))
            );
            let _ = m.scope().count();
        }
        Message::ResvConf(m) => assert!(m.flows().count() > 0, "a ResvConf without flows"),
        Message::ResvErr(m) => {
            let _ = (m.filters().count(), m.scope().count(), m.flowspec_bytes());
        }
        Message::ResvTear(m) => {
            assert!(m.filters().count() > 0 || m.style == Style::WildcardFilter);
        }
        Message::Srefresh(m) => assert!(m.lists().all(|list| list.len() == list.entries().count())),
        Message::Dreq(m) | Message::Drep(m) => {
            let _ = m.responses().map(|response| response.objects().count()).sum::<usize>();
        }
        Message::Ack(m) => assert!(m.acks().count() > 0, "an Ack without acknowledgements"),
        _ => {}
    }
}

/// Written again object by object, a message is the same.
fn rebuilt(message: &Message<'_>) {
    let packet = message.packet();
    let mut out = vec![0; packet.bytes().len()];
    let kind = packet.message_type();
    let ttl = packet.send_ttl();
    let mut writer = rsvp_wire::MessageWriter::with_flags(&mut out, kind, ttl, packet.flags());
    for raw in packet.objects() {
        writer.object(&raw).expect("room");
    }
    if let Message::Bundle(bundle) = message {
        bundle.parts().for_each(|part| writer.raw(part).expect("room"));
    }
    let length = writer.finish().expect("room");
    assert_eq!(out[8..length], packet.bytes()[8..], "objects changed");
    let again = Message::parse(&out[..length]).expect("what was accepted is accepted again");
    assert_eq!(again.session(), message.session());
}

/// Splits fuzz input into objects: whatever is framed as one.
fn objects(bytes: &[u8], each: impl Fn(&RawObject<'_>)) {
    if let Ok(raw) = RawObject::parse(bytes) {
        each(&raw);
    }
    // The first two bytes choose class and C-Type of an object that is the rest.
    if let Some((&[class, ctype], body)) = bytes.split_first_chunk::<2>() {
        let body = &body[..body.len().min(65_000) & !3];
        let mut framed = ((body.len() + 4) as u16).to_be_bytes().to_vec();
        framed.extend([class, ctype]);
        framed.extend(body);
        each(&RawObject::parse(&framed).expect("framed"));
    }
}

/// decode → encode → decode gives the first value again.
fn again<T: PartialEq + std::fmt::Debug + EncodeObject>(
    raw: &RawObject<'_>,
    decode: impl Fn(&RawObject<'_>) -> Result<T, DecodeError>,
) {
    match decode(raw) {
        Err(error) => faults(raw.bytes, &error),
        Ok(value) => {
            let mut out = vec![0; value.encoded_len()];
            let length = value.encode(&mut out).expect("room as foretold");
            let second = RawObject::parse(&out[..length]).expect("framed");
            assert_eq!(decode(&second).expect("readable"), value);
        }
    }
}

/// As [`again`], for views that borrow: what is written is written again the same.
fn same_bytes(value: &impl EncodeObject) -> Vec<u8> {
    let mut out = vec![0; value.encoded_len()];
    let length = value.encode(&mut out).expect("room as foretold");
    assert_eq!(length, out.len());
    out
}

/// The objects of RFC 2205 but for those of IntServ.
pub fn session_objects(bytes: &[u8]) {
    objects(bytes, |raw| match raw.class {
        class::SESSION => again(raw, Session::decode),
        class::RSVP_HOP => again(raw, Hop::decode),
        class::TIME_VALUES => again(raw, TimeValues::decode),
        class::ERROR_SPEC => again(raw, ErrorSpec::decode),
        class::STYLE => again(raw, Style::decode),
        class::FILTER_SPEC => again(raw, FilterSpec::decode),
        class::SENDER_TEMPLATE => again(raw, SenderTemplate::decode),
        class::RESV_CONFIRM => again(raw, ResvConfirm::decode),
        class::SCOPE => {
            if let Ok(scope) = ScopeIter::decode(raw) {
                let list: Vec<_> = scope.collect();
                assert_eq!(list.len(), scope.len());
                let written = same_bytes(&Scope(&list));
                assert!(list.is_empty() || written == raw.bytes);
            }
        }
        _ => {}
    });
}

/// SENDER_TSPEC, FLOWSPEC and ADSPEC, and what a hop does to the latter.
pub fn intserv_objects(bytes: &[u8]) {
    objects(bytes, |raw| {
        match raw.class {
            class::SENDER_TSPEC => again(raw, |raw| Tspec::decode(raw).map(SenderTspec)),
            class::FLOWSPEC => again(raw, FlowSpec::decode),
            _ => {}
        }
        let hop = AdspecHop {
            bandwidth: Float::from_integer(1_000_000),
            latency_us: 10,
            mtu: 1400,
            non_rsvp_hop_passed: bytes.len() % 2 == 1,
            guaranteed: (bytes.len().is_multiple_of(3)).then_some((5, 6)),
            controlled_load: !bytes.len().is_multiple_of(5),
        };
        let mut updated = raw.bytes.to_vec();
        update_adspec(&mut updated, &hop);
        assert_eq!(updated.len(), raw.bytes.len());
        if raw.class == class::ADSPEC {
            let Ok(before) = AdspecView::decode(raw) else { return };
            let raw = RawObject::parse(&updated).expect("framed");
            let after = AdspecView::decode(&raw).expect("an ADSPEC stays one");
            assert_eq!(after.hop_count(), before.hop_count().saturating_add(1));
            assert!(after.path_bandwidth() <= before.path_bandwidth().min(hop.bandwidth));
            assert!(after.mtu() <= before.mtu().min(1400));
            assert!(after.min_latency() >= before.min_latency());
            assert!(after.global_break() >= before.global_break());
            assert_eq!(same_bytes(&before), before.bytes());
        }
    });
}

/// The objects of the other RFCs.
pub fn extension_objects(bytes: &[u8]) {
    objects(bytes, |raw| match raw.class {
        class::MESSAGE_ID => again(raw, MessageId::decode),
        class::MESSAGE_ID_ACK => again(raw, MessageIdAck::decode),
        class::HELLO => again(raw, Hello::decode),
        class::CHALLENGE => again(raw, Challenge::decode),
        class::DIAGNOSTIC => again(raw, Diagnostic::decode),
        class::SESSION_ASSOC => again(raw, SessionAssoc::decode),
        class::NODE_CHAR => again(raw, NodeChar::decode),
        class::MESSAGE_ID_LIST => {
            if let Ok(list) = MessageIdList::decode(raw) {
                let entries: Vec<_> = list.entries().collect();
                assert_eq!(entries.len(), list.len());
                let owned = MessageIds { kind: list.kind, epoch: list.epoch, entries: &entries };
                assert_eq!(same_bytes(&owned), same_bytes(&list));
            }
        }
        class::INTEGRITY => {
            if let Ok(integrity) = Integrity::decode(raw) {
                let written = same_bytes(&integrity);
                let raw = RawObject::parse(&written).expect("framed");
                assert_eq!(Integrity::decode(&raw), Ok(integrity));
            }
        }
        class::DIAG_SELECT => {
            if let Ok(select) = DiagSelect::decode(raw) {
                let written = same_bytes(&select);
                let raw = RawObject::parse(&written).expect("framed");
                // A selection that ends with pairs of zeros loses them as padding.
                assert!(
                    select.pairs().starts_with(DiagSelect::decode(&raw).expect("readable").pairs())
                );
            }
        }
        class::ROUTE => {
            if let Ok(route) = Route::decode(raw) {
                let written = same_bytes(&route);
                let raw = RawObject::parse(&written).expect("framed");
                assert_eq!(Route::decode(&raw), Ok(route));
            }
        }
        class::DIAG_RESPONSE => {
            if let Ok(response) = DiagResponse::decode(raw) {
                assert_eq!(same_bytes(&response), raw.bytes);
            }
        }
        _ => {}
    });
}

/// A POLICY_DATA object and the elements in it, or one element alone.
pub fn policy(bytes: &[u8]) {
    one_element(bytes);
    objects(bytes, |raw| {
        let Ok(policy) = PolicyData::decode(raw) else { return };
        let mut out = vec![0; raw.bytes.len()];
        let mut sink = Sink::new(&mut out);
        let options: usize = policy.options().map(|option| option.bytes.len()).sum();
        sink.put(&raw.bytes[..8]);
        policy.options().for_each(|option| sink.put(option.bytes));
        policy.elements().for_each(|element| sink.put(element.bytes));
        assert_eq!(sink.position(), raw.bytes.len(), "{options} bytes of options");
        assert_eq!(out, raw.bytes);
        policy.elements().for_each(|element| one_element(element.bytes));
        let hops = (policy.originating_hop(), policy.destination_hop());
        assert!(hops.0.is_some() || hops.1.is_none());
    });
}

/// One policy element of an RFC: what is read, written and read again is the same.
fn one_element(bytes: &[u8]) {
    let Some((&[l1, l0, p1, p0], data)) = bytes.split_first_chunk::<4>() else { return };
    if usize::from(u16::from_be_bytes([l1, l0])) != bytes.len() || !bytes.len().is_multiple_of(4) {
        return;
    }
    let ptype = u16::from_be_bytes([p1, p0]);
    let element = PolicyElement { ptype, bytes, data };
    assert!(!format!("{element}").is_empty());
    let mut out = vec![0; bytes.len() + 64];
    let mut sink = Sink::new(&mut out);
    let parsed = match Element::parse(&element) {
        Ok(parsed) => parsed,
        Err(error) => return drop(format!("{error}")),
    };
    match parsed {
        Element::PreemptionPri(e) => e.write(&mut sink),
        Element::AdmissionPri(e) => e.write(&mut sink),
        Element::AppResourcePri(list) => {
            write_app_resource_pri(&mut sink, &list.priorities().collect::<Vec<_>>());
        }
        Element::AuthUser(data) | Element::AuthApp(data) => {
            assert!(data.signed_bytes().is_none_or(|signed| signed.len() < bytes.len()));
            write_auth_data(&mut sink, ptype, &data.attributes().collect::<Vec<_>>());
        }
        Element::AuthSession(session) => {
            write_auth_session(&mut sink, &session.attributes().collect::<Vec<_>>());
        }
        _ => return,
    }
    sink.check().expect("written elements are no longer than read ones");
    let length = sink.position();
    assert_eq!(length, bytes.len(), "an element changed its length");
    let again = PolicyElement { ptype, bytes: &out[..length], data: &out[4..length] };
    let second = Element::parse(&again).expect("readable");
    let mut twice = vec![0; length];
    let mut sink = Sink::new(&mut twice);
    match second {
        Element::PreemptionPri(e) => e.write(&mut sink),
        Element::AdmissionPri(e) => e.write(&mut sink),
        Element::AppResourcePri(list) => {
            write_app_resource_pri(&mut sink, &list.priorities().collect::<Vec<_>>());
        }
        Element::AuthUser(data) | Element::AuthApp(data) => {
            write_auth_data(&mut sink, ptype, &data.attributes().collect::<Vec<_>>());
        }
        Element::AuthSession(session) => {
            write_auth_session(&mut sink, &session.attributes().collect::<Vec<_>>());
        }
        _ => {}
    }
    assert_eq!(twice, out[..length]);
}

/// A charging element, read as each of the three.
pub fn charging(bytes: &[u8]) {
    charging_as(bytes, Dcpe::parse, |value, out| value.encode(ptype::DCPE, out), Dcpe::encoded_len);
    charging_as(bytes, Ucpe::parse, |value, out| value.encode(ptype::UCPE, out), Ucpe::encoded_len);
    charging_as(bytes, ChgErr::parse, |v, out| v.encode(ptype::CHG_ERR, out), ChgErr::encoded_len);
    // The same with the length put right.
    if (4..65_532).contains(&bytes.len()) && bytes.len().is_multiple_of(4) {
        let mut patched = bytes.to_vec();
        let length = (bytes.len() as u16).to_be_bytes();
        if patched[..2] != length {
            patched[..2].copy_from_slice(&length);
            charging(&patched);
        }
    }
}

fn charging_as<T: PartialEq + std::fmt::Debug + std::fmt::Display>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, ChargingError>,
    encode: impl Fn(&T, &mut [u8]) -> Result<usize, rsvp_wire::BufferTooSmall>,
    encoded_len: impl Fn(&T) -> usize,
) {
    match parse(bytes) {
        Err(error) => drop(format!("{error} {}", error.reason())),
        Ok(value) => {
            assert!(!format!("{value}").is_empty());
            let mut out = vec![0; encoded_len(&value)];
            assert_eq!(encode(&value, &mut out), Ok(out.len()));
            assert!(out.len() <= bytes.len(), "writing made the element longer");
            assert_eq!(parse(&out).expect("readable"), value);
            let room = out.len() - 1;
            assert_eq!(encode(&value, &mut out[..room]).expect_err("no room").needed, room + 1);
        }
    }
}
