//! Who may ask for diagnostics (RFC 2745), what each is shown, and what a stranger can have sent.

use std::net::{IpAddr, SocketAddr};

use lcm_daemon::config::{Charges, Prefix};
use lcm_daemon::engine::{TraceHop, TraceRequest};
use lcm_daemon::packet::{PacketMeta, TransmitMeta};
use lcm_tests::sim::{Family, Kind, NodeConfig, NodeId, Options};
use proptest::prelude::*;
use rsvp_wire::object::{
    DiagResponse, DiagSelect, Diagnostic, Filter, FilterSpec, Hop, Route, SenderTemplate, Session,
};
use rsvp_wire::{Message, MessageType, MessageWriter};

use crate::diagnosis::{Chain, options, path_of};

/// A request or reply as somebody else makes it.
#[derive(Debug, Clone)]
struct Made {
    kind: MessageType,
    session: Session,
    hop: Hop,
    diagnostic: Diagnostic,
    select: Option<Vec<[u8; 2]>>,
    route: Option<Vec<[u8; 4]>>,
    pointer: u8,
    /// So many empty reports.
    reports: usize,
}

impl Made {
    fn bytes(&self) -> Vec<u8> {
        let mut buffer = vec![0; 60_000];
        let mut w = MessageWriter::new(&mut buffer, self.kind, 255);
        w.object(&self.session).unwrap();
        w.object(&self.hop).unwrap();
        w.object(&self.diagnostic).unwrap();
        if let Some(pairs) = &self.select {
            w.object(&DiagSelect::new(pairs)).unwrap();
        }
        if let Some(nodes) = &self.route {
            w.object(&Route::new(self.pointer, &nodes.concat(), false).unwrap()).unwrap();
        }
        let none: IpAddr = [0, 0, 0, 0].into();
        for _ in 0..self.reports {
            w.object(&DiagResponse::new(none, none, none)).unwrap();
        }
        let length = w.finish().unwrap();
        buffer[..length].to_vec()
    }
}

/// R asks its neighbour by a message of its own making.
struct Asker {
    chain: Chain,
    /// The router next to R.
    router: NodeId,
    own: IpAddr,
    last_hop: IpAddr,
    made: Made,
}

impl Asker {
    fn new(config: NodeConfig) -> Self {
        let chain = Chain::reserved(&[Kind::Router; 3], options(Family::V4, config));
        let (router, receiver) = (chain.nodes[3], chain.receiver());
        let link = chain.net.topology.between(router, receiver);
        let own = chain.net.topology.address_on(Family::V4, receiver, link);
        let last_hop = chain.net.topology.address_on(Family::V4, router, link);
        let made = Made {
            kind: MessageType::Dreq,
            session: chain.session,
            hop: Hop { address: own, lih: chain.net.topology.interface(router, link) },
            diagnostic: Diagnostic {
                max_hops: 1,
                hop_count: 0,
                more_fragments: false,
                request_id: 7,
                path_mtu: 1_500,
                fragment_offset: 0,
                last_hop,
                sender: SenderTemplate(chain.net.sender(chain.nodes[0])),
                requester: FilterSpec(Filter::port(own, 0)),
            },
            select: None,
            route: None,
            pointer: 0,
            reports: 0,
        };
        Self { chain, router, own, last_hop, made }
    }

    /// What the router sends for a message from this address.
    fn heard_from(&mut self, source: IpAddr, bytes: &[u8]) -> Vec<(TransmitMeta, Vec<u8>)> {
        let topology = &self.chain.net.topology;
        let link = topology.between(self.router, self.chain.receiver());
        let meta = PacketMeta {
            interface: topology.interface(self.router, link),
            source,
            destination: self.last_hop,
            ttl: 255,
            router_alert: false,
        };
        self.chain.net.input(self.router, |engine, now| {
            engine.handle_packet(now, meta, bytes);
            let queue = engine.transmits();
            let sent = queue.iter().map(|(meta, bytes)| (meta, bytes.to_vec())).collect();
            queue.clear();
            sent
        })
    }

    fn ask(&mut self, made: &Made) -> Vec<(TransmitMeta, Vec<u8>)> {
        self.heard_from(self.own, &made.bytes())
    }

    fn counted(&self, event: &str) -> u64 {
        self.chain.counted(self.router, event)
    }
}

fn stranger() -> IpAddr {
    [203, 0, 113, 9].into()
}

/// What the hops show to the receiver: all to the one that it pays, of the others what is chosen.
#[test]
fn r106_charges_are_shown_to_those_who_agreed_on_them() {
    type Seen = (bool, bool, bool);
    let cases: [(Charges, [Seen; 2]); 4] = [
        (Charges::None, [(false, false, false); 2]),
        (Charges::Totals, [(true, false, false); 2]),
        (Charges::Own, [(true, true, true), (true, false, false)]),
        (Charges::All, [(true, true, true); 2]),
    ];
    for (charges, expected) in cases {
        let config = NodeConfig { charges, ..NodeConfig::default() };
        let mut chain = Chain::reserved(&[Kind::Router; 2], options(Family::V4, config));
        let view = chain.trace();
        let seen = |hop: &TraceHop| {
            let it = hop.charges.first();
            (
                it.is_some(),
                it.is_some_and(|it| it.local_price.is_some() && it.sponsored.is_some()),
                it.is_some_and(|it| it.payment.is_some()),
            )
        };
        assert_eq!([&view.hops[1], &view.hops[2]].map(seen), expected, "{charges:?}: {view:?}");
    }
}

/// No account leaves the two that agreed on it.
#[test]
fn r111_the_details_of_a_reservation_are_had_by_diagnostics_and_name_no_account() {
    let config = NodeConfig { charges: Charges::All, ..NodeConfig::default() };
    let mut chain = Chain::reserved(&[Kind::Router; 2], options(Family::V4, config));
    let mark = chain.net.log.crossings().len();
    let view = chain.trace();
    // What RESVCONF could not carry: what each hop is paid and takes itself.
    let paid: Vec<_> = view.hops[1..3].iter().map(|hop| hop.charges[0].payment).collect();
    assert_eq!(paid, [Some(10), Some(5)]);
    for crossing in &chain.net.log.crossings()[mark..] {
        let bytes = chain.net.log.bytes(crossing);
        for name in ["I1", "I2"] {
            let named = bytes.windows(name.len()).any(|window| window == name.as_bytes());
            assert!(!named, "{name} in a diagnostic message");
        }
    }
}

/// Requests from elsewhere than the configured ranges end at the first hop that has them.
#[test]
fn r106_whoever_is_not_in_the_list_is_not_answered() {
    let chain = Chain::reserved(&[Kind::Router; 2], Options::default());
    let receiver = chain.net.address(chain.receiver());
    for (prefix, allowed) in [
        (Prefix { address: receiver, length: 32 }, true),
        ("203.0.113.0/24".parse().unwrap(), false),
    ] {
        let config = NodeConfig { requesters: Some(prefix), ..NodeConfig::default() };
        let mut chain = Chain::reserved(&[Kind::Router; 2], options(Family::V4, config));
        let view = chain.trace();
        assert_eq!(view.complete, allowed, "{view:?}");
        if !allowed {
            assert_eq!(chain.heard(&view), [chain.receiver()]);
            assert!(view.problem.unwrap().contains("lets nobody ask"));
            assert!(chain.counted(chain.nodes[2], "requester_not_allowed") > 0);
        }
    }
}

#[test]
fn a_requester_speaks_for_itself() {
    let mut asker = Asker::new(NodeConfig::default());
    let made = asker.made.clone();
    let sent = asker.ask(&made);
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].0.destination, sent[0].1[1]), (asker.own, u8::from(MessageType::Drep)));
    // For somebody else: a victim elsewhere, or on the link.
    let mut for_another = made.clone();
    for victim in [stranger(), asker.last_hop] {
        for_another.diagnostic.requester = FilterSpec(Filter::port(victim, 0));
        assert_eq!(asker.ask(&for_another), []);
    }
    assert_eq!(asker.counted("requester_is_a_stranger"), 2);
    // From off the link.
    for_another.diagnostic.requester = FilterSpec(Filter::port(stranger(), 0));
    assert_eq!(asker.heard_from(stranger(), &for_another.bytes()), []);
    // MF has no place in a request (section 3.3).
    let mut in_parts = made.clone();
    in_parts.diagnostic.more_fragments = true;
    assert_eq!(asker.ask(&in_parts), []);
    assert_eq!(asker.counted("malformed"), 1);
}

/// A request on its way causes no message to anybody but the hop that it comes from.
#[test]
fn a_request_on_its_way_is_answered_to_where_it_comes_from() {
    let mut asker = Asker::new(NodeConfig::default());
    let IpAddr::V4(own) = asker.own else { panic!() };
    let victim = FilterSpec(Filter::port(stranger(), 0));
    let mut made = asker.made.clone();
    (made.reports, made.diagnostic.hop_count, made.diagnostic.max_hops) = (1, 1, 2);
    made.diagnostic.last_hop = asker.own;
    made.diagnostic.requester = victim;
    // Straight to a stranger: not from here.
    assert_eq!(asker.ask(&made), []);
    assert_eq!(asker.counted("reply_to_a_stranger"), 1);
    // Back by hops: to the last one, if that is whom it comes from.
    made.route = Some(vec![own.octets()]);
    made.pointer = 1;
    let sent = asker.ask(&made);
    assert_eq!((sent.len(), sent[0].0.destination), (1, asker.own));
    let Ok(Message::Drep(drep)) = Message::parse(&sent[0].1) else { panic!() };
    assert_eq!((drep.responses().count(), drep.route.unwrap().pointer), (2, 0));
    assert_eq!(drep.diagnostic.hop_count, 2);
    assert!(!drep.diagnostic.more_fragments);
    made.route = Some(vec![[203, 0, 113, 9]]);
    assert_eq!(asker.ask(&made), []);
    assert_eq!(asker.counted("request_astray"), 1);
}

/// Classes of the objects in the reports of a reply.
fn reported(bytes: &[u8]) -> Vec<u8> {
    let Ok(Message::Drep(drep)) = Message::parse(bytes) else { panic!() };
    drep.responses().flat_map(|report| report.objects().map(|raw| raw.class)).collect()
}

/// Who is in the list is shown all where it asks itself. Its address in somebody else's request shows
/// nothing, nor does the router's own.
#[test]
fn r106_nobody_is_shown_charges_for_the_address_in_a_request() {
    let config = |trusted: &str| NodeConfig {
        charges: Charges::None,
        trusted: Some(trusted.parse().unwrap()),
        ..NodeConfig::default()
    };
    let mut asker = Asker::new(config("203.0.113.0/24"));
    let IpAddr::V4(own) = asker.own else { panic!() };
    let mut made = asker.made.clone();
    made.select = Some(vec![[14, 1]]);
    made.diagnostic.last_hop = asker.own;
    (made.diagnostic.hop_count, made.diagnostic.max_hops) = (1, 2);
    made.diagnostic.fragment_offset = 4;
    (made.route, made.pointer) = (Some(vec![own.octets()]), 1);
    for (requester, port) in [(stranger(), 1), (stranger(), 0), (asker.last_hop, 0)] {
        made.diagnostic.requester = FilterSpec(Filter::port(requester, port));
        let sent = asker.ask(&made);
        assert_eq!(sent.len(), 1, "{requester}");
        assert!(reported(&sent[0].1).is_empty(), "{requester}");
    }
    // Not as another hop either.
    let bytes = made.bytes();
    assert_eq!(asker.heard_from(stranger(), &bytes), []);
    assert_eq!(asker.counted("request_astray"), 1);
    // Nor past the list of those who may ask.
    let listed =
        NodeConfig { requesters: Some("203.0.113.0/24".parse().unwrap()), ..NodeConfig::default() };
    let mut closed = Asker::new(listed);
    made.diagnostic.requester = FilterSpec(Filter::port(closed.last_hop, 0));
    assert_eq!(closed.ask(&made), []);
    assert_eq!(closed.counted("requester_not_allowed"), 1);
    // The receiver is in the list, and asks.
    let own = asker.own;
    let mut asker = Asker::new(config(&format!("{own}/32")));
    let mut made = asker.made.clone();
    made.select = Some(vec![[14, 1]]);
    let sent = asker.ask(&made);
    assert_eq!(reported(&sent[0].1), [14]);
}

/// What a request is made to hold goes to nobody on a link who did not ask here.
#[test]
fn a_request_on_its_way_sends_nobody_datagrams() {
    let mut asker = Asker::new(NodeConfig::default());
    let mut made = asker.made.clone();
    (made.reports, made.diagnostic.hop_count, made.diagnostic.max_hops) = (3, 1, 2);
    made.diagnostic.last_hop = asker.own;
    let link = asker.chain.net.topology.between(asker.router, asker.chain.nodes[2]);
    let victim = asker.chain.net.topology.address_on(Family::V4, asker.chain.nodes[2], link);
    for port in [0, 53] {
        made.diagnostic.requester = FilterSpec(Filter::port(victim, port));
        assert_eq!(asker.ask(&made), []);
    }
    assert!(asker.chain.net.node(asker.router).datagrams().is_empty());
    assert_eq!(asker.counted("reply_to_a_stranger"), 2);
}

/// Replies are relayed to requests that went on, and to nothing else.
#[test]
fn a_reply_that_nobody_asked_for_goes_nowhere() {
    let mut asker = Asker::new(NodeConfig::default());
    let IpAddr::V4(own) = asker.own else { panic!() };
    let link = asker.chain.net.topology.between(asker.router, asker.chain.nodes[2]);
    let IpAddr::V4(up) = asker.chain.net.topology.address_on(Family::V4, asker.router, link) else {
        panic!()
    };
    let mut reply = asker.made.clone();
    reply.kind = MessageType::Drep;
    reply.diagnostic.last_hop = asker.own;
    (reply.route, reply.pointer) = (Some(vec![own.octets(), up.octets()]), 1);
    assert_eq!(asker.ask(&reply), []);
    assert_eq!(asker.counted("reply_unasked"), 1);
    // Once the request has gone on, it is.
    let mut request = asker.made.clone();
    (request.reports, request.diagnostic.max_hops) = (1, 0);
    request.diagnostic.last_hop = asker.own;
    (request.route, request.pointer) = (Some(vec![own.octets()]), 1);
    let sent = asker.ask(&request);
    assert_eq!((sent.len(), sent[0].1[1]), (1, u8::from(MessageType::Dreq)));
    let Ok(Message::Dreq(dreq)) = Message::parse(&sent[0].1) else { panic!() };
    let nodes: Vec<IpAddr> = dreq.route.unwrap().nodes.collect();
    assert_eq!((nodes, dreq.hop.address), (vec![asker.own, up.into()], up.into()));
    let sent = asker.ask(&reply);
    assert_eq!((sent.len(), sent[0].0.destination), (1, asker.own));
    let Ok(Message::Drep(drep)) = Message::parse(&sent[0].1) else { panic!() };
    assert_eq!(drep.route.unwrap().pointer, 0);
    // Not where ROUTE does not name us, nor after a while.
    let elsewhere = Made { pointer: 0, ..reply.clone() };
    assert_eq!(asker.ask(&elsewhere), []);
    assert_eq!(asker.counted("reply_astray"), 1);
    asker.chain.net.run_ms(20_000);
    assert_eq!(asker.ask(&reply), []);
    assert_eq!(asker.counted("reply_unasked"), 2);
}

/// What has been here comes to its end here.
#[test]
fn a_request_that_goes_in_circles_is_ended() {
    let mut asker = Asker::new(NodeConfig::default());
    let IpAddr::V4(own) = asker.own else { panic!() };
    let link = asker.chain.net.topology.between(asker.router, asker.chain.nodes[2]);
    let IpAddr::V4(up) = asker.chain.net.topology.address_on(Family::V4, asker.router, link) else {
        panic!()
    };
    let mut made = asker.made.clone();
    (made.reports, made.diagnostic.max_hops) = (2, 0);
    made.diagnostic.last_hop = asker.own;
    (made.route, made.pointer) = (Some(vec![up.octets(), own.octets()]), 2);
    let sent = asker.ask(&made);
    assert_eq!((sent.len(), sent[0].1[1]), (1, u8::from(MessageType::Drep)));
    assert_eq!(asker.counted("loop"), 1);
    // So does one that has passed as many hops as can be counted.
    let mut far = asker.made.clone();
    (far.reports, far.diagnostic.hop_count, far.diagnostic.max_hops) = (1, 254, 0);
    (far.route, far.pointer) = (Some(vec![own.octets()]), 1);
    let sent = asker.ask(&far);
    assert_eq!((sent.len(), sent[0].1[1]), (1, u8::from(MessageType::Drep)));
}

/// A tool without RSVP listens by UDP (section 6).
#[test]
fn a_requester_with_a_port_is_answered_by_udp() {
    let mut asker = Asker::new(NodeConfig::default());
    let mut made = asker.made.clone();
    made.diagnostic.requester = FilterSpec(Filter::port(asker.own, 40_000));
    assert_eq!(asker.ask(&made), []);
    let (to, message) = &asker.chain.net.node(asker.router).datagrams()[0];
    assert_eq!(*to, SocketAddr::new(asker.own, 40_000));
    let Ok(Message::Drep(drep)) = Message::parse(message) else { panic!() };
    assert_eq!(drep.responses().count(), 1);
}

/// The objects asked for are reported, and by default those of the RFC's list.
#[test]
fn the_objects_that_are_selected_are_reported() {
    let mut asker = Asker::new(NodeConfig::default());
    let classes = |sent: &[(TransmitMeta, Vec<u8>)]| {
        let Ok(Message::Drep(drep)) = Message::parse(&sent[0].1) else { panic!() };
        let response = drep.responses().next().unwrap();
        let mut classes: Vec<(u8, u8)> =
            response.objects().map(|raw| (raw.class, raw.ctype)).collect();
        classes.sort_unstable();
        (classes, response.refresh_multiple, response.timer)
    };
    let mut made = asker.made.clone();
    let (by_default, multiple, timer) = classes(&asker.ask(&made));
    // STYLE, FLOWSPEC, FILTER_SPEC, SENDER_TSPEC.
    assert_eq!(by_default, [(8, 1), (9, 2), (10, 1), (12, 2)]);
    assert_eq!((multiple, timer), (3, 30));
    for (pair, expected) in [
        ([3, 1], vec![(3, 1)]),
        ([11, 0], vec![(11, 1)]),
        ([11, 2], vec![]),
        ([13, 0], vec![(13, 2)]),
        ([14, 1], vec![(14, 1)]),
        ([7, 0], vec![]),
        ([77, 0], vec![]),
    ] {
        made.select = Some(vec![pair]);
        assert_eq!(classes(&asker.ask(&made)).0, expected, "{pair:?}");
    }
}

/// A Path MTU that leaves no room has what was collected sent back, and ROUTE given up.
#[test]
fn where_nothing_fits_reports_go_back_and_the_route_is_given_up() {
    let mut asker = Asker::new(NodeConfig::default());
    let IpAddr::V4(own) = asker.own else { panic!() };
    let mut made = asker.made.clone();
    (made.reports, made.diagnostic.max_hops, made.diagnostic.path_mtu) = (2, 0, 200);
    made.diagnostic.last_hop = asker.own;
    (made.route, made.pointer) = (Some(vec![own.octets()]), 1);
    let sent = asker.ask(&made);
    let [(back, fragment), (on, request)] = &sent[..] else { panic!("{sent:?}") };
    let Ok(Message::Drep(drep)) = Message::parse(fragment) else { panic!() };
    assert_eq!((back.destination, drep.responses().count()), (asker.own, 2));
    assert!(drep.diagnostic.more_fragments && drep.diagnostic.fragment_offset == 0);
    let Ok(Message::Dreq(dreq)) = Message::parse(request) else { panic!() };
    assert_ne!(on.destination, asker.own);
    assert_eq!(dreq.diagnostic.fragment_offset, 2 * 24);
    let too_big = DiagResponse::PACKET_TOO_BIG | DiagResponse::ROUTE_TOO_BIG;
    assert_eq!(dreq.responses().map(|r| r.error).collect::<Vec<_>>(), [too_big]);
    // Begun anew: us alone.
    let route = dreq.route.unwrap();
    assert_eq!((route.nodes.count(), route.pointer), (1, 1));
    // An MTU of the link that is smaller holds for what comes after.
    let mut large = asker.made.clone();
    (large.diagnostic.max_hops, large.diagnostic.path_mtu) = (0, 9_000);
    large.route = Some(Vec::new());
    let sent = asker.ask(&large);
    let Ok(Message::Dreq(dreq)) = Message::parse(&sent[0].1) else { panic!() };
    assert_eq!(dreq.diagnostic.path_mtu, 1_500);
}

#[test]
fn so_many_requests_a_second_are_answered() {
    let mut asker = Asker::new(NodeConfig::default());
    let made = asker.made.clone();
    let answered = (0..120).filter(|_| !asker.ask(&made).is_empty()).count();
    assert_eq!(answered, 50);
    assert_eq!(asker.counted("max_per_s"), 70);
    asker.chain.net.run_ms(100);
    assert_eq!((0..9).filter(|_| !asker.ask(&made).is_empty()).count(), 5);
}

/// Requests that are not for this hop go on to where they belong, as they are.
#[test]
fn a_request_for_another_last_hop_is_passed_on() {
    let mut asker = Asker::new(NodeConfig::default());
    let other = asker.chain.nodes[2];
    let link = asker.chain.net.topology.between(asker.router, other);
    let last_hop = asker.chain.net.topology.address_on(Family::V4, other, link);
    let mut made = asker.made.clone();
    made.diagnostic.last_hop = last_hop;
    let sent = asker.ask(&made);
    assert_eq!((sent.len(), sent[0].0.destination), (1, last_hop));
    let Ok(Message::Dreq(dreq)) = Message::parse(&sent[0].1) else { panic!() };
    assert_eq!((dreq.responses().count(), dreq.diagnostic.hop_count), (0, 0));
}

#[test]
fn tracing_may_be_switched_off_and_is_bounded() {
    let mut chain = Chain::reserved(&[Kind::Router; 1], Options::default());
    let (receiver, request) = (chain.receiver(), path_of(chain.session));
    let sender = Some(chain.net.sender(chain.nodes[0]));
    // Nobody is there who would answer.
    let request = TraceRequest { sender, last_hop: Some(stranger()), ..request };
    let begun = |chain: &mut Chain| {
        chain.net.input(receiver, |engine, now| engine.trace(now, request)).is_ok()
    };
    assert_eq!((0..80).filter(|_| begun(&mut chain)).count(), 64);
    chain.net.run_ms(20_000);
    assert_eq!(chain.net.node(receiver).traced().len(), 64);
    let problem = chain.net.node(receiver).traced()[0].problem.clone().unwrap();
    assert!(
        problem.contains("203.0.113.9, the last hop of the path, does not answer"),
        "{problem}"
    );
    assert!(begun(&mut chain));
}

prop_compose! {
    fn any_request()(
        kind in prop_oneof![3 => Just(MessageType::Dreq), 1 => Just(MessageType::Drep)],
        known in prop::bool::weighted(0.8),
        from_receiver in prop::bool::weighted(0.7),
        ours in prop::bool::weighted(0.7),
        numbers in any::<(u8, u8, u32, u16, u16, u32)>(),
        small in prop::bool::weighted(0.5),
        select in prop::option::of(prop::collection::vec(any::<[u8; 2]>(), 0..9)),
        policy in any::<bool>(),
        route in prop::option::of(prop::collection::vec(0_usize..6, 0..12)),
        pointer in 0_u8..14,
        reports in 0_usize..6,
    ) -> (Made, Vec<usize>, [bool; 3]) {
        let any: IpAddr = [192, 0, 2, 1].into();
        let (max_hops, hop_count, request_id, path_mtu, fragment_offset, lih) = numbers;
        let mut select = select;
        if policy && let Some(pairs) = &mut select {
            pairs.push([14, 0]);
        }
        let made = Made {
            kind,
            session: Session::new(any, 17, 9),
            hop: Hop { address: any, lih: lih % 8 },
            diagnostic: Diagnostic {
                max_hops: if small { max_hops % 4 } else { max_hops },
                hop_count,
                more_fragments: false,
                request_id: request_id % 4,
                path_mtu: if small { path_mtu % 600 } else { path_mtu },
                fragment_offset: if small { 0 } else { fragment_offset },
                last_hop: any,
                sender: SenderTemplate(Filter::port(any, 1)),
                requester: FilterSpec(Filter::port(any, 0)),
            },
            select,
            route: route.as_ref().map(|_| Vec::new()),
            pointer,
            reports,
        };
        (made, route.unwrap_or_default(), [known, from_receiver, ours])
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is asked: no panic, nothing changes, at most three messages, none of them much
    /// longer than what came, and nobody hears anything who is not a neighbour.
    #[test]
    fn no_request_does_harm(requests in prop::collection::vec(any_request(), 40)) {
        let mut asker = Asker::new(NodeConfig::default());
        let chain = &asker.chain;
        let addresses: Vec<IpAddr> = (0..5).map(|n| chain.net.address(chain.nodes[n]))
            .chain([stranger()]).collect();
        let octets = |address: IpAddr| match address {
            IpAddr::V4(v4) => v4.octets(),
            IpAddr::V6(_) => panic!(),
        };
        let neighbours: Vec<NodeId> = vec![chain.nodes[2], chain.receiver()];
        let sender = SenderTemplate(chain.net.sender(chain.nodes[0]));
        let session = chain.session;
        let before = chain.net.node(asker.router).engine().image();
        for (mut made, route, [known, from_receiver, ours]) in requests {
            if known {
                (made.session, made.diagnostic.sender) = (session, sender);
            }
            made.hop.address = if from_receiver { asker.own } else { stranger() };
            made.diagnostic.last_hop = if ours { asker.last_hop } else { asker.own };
            let requester = if from_receiver { asker.own } else { stranger() };
            made.diagnostic.requester = FilterSpec(Filter::port(requester, 0));
            let nodes = route.iter().map(|at| octets(addresses[*at]));
            made.route = made.route.map(|_| nodes.collect());
            let bytes = made.bytes();
            let source = if from_receiver { asker.own } else { stranger() };
            let sent = asker.heard_from(source, &bytes);
            prop_assert!(sent.len() <= 2, "{made:?}: {sent:?}");
            for (meta, message) in &sent {
                prop_assert!(message.len() <= bytes.len() + 2_200, "{made:?}");
                prop_assert!(Message::parse(message).is_ok());
                let to = asker.chain.net.topology.owner(meta.destination);
                prop_assert!(to.is_some_and(|to| neighbours.contains(&to)), "{made:?} {meta:?}");
            }
        }
        prop_assert_eq!(asker.chain.net.node(asker.router).engine().image(), before);
    }
}
