//! Byte vectors, both ways: bytes to value and value to bytes. The bytes come from
//! `vectors/generate.py`, that is from scapy or packed by hand along an RFC's figure; each line of
//! `vectors/*.txt` names its source.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::net::IpAddr;

use common::{hex, ip};
use rsvp_wire::charging::*;
use rsvp_wire::digest::{self, Algorithm, DigestError, Key};
use rsvp_wire::object::*;
use rsvp_wire::policy::*;
use rsvp_wire::{DecodeError, iana::ptype, write_policy_data};
use rsvp_wire::{EncodeObject, Message, MessageType, Packet, PolicyOptions, RawObject, Sink};

const OBJECTS: &str = include_str!("vectors/objects.txt");
const MESSAGES: &str = include_str!("vectors/messages.txt");
const DIGESTS: &str = include_str!("vectors/digests.txt");

/// The vectors of a file, and which of them a test has looked at.
struct Vectors {
    lines: Vec<(&'static str, Vec<u8>)>,
    seen: BTreeSet<&'static str>,
}

impl Vectors {
    fn new(text: &'static str) -> Self {
        let lines = text.lines().map(|line| {
            let parts: Vec<_> = line.split(" | ").collect();
            (parts[0], hex(parts[2]))
        });
        Self { lines: lines.collect(), seen: BTreeSet::new() }
    }

    fn get(&mut self, name: &str) -> Vec<u8> {
        let (name, bytes) = self.lines.iter().find(|(n, _)| *n == name).expect(name);
        assert!(self.seen.insert(name), "{name} was looked at before");
        bytes.clone()
    }

    /// An object that decodes to `value` and is written as it came.
    fn object<T: EncodeObject + PartialEq + Debug>(
        &mut self,
        name: &str,
        value: T,
        decode: impl for<'a> Fn(&RawObject<'a>) -> Result<T, DecodeError>,
    ) {
        let bytes = self.get(name);
        let raw = RawObject::parse(&bytes).unwrap();
        assert_eq!(decode(&raw), Ok(value), "{name}: bytes to value");
        self.written(name, &decode(&raw).unwrap(), &bytes);
    }

    /// A view that borrows: the caller compares what it holds.
    fn view(
        &mut self,
        name: &str,
        check: impl for<'a> FnOnce(&RawObject<'a>, &dyn Fn(&dyn EncodeObject)),
    ) {
        let bytes = self.get(name);
        let raw = RawObject::parse(&bytes).unwrap();
        check(&raw, &|object| self.written(name, object, &bytes));
    }

    fn written(&self, name: &str, object: &dyn EncodeObject, bytes: &[u8]) {
        let mut out = [0; 512];
        let length = object.encode(&mut out).unwrap();
        assert_eq!(&out[..length], bytes, "{name}: value to bytes");
        assert_eq!(object.encoded_len(), bytes.len(), "{name}: length foretold");
    }

    fn all_seen(&self, prefix: impl Fn(&str) -> bool) {
        let missed: Vec<_> = self.lines.iter().map(|(n, _)| n).filter(|n| prefix(n)).collect();
        let missed: Vec<_> = missed.into_iter().filter(|n| !self.seen.contains(*n)).collect();
        assert!(missed.is_empty(), "vectors that no test looked at: {missed:?}");
    }
}

fn tspec() -> Tspec {
    Tspec::new(125_000, 16_000, 64, 1500)
}

#[test]
fn objects_of_rfc_2205_2207_2210() {
    let mut v = Vectors::new(OBJECTS);
    let session = |ip: IpAddr, protocol, flags, destination_port, generalized| Session {
        destination: ip,
        protocol,
        flags,
        destination_port,
        generalized,
    };
    let (d4, d6) = (ip("192.0.2.9"), ip("2001:db8::9"));
    v.object("session_v4", session(d4, 17, 1, 5004, false), Session::decode);
    v.object("session_v6", session(d6, 17, 0, 5004, false), Session::decode);
    v.object("session_v4_gpi", session(d4, 50, 0, 1, true), Session::decode);
    v.object("session_v6_gpi", session(d6, 51, 0, 2, true), Session::decode);
    let (h4, h6) = (ip("192.0.2.1"), ip("2001:db8::1"));
    v.object("hop_v4", Hop { address: h4, lih: 7 }, Hop::decode);
    v.object("hop_v6", Hop { address: h6, lih: 0xdead_beef }, Hop::decode);
    v.object("time_values", TimeValues { refresh_ms: 30_000 }, TimeValues::decode);
    let error = |node, flags, code, value| ErrorSpec { node, flags, code, value };
    let in_place = error(h4, ErrorFlags::IN_PLACE, 1, 2);
    v.object("error_spec_v4", in_place, ErrorSpec::decode);
    v.object("error_spec_v6", error(h6, ErrorFlags::NOT_GUILTY, 21, 4), ErrorSpec::decode);
    let partial = error(h4, ErrorFlags::NONE, 2, rsvp_wire::iana::policy::PARTIAL_PREEMPT);
    v.object("error_spec_partial_preemption", partial, ErrorSpec::decode);
    for (name, senders) in [
        ("scope_v4", [ip("192.0.2.7"), ip("192.0.2.8")]),
        ("scope_v6", [ip("2001:db8::7"), ip("2001:db8::8")]),
    ] {
        v.view(name, |raw, written| {
            assert!(ScopeIter::decode(raw).unwrap().eq(senders));
            written(&Scope(&senders));
        });
    }
    v.object("style_wf", Style::WildcardFilter, Style::decode);
    v.object("style_ff", Style::FixedFilter, Style::decode);
    v.object("style_se", Style::SharedExplicit, Style::decode);
    let (s4, s6) = (ip("192.0.2.7"), ip("2001:db8::7"));
    let filter = |source, id| FilterSpec(Filter { source, id });
    v.object("filter_spec_v4", filter(s4, FlowId::Port(4000)), FilterSpec::decode);
    v.object("filter_spec_v6", filter(s6, FlowId::Port(4000)), FilterSpec::decode);
    v.object("filter_spec_flow_label", filter(s6, FlowId::FlowLabel(0xabcde)), FilterSpec::decode);
    v.object("filter_spec_v4_gpi", filter(s4, FlowId::Gpi(0x0102_0304)), FilterSpec::decode);
    v.object("filter_spec_v6_gpi", filter(s6, FlowId::Gpi(u32::MAX)), FilterSpec::decode);
    let template = |source, id| SenderTemplate(Filter { source, id });
    let decode = SenderTemplate::decode;
    v.object("sender_template_v4", template(s4, FlowId::Port(4000)), decode);
    v.object("sender_template_v6", template(s6, FlowId::Port(4000)), decode);
    v.object("sender_template_flow_label", template(s6, FlowId::FlowLabel(0xff_ffff)), decode);
    v.object("sender_template_v4_gpi", template(s4, FlowId::Gpi(9)), decode);
    v.object("sender_template_v6_gpi", template(s6, FlowId::Gpi(9)), decode);
    v.object("resv_confirm_v4", ResvConfirm { receiver: d4 }, ResvConfirm::decode);
    v.object("resv_confirm_v6", ResvConfirm { receiver: d6 }, ResvConfirm::decode);
    v.object("sender_tspec", SenderTspec(tspec()), |raw| Tspec::decode(raw).map(SenderTspec));
    v.object("flowspec_controlled_load", FlowSpec::ControlledLoad(tspec()), FlowSpec::decode);
    let rate = Float::new(250_000.5).unwrap();
    let guaranteed = FlowSpec::Guaranteed { tspec: tspec(), rate, slack: 300 };
    v.object("flowspec_guaranteed", guaranteed, FlowSpec::decode);

    let bare = Adspec {
        hop_count: 3,
        min_latency: 40,
        ..Adspec::controlled_load(Float::from_integer(12_500_000), 1500)
    };
    let terms = GuaranteedTerms { c_tot: 1, d_tot: 2, c_sum: 3, d_sum: 4 };
    let both = Adspec {
        global_break: true,
        guaranteed: Some((false, Some(terms))),
        controlled_load: Some(true),
        ..bare
    };
    let empty = Adspec { guaranteed: Some((true, None)), controlled_load: None, ..bare };
    for (name, value) in [
        ("adspec_controlled_load", bare),
        ("adspec_both_services", both),
        ("adspec_empty_guaranteed", empty),
    ] {
        v.view(name, |raw, written| {
            let view = AdspecView::decode(raw).unwrap();
            let general = (view.hop_count(), view.min_latency(), view.mtu(), view.global_break());
            assert_eq!(general, (3, 40, 1500, value.global_break), "{name}");
            assert_eq!(view.path_bandwidth().to_integer(), 12_500_000, "{name}");
            assert_eq!(view.guaranteed(), value.guaranteed.and_then(|(_, terms)| terms), "{name}");
            assert_eq!(view.supports(5), value.controlled_load == Some(false), "{name}");
            assert_eq!(view.service(2).map(|s| s.break_bit), value.guaranteed.map(|g| g.0));
            written(&value);
            written(&view);
        });
    }
    v.view("adspec_override", |raw, written| {
        let view = AdspecView::decode(raw).unwrap();
        let own = view.service(5).unwrap().word(6).unwrap();
        assert_eq!(Float::from_bits(own).unwrap().to_integer(), 1000);
        assert_eq!(view.path_bandwidth().to_integer(), 12_500_000);
        written(&view);
    });
    v.all_seen(|name| {
        ["session_v", "hop", "time", "error", "scope", "style", "filter", "sender", "resv", "flow"]
            .iter()
            .chain(&["adspec"])
            .any(|prefix| name.starts_with(prefix))
    });
}

#[test]
fn objects_of_rfc_2745_2746_2747_2961_3209() {
    let mut v = Vectors::new(OBJECTS);
    v.view("integrity", |raw, written| {
        let digest: Vec<u8> = (0..16).collect();
        let value = Integrity {
            flags: Integrity::HANDSHAKE,
            key_id: 0xa1a2_a3a4_a5a6,
            sequence: 77,
            digest: &digest,
        };
        assert_eq!(Integrity::decode(raw), Ok(value));
        written(&value);
    });
    let challenge = Challenge { key_id: 0xa1a2_a3a4_a5a6, cookie: 0x1122_3344_5566_7788 };
    v.object("challenge", challenge, Challenge::decode);
    let id = MessageId { flags: MessageId::ACK_DESIRED, epoch: 0xab_cdef, identifier: 7 };
    v.object("message_id", id, MessageId::decode);
    let ack = MessageIdAck { nack: false, epoch: 0xab_cdef, identifier: 7 };
    v.object("message_id_ack", ack, MessageIdAck::decode);
    let nack = MessageIdAck { nack: true, identifier: 8, ..ack };
    v.object("message_id_nack", nack, MessageIdAck::decode);
    let entry = |identifier, source: Option<&str>, destination: Option<&str>| ListEntry {
        identifier,
        source: source.map(ip),
        destination: destination.map(ip),
    };
    let (s4, s6) = (Some("192.0.2.7"), Some("2001:db8::7"));
    for (name, kind, entries) in [
        ("message_id_list", ListKind::Plain, vec![entry(1, None, None), entry(2, None, None)]),
        ("message_id_src_list_v4", ListKind::SourceV4, vec![entry(1, s4, None)]),
        ("message_id_src_list_v6", ListKind::SourceV6, vec![entry(1, s6, None)]),
        ("message_id_mcast_list_v4", ListKind::MulticastV4, vec![entry(1, s4, Some("224.1.1.1"))]),
        ("message_id_mcast_list_v6", ListKind::MulticastV6, vec![entry(1, s6, Some("ff05::1"))]),
    ] {
        v.view(name, |raw, written| {
            let list = MessageIdList::decode(raw).unwrap();
            assert_eq!((list.kind, list.epoch, list.len()), (kind, 0xab_cdef, entries.len()));
            assert!(list.entries().eq(entries.iter().copied()), "{name}");
            written(&list);
            written(&MessageIds { kind, epoch: 0xab_cdef, entries: &entries });
        });
    }
    let hello = |ack, source_instance, destination_instance| Hello {
        ack,
        source_instance,
        destination_instance,
    };
    v.object("hello_request", hello(false, 0x4a44_672b, 0), Hello::decode);
    v.object("hello_ack", hello(true, 1, 0x4a44_672b), Hello::decode);

    let diagnostic = Diagnostic {
        max_hops: 10,
        hop_count: 2,
        more_fragments: true,
        request_id: 0xcafe_0001,
        path_mtu: 1500,
        fragment_offset: 400,
        last_hop: ip("192.0.2.1"),
        sender: SenderTemplate(Filter::port(ip("192.0.2.7"), 4000)),
        requester: FilterSpec(Filter::port(ip("192.0.2.7"), 4000)),
    };
    v.object("diagnostic_v4", diagnostic, Diagnostic::decode);
    let diagnostic = Diagnostic {
        max_hops: 0,
        hop_count: 0,
        more_fragments: false,
        request_id: 1,
        path_mtu: 1280,
        fragment_offset: 0,
        last_hop: ip("2001:db8::1"),
        sender: SenderTemplate(Filter::port(ip("2001:db8::7"), 4000)),
        requester: FilterSpec(Filter::port(ip("2001:db8::7"), 4000)),
    };
    v.object("diagnostic_v6", diagnostic, Diagnostic::decode);
    v.view("diag_select", |raw, written| {
        let select = DiagSelect::decode(raw).unwrap();
        assert_eq!(select.pairs(), [[14, 0], [9, 2], [8, 1]]);
        assert!(select.selects(14, 1) && select.selects(9, 2) && !select.selects(9, 1));
        written(&select);
    });
    for (name, pointer, nodes) in [
        ("route_v4", 2, vec![ip("192.0.2.1"), ip("192.0.2.2")]),
        ("route_v6", 1, vec![ip("2001:db8::1")]),
    ] {
        v.view(name, |raw, written| {
            let route = Route::decode(raw).unwrap();
            assert_eq!(route.pointer, pointer);
            assert!(route.nodes.eq(nodes.iter().copied()));
            written(&route);
        });
    }
    v.view("diag_response_v4", |raw, written| {
        let response = DiagResponse::decode(raw).unwrap();
        let addresses = (response.incoming, response.outgoing, response.previous_hop);
        assert_eq!(addresses, (ip("192.0.2.1"), ip("192.0.2.2"), ip("0.0.0.0")));
        assert_eq!((response.arrival_time, response.hops, response.timer), (0x1234_5678, 3, 30));
        assert_eq!(response.error, DiagResponse::PACKET_TOO_BIG);
        assert_eq!((response.merged, response.refresh_multiple), (true, 3));
        assert!(response.objects().map(|o| o.class).eq([12, 8]));
        written(&response);
    });
    v.view("diag_response_v6", |raw, written| {
        let response = DiagResponse::decode(raw).unwrap();
        let mut expected = DiagResponse::new(ip("2001:db8::1"), ip("::"), ip("::"));
        expected.error = DiagResponse::NO_PATH_STATE;
        assert_eq!(response.objects().count(), 0);
        assert_eq!((response.incoming, response.error), (expected.incoming, expected.error));
        written(&expected);
    });
    let assoc = SessionAssoc {
        session: Session { flags: 1, ..Session::new(ip("192.0.2.9"), 17, 5004) },
        tunnel: FilterSpec(Filter::port(ip("192.0.2.7"), 4000)),
    };
    v.object("session_assoc", assoc, SessionAssoc::decode);
    v.object("node_char", NodeChar { tunnel: true }, NodeChar::decode);
    v.all_seen(|name| {
        ["integrity", "challenge", "message_id", "hello", "diag", "route", "session_a", "node"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
    });
}

fn element(bytes: &[u8]) -> PolicyElement<'_> {
    let ptype = u16::from_be_bytes([bytes[2], bytes[3]]);
    PolicyElement { ptype, bytes, data: &bytes[4..] }
}

fn write(f: impl FnOnce(&mut Sink<'_>)) -> Vec<u8> {
    let mut buffer = [0; 1024];
    let mut sink = Sink::new(&mut buffer);
    f(&mut sink);
    sink.check().unwrap();
    let length = sink.position();
    buffer[..length].to_vec()
}

#[test]
fn policy_elements_of_rfc_2872_3181_3182_3520_6401() {
    let mut v = Vectors::new(OBJECTS);
    let bytes = v.get("pe_preemption_pri");
    let preemption = PreemptionPri {
        merge_strategy: MergeStrategy::HighestPriority,
        error: PriorityError::Preemption,
        preemption: 100,
        defending: 200,
    };
    assert_eq!(Element::parse(&element(&bytes)), Ok(Element::PreemptionPri(preemption)));
    assert_eq!(write(|sink| preemption.write(sink)), bytes);

    let bytes = v.get("pe_admission_pri");
    let admission = AdmissionPri {
        merge_strategy: MergeStrategy::HighestQos,
        error: PriorityError::NoError,
        priority: 5,
    };
    assert_eq!(Element::parse(&element(&bytes)), Ok(Element::AdmissionPri(admission)));
    assert_eq!(write(|sink| admission.write(sink)), bytes);

    let bytes = v.get("pe_app_resource_pri");
    let list = [Alrp { namespace: 3, value: 1 }, Alrp { namespace: 0x1234, value: 4 }];
    assert!(AppResourcePri::parse(&element(&bytes)).unwrap().priorities().eq(list));
    assert_eq!(write(|sink| write_app_resource_pri(sink, &list)), bytes);

    let dn = b"APP=SAP, VER=1.1, SAPP=Print";
    for (name, ptype, attributes) in [
        (
            "pe_auth_user",
            ptype::AUTH_USER,
            vec![
                AuthAttribute::PolicyLocator(LocatorType::AsciiDn, b"CN=Alice"),
                AuthAttribute::Credential(CredentialType::AsciiId, b"alice"),
            ],
        ),
        (
            "pe_auth_app",
            ptype::AUTH_APP,
            vec![
                AuthAttribute::PolicyLocator(LocatorType::AsciiDn, dn),
                AuthAttribute::Credential(CredentialType::AsciiId, b"SAP.EXE"),
            ],
        ),
        (
            "pe_auth_user_signed_error",
            ptype::AUTH_USER,
            vec![
                AuthAttribute::PolicyLocator(LocatorType::UnicodeDn, "CN=Böb".as_bytes()),
                AuthAttribute::Credential(CredentialType::X509V3Cert, b"cert"),
                AuthAttribute::PolicyError(IdentityError::ExpiredCredential, b"too old"),
                AuthAttribute::DigitalSignature(b"signature"),
            ],
        ),
    ] {
        let bytes = v.get(name);
        let data = AuthData::parse(&element(&bytes)).unwrap();
        assert!(data.attributes().eq(attributes.iter().copied()), "{name}");
        assert_eq!(write(|sink| write_auth_data(sink, ptype, &attributes)), bytes, "{name}");
        let signed = data.signed_bytes().map(<[u8]>::len);
        assert_eq!(signed, name.contains("signed").then(|| bytes.len() - 16), "{name}");
    }
    assert_eq!(locator_field(dn, "ver"), Some(&b"1.1"[..]));
    assert_eq!(locator_field(dn, "GUID"), None);
    assert!(locator_fields(b"APP=a\\,b,VER=").eq([(&b"APP"[..], &b"a\\,b"[..]), (b"VER", b"")]));

    let bytes = v.get("pe_auth_session");
    let (udp, tcp) = ([4000_u16.to_be_bytes(), 4002_u16.to_be_bytes()], [80_u16.to_be_bytes()]);
    let tag: Vec<u8> = [0, 0, 0, 9].into_iter().chain([0; 16]).collect();
    let attributes = [
        SessionAttribute::Entity(EntityType::Fqdn, b"pdp.example"),
        SessionAttribute::SessionId(&[1, 2, 3, 4]),
        SessionAttribute::Source(AddressSpec::V4("192.0.2.7".parse().unwrap())),
        SessionAttribute::Source(AddressSpec::UdpPorts(PortList::new(&udp))),
        SessionAttribute::Destination(AddressSpec::V6("2001:db8::9".parse().unwrap())),
        SessionAttribute::Destination(AddressSpec::TcpPorts(PortList::new(&tcp))),
        SessionAttribute::StartTime(1 << 32),
        SessionAttribute::EndTime(2 << 32),
        SessionAttribute::Resources(Resources::Bandwidth(64)),
        SessionAttribute::Resources(Resources::Dscp(&[0xb8])),
        SessionAttribute::AuthenticationData(&tag),
    ];
    let session = AuthSession::parse(&element(&bytes)).unwrap();
    assert!(session.attributes().eq(attributes));
    assert_eq!(session.signed_bytes().unwrap().len(), bytes.len() - 24);
    assert_eq!(write(|sink| write_auth_session(sink, &attributes)), bytes);
    v.all_seen(|name| name.starts_with("pe_a") || name.starts_with("pe_p"));
}

#[test]
fn r087_charging_elements_both_ways() {
    let mut v = Vectors::new(OBJECTS);
    let dcpe = Dcpe {
        flags: ChargingFlags::NON_CHARGING_HOP,
        total: 100,
        max_total: 120,
        validity_ms: 60_000,
        epoch: 9,
        ..Dcpe::new(978, 5)
    };
    let bytes = v.get("pe_dcpe_core");
    assert_eq!(Dcpe::parse(&bytes).as_ref(), Ok(&dcpe));
    assert_eq!(write(|sink| dcpe.write(DCPE_PTYPE, sink)), bytes);

    let bytes = v.get("pe_dcpe_full");
    let hop = |address, local_price| HopRecord { detail: 1, address: ip(address), local_price };
    let point = |bits_per_s, rate| PricePoint { bits_per_s, rate };
    let mut full = dcpe;
    full.terms = Terms {
        sender_fraction: Some(300_000),
        account: Some(Account::new(AccountKind::Nai, b"a@b.c")),
        limit_per_receiver: Some(1000),
        limit_per_hop: Some(500),
        max_hops: Some(8),
        sponsored: Some(33),
        quantity: Some(1_000_000),
        refund: Some(Refund { policy: RefundPolicy::ProRata, threshold: 50 }),
        receivers_below: Some(2),
        established: Some(17),
        extra: None,
    };
    full.terms.push_hop_record(hop("192.0.2.1", 40));
    full.terms.push_hop_record(hop("2001:db8::1", 60));
    full.terms.extra_mut().price_curve = vec![point(64_000, 10), point(128_000, 15)];
    full.terms.append_unknown(&[0, 7, 200, 1, b'a', b'b', b'c', 0]);
    assert_eq!(Dcpe::parse(&bytes).as_ref(), Ok(&full));
    assert_eq!(write(|sink| full.write(DCPE_PTYPE, sink)), bytes);
    let unknown: Vec<_> = full.terms.unknown_tlvs().collect();
    assert_eq!(unknown, [UnknownTlv { kind: 200, flags: 1, value: b"abc" }]);

    let bytes = v.get("pe_ucpe");
    let id: Vec<u8> = (0..16).collect();
    let ucpe = Ucpe {
        payment: 70,
        announced_total: 250,
        sender_payment: 45,
        local_sum: 150,
        epoch_echo: 9,
        sequence: 3,
        instance: 1,
        ..Ucpe::new(978, 5, Account::new(AccountKind::Opaque, &id))
    };
    assert_eq!(Ucpe::parse(&bytes).as_ref(), Ok(&ucpe));
    assert_eq!(write(|sink| ucpe.write(UCPE_PTYPE, sink)), bytes);

    let bytes = v.get("pe_chg_err");
    let error = ChgErr {
        reason: 4,
        currency: 978,
        exponent: -12,
        required: 77,
        offered: 63,
        epoch: 9,
        sequence: 3,
        terms: Terms::default(),
    };
    assert_eq!(ChgErr::parse(&bytes).as_ref(), Ok(&error));
    assert_eq!(write(|sink| error.write(CHG_ERR_PTYPE, sink)), bytes);
    v.all_seen(|name| name.starts_with("pe_d") || name.starts_with("pe_u"));
}

#[test]
fn policy_data_both_ways() {
    let mut v = Vectors::new(OBJECTS);
    let hop = Hop { address: ip("192.0.2.1"), lih: 7 };
    let filters = [FilterSpec(Filter::port(ip("192.0.2.7"), 4000))];
    let digest: Vec<u8> = (0..16).collect();
    let integrity = Integrity {
        flags: Integrity::HANDSHAKE,
        key_id: 0xa1a2_a3a4_a5a6,
        sequence: 77,
        digest: &digest,
    };
    let options = PolicyOptions {
        filters: &filters,
        destination: Some(hop),
        integrity: Some(integrity),
        refresh: Some(TimeValues { refresh_ms: 30_000 }),
        ..PolicyOptions::from_hop(hop)
    };
    let elements = [Vectors::new(OBJECTS).get("pe_dcpe_core"), v.get("pe_preemption_pri")];
    let bytes = v.get("policy_data");
    let raw = RawObject::parse(&bytes).unwrap();
    let policy = PolicyData::decode(&raw).unwrap();
    assert_eq!(policy.originating_hop(), Some(hop));
    assert_eq!(policy.destination_hop(), Some(hop));
    assert!(policy.filter_specs().eq(filters));
    assert_eq!(policy.integrity(), Some(integrity));
    assert_eq!(policy.time_values(), options.refresh);
    assert!(policy.elements().map(|e| e.bytes).eq(elements.iter()));
    assert_eq!(policy.bytes(), bytes);
    let put = |sink: &mut Sink<'_>| elements.iter().for_each(|element| sink.put(element));
    assert_eq!(write(|sink| write_policy_data(sink, &options, put)), bytes);

    let bytes = v.get("policy_data_scope");
    let raw = RawObject::parse(&bytes).unwrap();
    let policy = PolicyData::decode(&raw).unwrap();
    let senders = [ip("192.0.2.7"), ip("192.0.2.8")];
    assert!(policy.scope().unwrap().eq(senders));
    assert!(policy.element(UCPE_PTYPE).unwrap().is_empty());
    let options = PolicyOptions { scope: &senders, ..PolicyOptions::from_hop(hop) };
    let empty = |sink: &mut Sink<'_>| write_element(sink, UCPE_PTYPE, |_| {});
    assert_eq!(write(|sink| write_policy_data(sink, &options, empty)), bytes);
}

#[test]
fn messages_are_read() {
    let mut v = Vectors::new(MESSAGES);
    let filter = |address, port| FilterSpec(Filter::port(ip(address), port));

    let bytes = v.get("path_v4");
    let Message::Path(path) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(path.session, Session { flags: 1, ..Session::new(ip("192.0.2.9"), 17, 5004) });
    assert_eq!(path.sender.tspec, tspec());
    assert_eq!(path.sender.adspec.unwrap().hop_count(), 3);
    assert_eq!(path.packet.send_ttl(), 63);
    assert_eq!(path.policy_data().count(), 1);
    // Of the two unknown objects, the one of class 160 is to be ignored.
    assert!(path.unknown().map(|raw| raw.bytes).eq([&b"\0\x08\xe1\x01keep"[..]]));

    let bytes = v.get("path_v6");
    let Message::Path(path) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(path.message_id().unwrap().identifier, 7);
    assert_eq!((path.packet.flags(), path.sender.adspec), (1, None));
    let bytes = v.get("path_gpi");
    let Message::Path(path) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(path.sender.template.0.id, FlowId::Gpi(9));
    let bytes = v.get("path_integrity");
    let Message::Path(path) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(path.packet.integrity().unwrap().sequence, 77);
    assert_eq!(path.packet.session_assoc().unwrap().session.destination, ip("192.0.2.9"));

    let bytes = v.get("resv_ff");
    let Message::Resv(resv) = Message::parse(&bytes).unwrap() else { panic!() };
    let flows: Vec<_> = resv.flows().map(|f| (f.flowspec.service(), f.filter.unwrap())).collect();
    let expected =
        [(5, filter("192.0.2.7", 4000)), (5, filter("192.0.2.8", 1)), (2, filter("192.0.2.6", 2))];
    assert_eq!(flows, expected);
    assert_eq!(resv.confirm, Some(ResvConfirm { receiver: ip("192.0.2.9") }));
    assert!(resv.message_id_acks().map(|ack| ack.nack).eq([false, true]));
    assert_eq!(resv.packet.node_char(), Some(NodeChar { tunnel: true }));
    let bytes = v.get("resv_se");
    let Message::Resv(resv) = Message::parse(&bytes).unwrap() else { panic!() };
    let flows: Vec<_> = resv.flows().map(|f| (f.flowspec.service(), f.filter.unwrap())).collect();
    assert_eq!(flows, [(2, filter("2001:db8::7", 4000)), (2, filter("2001:db8::8", 4000))]);
    let bytes = v.get("resv_wf");
    let Message::Resv(resv) = Message::parse(&bytes).unwrap() else { panic!() };
    assert!(resv.flows().map(|f| f.filter).eq([None]));
    assert!(resv.has_scope() && resv.scope().eq([ip("192.0.2.7"), ip("192.0.2.8")]));

    let bytes = v.get("path_err");
    let Message::PathErr(error) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!((error.error.code, error.tspec), (1, Some(tspec())));
    assert_eq!(error.policy_data().next().unwrap().elements().count(), 2);
    let bytes = v.get("resv_err");
    let Message::ResvErr(error) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!((error.error.code, error.error.value), (2, 102));
    assert_eq!(error.flowspec, Some(FlowSpec::ControlledLoad(tspec())));
    assert!(error.filters().eq([filter("192.0.2.7", 4000)]));
    let bytes = v.get("path_tear");
    let Message::PathTear(tear) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(FilterSpec::from(tear.template), filter("192.0.2.7", 4000));
    let bytes = v.get("resv_tear");
    let Message::ResvTear(tear) = Message::parse(&bytes).unwrap() else { panic!() };
    assert!(tear.filters().eq([filter("192.0.2.7", 4000)]));
    let bytes = v.get("resv_conf");
    let Message::ResvConf(confirmation) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!((confirmation.error.code, confirmation.flows().count()), (0, 1));
    more_messages_are_read(v);
}

fn more_messages_are_read(mut v: Vectors) {
    let bytes = v.get("dreq");
    let Message::Dreq(dreq) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(dreq.select.unwrap().pairs().len(), 3);
    assert_eq!((dreq.route.unwrap().nodes.count(), dreq.responses().count()), (2, 0));
    let bytes = v.get("drep");
    let Message::Drep(drep) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!((drep.select, drep.route, drep.responses().count()), (None, None, 2));

    let bytes = v.get("ack");
    let Message::Ack(acks) = Message::parse(&bytes).unwrap() else { panic!() };
    assert!(acks.acks().map(|ack| ack.identifier).eq([7, 8]));
    let bytes = v.get("srefresh");
    let Message::Srefresh(refresh) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(refresh.message_id.unwrap().identifier, 7);
    assert!(refresh.lists().map(|list| list.len()).eq([2, 1]));
    assert_eq!(refresh.message_id_acks().count(), 1);
    let bytes = v.get("srefresh_source");
    assert!(matches!(Message::parse(&bytes), Ok(Message::Srefresh(_))));
    let bytes = v.get("bundle");
    let Message::Bundle(bundle) = Message::parse(&bytes).unwrap() else { panic!() };
    let types = bundle.parts().map(|part| Packet::parse(part).unwrap().message_type());
    assert!(types.eq([MessageType::Path, MessageType::Ack]));

    let bytes = v.get("hello");
    let Message::Hello(hello) = Message::parse(&bytes).unwrap() else { panic!() };
    assert_eq!(hello.hello.source_instance, 0x4a44_672b);
    let bytes = v.get("integrity_challenge");
    let Message::IntegrityChallenge(asked) = Message::parse(&bytes).unwrap() else { panic!() };
    let answer = v.get("integrity_response");
    let Message::IntegrityResponse(answer) = Message::parse(&answer).unwrap() else { panic!() };
    assert_eq!((answer.challenge, answer.integrity.sequence), (asked.challenge, 77));
    v.all_seen(|_| true);
}

/// The digests were made by Python's hmac module over the zeroed message.
#[test]
fn digests_both_ways() {
    for line in DIGESTS.lines() {
        let parts: Vec<_> = line.split(" | ").collect();
        let algorithm = match parts[1] {
            "md5" => Algorithm::HmacMd5,
            "sha1" => Algorithm::HmacSha1,
            _ => Algorithm::HmacSha256,
        };
        let (secret, bytes) = (hex(parts[2]), hex(parts[3]));
        let key = Key { algorithm, secret: &secret };
        let wrong = Key { algorithm, secret: b"another secret" };
        if parts[0] == "message" {
            message_digest(&bytes, &key, &wrong);
        } else {
            policy_digest(&bytes, &key, &wrong);
        }
    }
}

fn message_digest(bytes: &[u8], key: &Key<'_>, wrong: &Key<'_>) {
    let packet = Packet::parse(bytes).unwrap();
    assert_eq!(digest::verify(&packet, key).unwrap().sequence, 78);
    assert_eq!(digest::verify(&packet, wrong), Err(DigestError::Mismatch));
    let longer = Key { algorithm: Algorithm::Unknown(9), ..*key };
    assert!(matches!(digest::verify(&packet, &longer), Err(DigestError::WrongLength { .. })));
    // Signing a message with a blank digest gives the same bytes.
    let mut unsigned = bytes.to_vec();
    let at = 8 + Integrity::DIGEST_OFFSET;
    unsigned[at..at + key.algorithm.digest_len()].copy_from_slice(key.algorithm.blank());
    digest::sign(&mut unsigned, key).unwrap();
    assert_eq!(unsigned, bytes);
    // Every single bit counts, but for the checksum's.
    for bit in (0..8 * bytes.len()).filter(|bit| !(16..32).contains(bit)) {
        let mut broken = bytes.to_vec();
        broken[bit / 8] ^= 0x80 >> (bit % 8);
        rsvp_wire::rewrite_checksum(&mut broken);
        if let Ok(packet) = Packet::parse(&broken) {
            assert!(digest::verify(&packet, key).is_err(), "bit {bit}");
        }
    }
}

fn policy_digest(bytes: &[u8], key: &Key<'_>, wrong: &Key<'_>) {
    // The flags of the session do not count, its port does.
    let session = Session { flags: 1, ..Session::new(ip("192.0.2.9"), 17, 5004) };
    let other = Session { destination_port: 5005, ..session };
    let raw = RawObject::parse(bytes).unwrap();
    let policy = PolicyData::decode(&raw).unwrap();
    assert_eq!(digest::verify_policy(&policy, &session, key).unwrap().sequence, 78);
    assert!(digest::verify_policy(&policy, &other, key).is_err());
    assert!(digest::verify_policy(&policy, &session, wrong).is_err());
    let mut unsigned = bytes.to_vec();
    let at = 8 + 12 + Integrity::DIGEST_OFFSET;
    unsigned[at..at + key.algorithm.digest_len()].copy_from_slice(key.algorithm.blank());
    digest::sign_policy(&mut unsigned, &session, key).unwrap();
    assert_eq!(unsigned, bytes);
    // Inside a message, where the object does not start at 0.
    let mut buffer = [0; 512];
    let mut writer = rsvp_wire::MessageWriter::new(&mut buffer, MessageType::PathErr, 1);
    writer.object(&session).unwrap();
    writer.raw(bytes).unwrap();
    let length = writer.finish().unwrap();
    let packet = Packet::parse(&buffer[..length]).unwrap();
    let policy = packet.policy_data().next().unwrap();
    assert!(digest::verify_policy(&policy, &session, key).is_ok());
}
