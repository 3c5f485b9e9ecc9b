//! The sentences of RFC 2961 and of RFC 3209 section 5, each on one router that is told messages.
//!
//! ```text
//!  sender 10.8.0.1 ── 10.0.0.2 [eth0 ROUTER eth1] 10.0.1.2 ── 10.9.0.0/16
//! ```

use std::net::IpAddr;

use lcm_daemon::config::Config;
use lcm_daemon::engine::{Engine, Instant, Now, Output};
use lcm_daemon::kernel::{Interface, KernelNews, Route};
use lcm_daemon::packet::{PacketMeta, TransmitMeta};
use rsvp_wire::object::{
    ErrorFlags, ErrorSpec, Filter, FilterSpec, FlowSpec, Hello, Hop, ListEntry, ListKind,
    MessageId, MessageIdAck, MessageIds, SenderTemplate, SenderTspec, Session, Style, TimeValues,
};
use rsvp_wire::{Message, MessageType, MessageWriter, Packet};

use lcm_tests::sim::TSPEC;

const ETH0: u32 = 1;
const ETH1: u32 = 2;
/// The previous and the next hop.
const PHOP: [u8; 4] = [10, 0, 0, 2];
const NHOP: [u8; 4] = [10, 0, 1, 2];
const CAPABLE: u8 = 1;
const EPOCH: u32 = 0x00ab_cdef;

struct Router {
    engine: Engine,
    now_ms: u64,
    route: Route,
    /// Of the neighbours' acknowledgements.
    flags: u8,
}

/// A message that was sent, and when.
struct Sent {
    at_ms: u64,
    meta: TransmitMeta,
    bytes: Vec<u8>,
}

impl Sent {
    fn kind(&self) -> MessageType {
        MessageType::from(self.bytes[1])
    }

    fn packet(&self) -> Packet<'_> {
        Packet::parse(&self.bytes).unwrap()
    }

    fn id(&self) -> Option<MessageId> {
        self.packet().message_id()
    }

    fn acks(&self) -> Vec<(bool, u32)> {
        self.packet().message_id_acks().map(|ack| (ack.nack, ack.identifier)).collect()
    }

    fn numbers(&self) -> Vec<u32> {
        let Ok(Message::Srefresh(srefresh)) = Message::parse(&self.bytes) else { return vec![] };
        srefresh.lists().flat_map(|list| list.entries()).map(|entry| entry.identifier).collect()
    }
}

fn kinds(sent: &[Sent]) -> Vec<MessageType> {
    sent.iter().map(Sent::kind).collect()
}

impl Router {
    fn with(settings: &str) -> Self {
        let text = format!("[default_interface]\n{settings}\n");
        let engine = Engine::new(Config::parse(&text, "rules").unwrap(), 2961);
        let unicast = Route::Unicast { interface: ETH1, gateway: Some(NHOP.into()) };
        let mut router = Self { engine, now_ms: 1_000_000, route: unicast, flags: CAPABLE };
        for (index, address, length) in [(ETH0, [10, 0, 0, 1], 24), (ETH1, [10, 0, 1, 1], 24)] {
            router.interface(index, address, length);
        }
        router
    }

    fn new() -> Self {
        Self::with("refresh_reduction = true\nbundle = false")
    }

    fn interface(&mut self, index: u32, address: [u8; 4], length: u8) {
        let interface = Interface {
            index,
            name: format!("eth{}", index - 1),
            up: true,
            mtu: 1_500,
            loopback: false,
            addresses: vec![(address.into(), length)],
        };
        self.engine.handle_news(self.now(), KernelNews::Interface(interface));
        self.settle();
    }

    fn now(&self) -> Now {
        Now::new(Instant::from_millis(self.now_ms), 1_700_000_000)
    }

    fn settle(&mut self) -> Vec<Sent> {
        while let Some(output) = self.engine.poll_output() {
            if let Output::Route(key) = output {
                self.engine.handle_route(self.now(), key, self.route.clone());
            }
        }
        let at_ms = self.now_ms;
        let queue = self.engine.transmits();
        let sent = queue.iter().map(|(meta, bytes)| Sent { at_ms, meta, bytes: bytes.to_vec() });
        let sent = sent.collect();
        queue.clear();
        sent
    }

    fn recv_as(&mut self, meta: PacketMeta, bytes: &[u8]) -> Vec<Sent> {
        self.engine.handle_packet(self.now(), meta, bytes);
        self.settle()
    }

    /// A message of a neighbour arrives: PATH on its way to the session, all else addressed to us.
    fn recv(&mut self, from: [u8; 4], bytes: &[u8]) -> Vec<Sent> {
        self.recv_as(meta(from, bytes), bytes)
    }

    fn run(&mut self, ms: u64) -> Vec<Sent> {
        let end = self.now_ms + ms;
        let mut sent = Vec::new();
        while let Some(at) = self.engine.poll_timeout().map(|at| at.as_micros().div_ceil(1_000)) {
            if at > end {
                break;
            }
            self.now_ms = self.now_ms.max(at);
            self.engine.handle_timeout(self.now());
            sent.extend(self.settle());
        }
        self.now_ms = end;
        sent
    }

    /// As [`run`](Self::run), with neighbours that acknowledge within Rf.
    fn run_acknowledged(&mut self, ms: u64) -> Vec<Sent> {
        let mut all = Vec::new();
        for _ in 0..ms / 400 {
            let sent = self.run(400);
            self.acknowledge(&sent);
            all.extend(sent);
        }
        all
    }

    /// PATH and RESV of a flow between neighbours that can; all that was sent is acknowledged.
    fn reserved() -> Self {
        let mut router = Self::new();
        router.recv(PHOP, &path(Some(1)));
        let sent = router.recv(NHOP, &resv(Some(1)));
        router.acknowledge(&sent);
        // The PATH went out before anything was known of the next hop.
        let sent = router.run(45_000);
        router.acknowledge(&sent);
        router
    }

    fn acknowledge(&mut self, sent: &[Sent]) {
        for sent in sent {
            if let Some(id) = sent.id() {
                let from = if sent.kind() == MessageType::Path { NHOP } else { PHOP };
                let from = if sent.meta.destination == IpAddr::from(NHOP) { NHOP } else { from };
                self.recv(from, &ack_as(self.flags, id.epoch, id.identifier, false));
            }
        }
    }

    fn counted(&self, event: &str) -> u64 {
        self.engine.counters().reduction.get(event).copied().unwrap_or_default()
    }

    fn states(&self) -> (usize, usize) {
        let (_, paths, reservations) = self.engine.sizes();
        (paths, reservations)
    }
}

fn meta(from: [u8; 4], bytes: &[u8]) -> PacketMeta {
    let (interface, own) = match from {
        PHOP => (ETH0, [10, 0, 0, 1]),
        _ => (ETH1, [10, 0, 1, 1]),
    };
    let along = matches!(bytes[1].into(), MessageType::Path | MessageType::PathTear);
    let (source, destination, ttl) = match along {
        true => ([10, 8, 0, 1], session().destination, bytes[4]),
        false => (from, own.into(), 255),
    };
    PacketMeta { interface, source: source.into(), destination, ttl, router_alert: along }
}

fn session() -> Session {
    Session::new([10, 9, 0, 1].into(), 17, 5_000)
}

fn sender(port: u16) -> Filter {
    Filter::port([10, 8, 0, 1].into(), port)
}

fn written(
    kind: MessageType,
    flags: u8,
    number: Option<MessageId>,
    build: impl FnOnce(&mut MessageWriter<'_>),
) -> Vec<u8> {
    let mut buffer = vec![0; 4_000];
    let ttl = if matches!(kind, MessageType::Path | MessageType::PathTear) { 60 } else { 255 };
    let mut writer = MessageWriter::with_flags(&mut buffer, kind, ttl, flags);
    if let Some(id) = number {
        writer.object(&id).unwrap();
    }
    build(&mut writer);
    let length = writer.finish().unwrap();
    buffer.truncate(length);
    buffer
}

fn id(identifier: u32) -> MessageId {
    MessageId { flags: MessageId::ACK_DESIRED, epoch: EPOCH, identifier }
}

fn path_as(flags: u8, number: Option<MessageId>, port: u16, refresh_ms: u32) -> Vec<u8> {
    written(MessageType::Path, flags, number, |w| {
        w.object(&session()).unwrap();
        w.object(&Hop { address: PHOP.into(), lih: 7 }).unwrap();
        w.object(&TimeValues { refresh_ms }).unwrap();
        w.object(&SenderTemplate(sender(port))).unwrap();
        w.object(&SenderTspec(TSPEC)).unwrap();
    })
}

fn path(number: Option<u32>) -> Vec<u8> {
    path_as(CAPABLE, number.map(id), 4_000, 30_000)
}

fn path_tear(number: u32) -> Vec<u8> {
    written(MessageType::PathTear, CAPABLE, Some(id(number)), |w| {
        w.object(&session()).unwrap();
        w.object(&Hop { address: PHOP.into(), lih: 7 }).unwrap();
        w.object(&SenderTemplate(sender(4_000))).unwrap();
        w.object(&SenderTspec(TSPEC)).unwrap();
    })
}

fn resv_as(flags: u8, number: Option<MessageId>, ports: &[u16], kind: MessageType) -> Vec<u8> {
    written(kind, flags, number, |w| {
        w.object(&session()).unwrap();
        w.object(&Hop { address: NHOP.into(), lih: ETH1 }).unwrap();
        if kind == MessageType::Resv {
            w.object(&TimeValues { refresh_ms: 30_000 }).unwrap();
        }
        w.object(&Style::SharedExplicit).unwrap();
        if kind == MessageType::Resv {
            w.object(&FlowSpec::ControlledLoad(TSPEC)).unwrap();
        }
        for port in ports {
            w.object(&FilterSpec(sender(*port))).unwrap();
        }
    })
}

fn resv(number: Option<u32>) -> Vec<u8> {
    resv_as(CAPABLE, number.map(id), &[4_000], MessageType::Resv)
}

fn ack(epoch: u32, identifier: u32, nack: bool) -> Vec<u8> {
    ack_as(CAPABLE, epoch, identifier, nack)
}

fn ack_as(flags: u8, epoch: u32, identifier: u32, nack: bool) -> Vec<u8> {
    written(MessageType::Ack, flags, None, |w| {
        w.object(&MessageIdAck { nack, epoch, identifier }).unwrap();
    })
}

fn srefresh(flags: u8, epoch: u32, numbers: &[u32]) -> Vec<u8> {
    let entry = |number: &u32| ListEntry { identifier: *number, source: None, destination: None };
    let entries: Vec<ListEntry> = numbers.iter().map(entry).collect();
    written(MessageType::Srefresh, flags, None, |w| {
        w.object(&MessageIds { kind: ListKind::Plain, epoch, entries: &entries }).unwrap();
    })
}

fn bundle(parts: &[&[u8]]) -> Vec<u8> {
    written(MessageType::Bundle, CAPABLE, None, |w| {
        parts.iter().for_each(|part| w.raw(part).unwrap());
    })
}

/// 2: the bit is sent where refresh reduction is on, and nowhere else.
#[test]
fn rfc2961_2_the_capable_bit_follows_the_configuration() {
    for (settings, flags) in [("refresh_reduction = true", 1), ("refresh_reduction = false", 0)] {
        let mut router = Router::with(settings);
        let sent = router.recv(PHOP, &path(Some(1)));
        assert_eq!(sent[0].packet().flags(), flags);
        assert_eq!(kinds(&sent).contains(&MessageType::Ack), flags == 1);
    }
}

/// 2: a neighbour that clears the bit gets whole messages, and no numbers.
#[test]
fn rfc2961_2_a_neighbour_that_clears_the_bit_is_refreshed_in_whole() {
    let mut router = Router::reserved();
    assert!(!kinds(&router.run_acknowledged(45_000)).contains(&MessageType::Resv));
    router.recv(PHOP, &path_as(0, None, 4_000, 30_000));
    let sent = router.run(60_000);
    let upstream = |sent: &&Sent| sent.meta.destination == IpAddr::from(PHOP);
    let resvs: Vec<&Sent> = sent.iter().filter(upstream).collect();
    assert!(!resvs.is_empty() && resvs.iter().all(|s| s.kind() == MessageType::Resv));
    assert!(resvs.iter().all(|sent| sent.id().is_none()));
    assert_eq!(router.counted("capability_lost"), 1);
}

/// 2, 4.8: without the bit, but with numbers of its own: acknowledged and numbered, no Srefresh.
#[test]
fn rfc2961_4_8_numbers_alone_are_answered_with_numbers_alone() {
    let mut router = Router::new();
    router.flags = 0;
    let sent = router.recv(PHOP, &path_as(0, Some(id(1)), 4_000, 30_000));
    assert!(sent.iter().any(|sent| sent.acks() == [(false, 1)]));
    let sent = router.recv(NHOP, &resv_as(0, Some(id(1)), &[4_000], MessageType::Resv));
    let up = sent.iter().find(|sent| sent.kind() == MessageType::Resv).unwrap();
    assert!(up.id().is_some());
    router.acknowledge(&sent);
    let later = router.run(60_000);
    assert!(!kinds(&later).contains(&MessageType::Srefresh));
    assert!(later.iter().any(|s| s.kind() == MessageType::Resv && s.id() == up.id()));
}

/// 3.2, 3.4: the messages of a Bundle are taken as if they had come alone.
#[test]
fn rfc2961_3_4_parts_are_taken_as_if_alone() {
    let mut router = Router::new();
    let other = path_as(CAPABLE, Some(id(2)), 4_001, 30_000);
    let mut broken = path(Some(3));
    broken[12] ^= 0xff;
    let sent = router.recv(PHOP, &bundle(&[&path(Some(1)), &broken, &other]));
    assert_eq!(router.states().0, 2, "the broken one does not touch the others");
    let paths: Vec<&Sent> = sent.iter().filter(|s| s.kind() == MessageType::Path).collect();
    assert_eq!(paths.len(), 2);
    // The TTL of the data goes on to count.
    assert!(paths.iter().all(|sent| sent.meta.ttl == 59));
    let acks: Vec<_> = sent.iter().flat_map(Sent::acks).collect();
    assert_eq!(acks, [(false, 1), (false, 2)], "none for the broken one");
    assert_eq!(router.engine.counters().malformed.values().sum::<u64>(), 1);
}

/// 3.4: a hop without RSVP that the Bundle has passed counts for its messages.
#[test]
fn rfc2961_3_4_hidden_hops_are_seen_by_the_ttl_of_the_bundle() {
    let mut router = Router::new();
    let bytes = bundle(&[&path(Some(1))]);
    let passed = PacketMeta { ttl: 253, ..meta(PHOP, &bytes) };
    let sent = router.recv_as(passed, &bytes);
    let path = sent.iter().find(|sent| sent.kind() == MessageType::Path).unwrap();
    assert_eq!(path.meta.ttl, 57);
}

/// 3.2: a Bundle in a Bundle, one without messages and one that nobody wants are discarded.
#[test]
fn rfc2961_3_2_bundles_that_are_discarded() {
    let mut router = Router::new();
    let inner = bundle(&[&path(Some(1))]);
    assert!(router.recv(PHOP, &bundle(&[&inner])).is_empty());
    assert!(router.recv(PHOP, &bundle(&[])).is_empty());
    assert_eq!(router.states().0, 0);
    assert_eq!(router.engine.counters().malformed.values().sum::<u64>(), 2);
    let mut unwilling = Router::with("refresh_reduction = false");
    assert!(unwilling.recv(PHOP, &inner).is_empty());
    assert_eq!(unwilling.engine.counters().dropped["bundle_not_wanted"], 1);
}

/// 3.3: what leaves at once to one capable neighbour is bundled, straight to it, within the MTU.
#[test]
fn rfc2961_3_3_messages_to_a_capable_neighbour_are_bundled() {
    for (flags, bundled) in [(CAPABLE, true), (0, false)] {
        let mut router = Router::with("refresh_reduction = true\nbundle = true");
        router.recv(PHOP, &path_as(CAPABLE, Some(id(1)), 4_000, 30_000));
        router.recv(NHOP, &resv_as(flags, None, &[4_000], MessageType::Resv));
        // Two senders at once: PATHs go on together.
        let more: Vec<Vec<u8>> =
            (1..=20).map(|n| path_as(CAPABLE, None, 4_000 + n, 30_000)).collect();
        let parts: Vec<&[u8]> = more.iter().map(Vec::as_slice).collect();
        let sent = router.recv(PHOP, &bundle(&parts));
        let bundles: Vec<&Sent> = sent.iter().filter(|s| s.kind() == MessageType::Bundle).collect();
        assert_eq!(!bundles.is_empty(), bundled);
        for bundle in bundles {
            assert_eq!(bundle.meta.destination, IpAddr::from(NHOP));
            assert_eq!(bundle.meta.source, Some([10, 0, 1, 1].into()));
            assert!(!bundle.meta.router_alert && bundle.bytes.len() <= 1_480);
            let Ok(Message::Bundle(bundle)) = Message::parse(&bundle.bytes) else { panic!() };
            assert!(bundle.parts().count() >= 2);
        }
    }
}

/// 4.1: acknowledgements stand behind the header, MESSAGE_ID behind them, then the rest.
#[test]
fn rfc2961_4_1_order_of_the_objects() {
    let mut router = Router::new();
    router.recv(PHOP, &path(Some(1)));
    router.recv(NHOP, &resv(Some(1)));
    // A RESV that asks for more senders than there are is refused in an error that acknowledges it.
    let sent = router.recv(NHOP, &resv_as(CAPABLE, Some(id(2)), &[9_999], MessageType::Resv));
    let error = sent.iter().find(|sent| sent.kind() == MessageType::ResvErr).unwrap();
    let classes: Vec<u8> = error.packet().objects().map(|object| object.class).take(3).collect();
    assert_eq!(classes, [24, 23, 1], "MESSAGE_ID_ACK, MESSAGE_ID, SESSION");
    assert_eq!(error.acks(), [(false, 2)]);
    assert_eq!(sent.len(), 1, "no Ack message beside it");
}

/// 4.2, 4.5: one epoch, numbers that rise; a refresh has the number of what it refreshes.
#[test]
fn rfc2961_4_5_numbers_of_our_own() {
    let mut router = Router::new();
    router.recv(PHOP, &path(Some(1)));
    let first = router.recv(NHOP, &resv(Some(1)));
    let up = first.iter().find(|sent| sent.kind() == MessageType::Resv).unwrap();
    let first = up.id().unwrap();
    assert_eq!(first.flags, MessageId::ACK_DESIRED);
    // Not acknowledged: refreshed in whole, with the same number.
    let refreshed = router.run(60_000);
    let refresh = refreshed.iter().rfind(|sent| sent.kind() == MessageType::Resv).unwrap();
    assert!(refresh.at_ms > 1_004_000);
    assert_eq!(refresh.id(), Some(first));
    // Something new has a greater one.
    router.recv(PHOP, &path_as(CAPABLE, Some(id(2)), 4_001, 30_000));
    let ports = [4_000, 4_001];
    let sent = router.recv(NHOP, &resv_as(CAPABLE, Some(id(2)), &ports, MessageType::Resv));
    let second = sent.iter().find(|s| s.kind() == MessageType::Resv).unwrap().id().unwrap();
    assert!(second.identifier > first.identifier && second.epoch == first.epoch);
    assert!(refreshed.iter().filter_map(Sent::id).all(|id| id.identifier < second.identifier));
}

/// 4.5: what is older than the state it is about is dropped and not acknowledged, wrap included;
/// what there is no state for, and what is of another epoch, is not.
#[test]
fn rfc2961_4_5_older_numbers_are_ignored() {
    let mut router = Router::new();
    router.recv(PHOP, &path(Some(u32::MAX)));
    // 5 follows: the sequence has wrapped.
    router.recv(PHOP, &path_as(CAPABLE, Some(id(5)), 4_000, 20_000));
    let sent = router.recv(PHOP, &path_tear(u32::MAX));
    assert!(sent.is_empty(), "a tear that was overtaken by a PATH");
    assert_eq!((router.states().0, router.counted("out_of_order")), (1, 1));
    // An older one about another sender: no state says that it is out of order.
    let sent = router.recv(PHOP, &path_as(CAPABLE, Some(id(3)), 4_001, 30_000));
    assert!(sent.iter().any(|sent| sent.acks() == [(false, 3)]));
    // Of another epoch, whatever the number.
    let anew = MessageId { epoch: 77, ..id(1) };
    let sent = router.recv(PHOP, &path_as(CAPABLE, Some(anew), 4_000, 30_000));
    assert!(sent.iter().any(|sent| sent.acks() == [(false, 1)]));
    assert_eq!(router.counted("out_of_order"), 1);
    assert_eq!(router.counted("neighbour_restarted"), 1);
}

/// 4.5: the same of reservations; a list of senders that comes in parts has a number for each.
#[test]
fn rfc2961_4_5_older_resvs_are_ignored_by_sender() {
    let mut router = Router::new();
    router.recv(PHOP, &path(Some(1)));
    router.recv(PHOP, &path_as(CAPABLE, Some(id(2)), 4_001, 30_000));
    let part = |number, port| resv_as(CAPABLE, Some(id(number)), &[port], MessageType::Resv);
    router.recv(NHOP, &part(10, 4_000));
    router.recv(NHOP, &part(11, 4_001));
    // The first part again is no older than itself.
    let sent = router.recv(NHOP, &part(10, 4_000));
    assert!(sent.iter().any(|sent| sent.acks() == [(false, 10)]));
    let tear = resv_as(CAPABLE, Some(id(9)), &[4_000], MessageType::ResvTear);
    assert!(router.recv(NHOP, &tear).is_empty());
    assert_eq!(router.counted("out_of_order"), 1);
    let tear = resv_as(CAPABLE, Some(id(12)), &[4_000], MessageType::ResvTear);
    assert!(!router.recv(NHOP, &tear).is_empty());
}

/// 4.5, 4.6: acknowledged is what asks for it and can be read, to the address in RSVP_HOP.
#[test]
fn rfc2961_4_6_what_is_acknowledged() {
    let mut router = Router::new();
    let quiet = MessageId { flags: 0, ..id(1) };
    let sent = router.recv(PHOP, &path_as(CAPABLE, Some(quiet), 4_000, 30_000));
    assert_eq!(kinds(&sent), [MessageType::Path]);
    let mut malformed = path(Some(2));
    let last = malformed.len() - 1;
    malformed.truncate(last - 3);
    assert!(router.recv(PHOP, &malformed).is_empty());
    let sent = router.recv(PHOP, &path(Some(3)));
    let ack = sent.iter().find(|sent| sent.kind() == MessageType::Ack).unwrap();
    assert_eq!(ack.meta.destination, IpAddr::from(PHOP));
    assert_eq!(ack.meta.source, Some([10, 0, 0, 1].into()));
    assert!(!ack.meta.router_alert && ack.id().is_none());
    let acked: Vec<_> = ack.packet().message_id_acks().collect();
    assert_eq!(acked, [MessageIdAck { nack: false, epoch: EPOCH, identifier: 3 }]);
}

/// 4.7: what was sent to a group is acknowledged after a random time, shorter than Rf.
#[test]
fn rfc2961_4_7_groups_are_acknowledged_later() {
    let mut router = Router::new();
    router.route = Route::Multicast { incoming: ETH0, outgoing: vec![ETH1] };
    let group = Session::new([239, 1, 1, 1].into(), 17, 5_000);
    let mut waits = Vec::new();
    for number in 1..=8 {
        let bytes = written(MessageType::Path, CAPABLE, Some(id(number)), |w| {
            w.object(&group).unwrap();
            w.object(&Hop { address: PHOP.into(), lih: 7 }).unwrap();
            w.object(&TimeValues { refresh_ms: 30_000 }).unwrap();
            w.object(&SenderTemplate(sender(4_000))).unwrap();
            w.object(&SenderTspec(TSPEC)).unwrap();
        });
        let meta = PacketMeta { destination: group.destination, ..meta(PHOP, &bytes) };
        let start = router.now_ms;
        let sent = router.recv_as(meta, &bytes);
        assert!(!kinds(&sent).contains(&MessageType::Ack));
        let later = router.run(500);
        let ack = later.iter().find(|sent| sent.acks() == [(false, number)]).unwrap();
        waits.push(ack.at_ms - start);
        // To a group on a link of many, nothing that all of them must understand.
        assert!(sent.iter().all(|sent| sent.id().is_none()));
    }
    assert!(waits.iter().all(|wait| *wait <= 250), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
}

/// 4.8: a neighbour that refuses MESSAGE_ID is told without.
#[test]
fn rfc2961_4_8_a_refused_number_is_left_out() {
    let mut router = Router::new();
    router.recv(PHOP, &path(Some(1)));
    router.recv(NHOP, &resv(Some(1)));
    let refusal = written(MessageType::ResvErr, 0, None, |w| {
        let node = IpAddr::from(PHOP);
        w.object(&session()).unwrap();
        w.object(&Hop { address: node, lih: 7 }).unwrap();
        let value = 23 << 8 | 1;
        w.object(&ErrorSpec { node, flags: ErrorFlags::NONE, code: 13, value }).unwrap();
        w.object(&Style::SharedExplicit).unwrap();
        w.object(&FlowSpec::ControlledLoad(TSPEC)).unwrap();
        w.object(&FilterSpec(sender(4_000))).unwrap();
    });
    let sent = router.recv(PHOP, &refusal);
    assert_eq!(kinds(&sent), [MessageType::Resv], "and nobody below is bothered");
    assert_eq!(sent[0].id(), None);
}

/// 5.3: what is refreshed by number lives as long as what is refreshed by messages; only what was
/// acknowledged is, and it goes straight to the neighbour.
#[test]
fn rfc2961_5_3_acknowledged_state_is_refreshed_by_number() {
    let mut router = Router::reserved();
    for _ in 0..20 {
        router.recv(PHOP, &srefresh(CAPABLE, EPOCH, &[1]));
        router.recv(NHOP, &srefresh(CAPABLE, EPOCH, &[1]));
        let sent = router.run_acknowledged(30_000);
        assert!(
            kinds(&sent).iter().all(|kind| *kind == MessageType::Srefresh),
            "{:?}",
            kinds(&sent)
        );
        for sent in &sent {
            let to = sent.meta.destination;
            assert!(to == IpAddr::from(PHOP) || to == IpAddr::from(NHOP), "{to}");
            assert!(!sent.meta.router_alert && sent.numbers().len() == 1);
            let own = if to == IpAddr::from(PHOP) { [10, 0, 0, 1] } else { [10, 0, 1, 1] };
            assert_eq!(sent.meta.source, Some(own.into()), "as in RSVP_HOP");
        }
        router.acknowledge(&sent);
        assert_eq!(router.states(), (1, 1));
    }
    // Nobody says anything more: it ends as ever.
    router.run(160_000);
    assert_eq!(router.states(), (0, 0));
}

/// 5.3: no gap between two refreshes is longer than RFC 2205 allows for messages, 1.5 R.
#[test]
fn rfc2961_5_3_numbers_come_no_later_than_messages() {
    let mut router = Router::reserved();
    let mut last = router.now_ms;
    for _ in 0..60 {
        router.recv(PHOP, &srefresh(CAPABLE, EPOCH, &[1]));
        router.recv(NHOP, &srefresh(CAPABLE, EPOCH, &[1]));
        for sent in router.run(10_000) {
            router.acknowledge(std::slice::from_ref(&sent));
            if sent.meta.destination == IpAddr::from(PHOP) {
                assert!(sent.at_ms - last <= 45_001, "{} ms", sent.at_ms - last);
                last = sent.at_ms;
            }
        }
    }
}

/// 5.3, 5.4: unknown numbers, and those of another epoch, are answered with NACKs.
#[test]
fn rfc2961_5_4_unknown_numbers_are_refused() {
    let mut router = Router::reserved();
    let sent = router.recv(PHOP, &srefresh(CAPABLE, EPOCH, &[1, 99]));
    assert_eq!(sent.iter().flat_map(Sent::acks).collect::<Vec<_>>(), [(true, 99)]);
    let sent = router.recv(PHOP, &srefresh(CAPABLE, 5, &[1]));
    let nack = sent[0].packet().message_id_acks().next().unwrap();
    assert_eq!(nack, MessageIdAck { nack: true, epoch: 5, identifier: 1 });
    // The number of a PATH says nothing to the next hop.
    let sent = router.recv(NHOP, &srefresh(CAPABLE, EPOCH, &[77]));
    assert_eq!(sent.iter().flat_map(Sent::acks).collect::<Vec<_>>(), [(true, 77)]);
}

/// 5.3: a number whose message stands in part only is unknown: a sender that it reserved for ended,
/// and came back.
#[test]
fn rfc2961_5_3_what_stands_in_part_is_refused() {
    let mut router = Router::new();
    router.recv(PHOP, &path(Some(1)));
    router.recv(PHOP, &path_as(CAPABLE, Some(id(2)), 4_001, 30_000));
    let ports = [4_000, 4_001];
    router.recv(NHOP, &resv_as(CAPABLE, Some(id(1)), &ports, MessageType::Resv));
    let refused = |router: &mut Router| {
        let sent = router.recv(NHOP, &srefresh(CAPABLE, EPOCH, &[1]));
        sent.iter().flat_map(Sent::acks).any(|ack| ack == (true, 1))
    };
    assert!(!refused(&mut router));
    router.recv(PHOP, &path_tear(3));
    router.recv(PHOP, &path(Some(4)));
    assert_eq!(router.states(), (2, 1));
    assert!(refused(&mut router));
    router.recv(NHOP, &resv_as(CAPABLE, Some(id(1)), &ports, MessageType::Resv));
    assert!(!refused(&mut router));
}

/// 5.4: who is told that a number is unknown sends the whole message; once it has no such state,
/// nothing.
#[test]
fn rfc2961_5_4_a_nack_is_answered_with_the_message() {
    let mut router = Router::reserved();
    let sent = router.run(60_000);
    let upstream = sent.iter().find(|sent| sent.meta.destination == IpAddr::from(PHOP)).unwrap();
    let (epoch, number) = (upstream.id().unwrap().epoch, upstream.numbers()[0]);
    router.acknowledge(&sent);
    let sent = router.recv(PHOP, &ack(epoch, number, true));
    assert_eq!(kinds(&sent), [MessageType::Resv]);
    assert_eq!(sent[0].id().unwrap().identifier, number);
    assert!(router.recv(PHOP, &ack(epoch, number + 1_000, true)).is_empty());
    assert!(router.recv(PHOP, &ack(epoch ^ 1, number, true)).is_empty());
}

/// 5: a changed message is sent in whole, whatever was acknowledged before.
#[test]
fn rfc2961_5_changes_are_sent_in_whole() {
    let mut router = Router::reserved();
    let sent = router.recv(PHOP, &path_as(CAPABLE, Some(id(2)), 4_001, 30_000));
    assert!(kinds(&sent).contains(&MessageType::Path));
    let ports = [4_000, 4_001];
    let sent = router.recv(NHOP, &resv_as(CAPABLE, Some(id(2)), &ports, MessageType::Resv));
    assert!(kinds(&sent).contains(&MessageType::Resv));
}

/// 6: sent at 0, 0.5 and 1.5 s, then given up; an acknowledgement ends it.
#[test]
fn rfc2961_6_3_exponential_back_off() {
    for acked_after in [None, Some(600)] {
        let mut router = Router::new();
        router.recv(PHOP, &path(Some(1)));
        let start = router.now_ms;
        let mut sent = router.recv(NHOP, &resv(Some(1)));
        if let Some(ms) = acked_after {
            sent.extend(router.run(ms));
            router.acknowledge(&sent);
        }
        sent.extend(router.run(8_000));
        let resvs = sent.iter().filter(|sent| sent.kind() == MessageType::Resv);
        let (times, ids): (Vec<u64>, Vec<_>) =
            resvs.map(|sent| (sent.at_ms - start, sent.id())).unzip();
        let expected: &[u64] = if acked_after.is_some() { &[0, 500] } else { &[0, 500, 1_500] };
        assert_eq!(times, expected);
        assert!(ids.iter().all(|id| *id == ids[0]));
        assert_eq!(router.counted("unacknowledged"), u64::from(acked_after.is_none()));
    }
}

/// 6: tears are sent again too, and nothing that they end is.
#[test]
fn rfc2961_6_tears_are_sent_again() {
    let mut router = Router::new();
    router.recv(PHOP, &path(Some(1)));
    router.recv(NHOP, &resv(Some(1)));
    let tear = resv_as(CAPABLE, Some(id(2)), &[4_000], MessageType::ResvTear);
    let mut sent = router.recv(NHOP, &tear);
    sent.extend(router.run(5_000));
    let upstream = |sent: &&Sent| sent.meta.destination == IpAddr::from(PHOP);
    let kinds: Vec<MessageType> = sent.iter().filter(upstream).map(Sent::kind).collect();
    assert_eq!(kinds, [MessageType::ResvTear; 3]);
}

/// RFC 3209 5.3: a request is answered with both instances, a neighbour is asked in turn, and
/// silence for 3.5 periods is noticed.
#[test]
fn rfc3209_5_3_hello() {
    let mut router = Router::with("hello_ms = 1000");
    let request = |source_instance, destination_instance| {
        written(MessageType::Hello, 0, None, |w| {
            w.object(&Hello { ack: false, source_instance, destination_instance }).unwrap();
        })
    };
    let hello = |sent: &Sent| match Message::parse(&sent.bytes) {
        Ok(Message::Hello(message)) => Some(message.hello),
        _ => None,
    };
    let hellos = |sent: Vec<Sent>| -> Vec<(u64, Hello)> {
        sent.iter().filter_map(|sent| Some((sent.at_ms, hello(sent)?))).collect()
    };
    assert!(hellos(router.recv(PHOP, &request(5, 0)))[0].1.ack, "whoever asks is answered");
    assert!(hellos(router.run(5_000)).is_empty(), "who has no state here is not asked");
    router.recv(PHOP, &path_as(0, None, 4_000, 30_000));
    let asked = hellos(router.run(1_000));
    assert_eq!(asked.len(), 1);
    let ours = asked[0].1.source_instance;
    assert!(!asked[0].1.ack && ours != 0);
    let answer = hellos(router.recv(PHOP, &request(5, ours)))[0].1;
    assert_eq!(answer, Hello { ack: true, source_instance: ours, destination_instance: 5 });
    // Nobody is asked who asked within the period.
    let start = router.now_ms;
    let asked = hellos(router.run(2_400));
    assert!(asked.iter().all(|(at, _)| at - start >= 1_000) && !asked.is_empty(), "{asked:?}");
    assert_eq!(router.engine.counters().neighbours.get("silent"), None);
    router.run(2_200);
    assert_eq!(router.engine.counters().neighbours.get("silent"), Some(&1));
    let anew = hellos(router.run(2_000))[0].1;
    assert_ne!(anew.source_instance, ours, "another instance than before");
    assert_eq!(anew.destination_instance, 0);
    router.recv(PHOP, &request(6, anew.source_instance));
    router.recv(PHOP, &request(7, 0));
    assert_eq!(router.engine.counters().neighbours.get("restarted"), Some(&1));
    // Nothing is left to be watched: it is asked no more.
    router.run(200_000);
    assert!(hellos(router.run(20_000)).is_empty());
}
