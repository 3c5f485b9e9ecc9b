//! Who gives way where an interface is full: priorities (RFC 3181), and reservations that are
//! reduced rather than ended (RFC 4495).

use lcm_daemon::config::Preemption;
use lcm_daemon::engine::{Handle, NoticeEvent, Priority, ReceiverRequest};
use lcm_tests::sim::{
    Family, Kind, Net, NodeConfig, NodeId, Options, TSPEC, Topology, Weather, reserve_up_to,
};
use rsvp_wire::object::{ErrorFlags, FlowSpec, Session, Style, Tspec};
use rsvp_wire::policy::PreemptionPri;
use rsvp_wire::{Message, MessageType};

const R_MS: u64 = 30_000;
/// 1 Mbit/s, as all senders have.
const WHOLE: u64 = TSPEC.rate.to_integer();
const HALF: u64 = WHOLE / 2;
const REFUSED: (u8, u16) = (1, 2);
const ENDED: (u8, u16) = (2, 5);
const REDUCED: (u8, u16) = (2, 102);

/// S ── A ══ B ── R1, R2, R3: all want more than the link in the middle has, at 10 a second.
struct Crowd {
    net: Net,
    sender: NodeId,
    a: NodeId,
    b: NodeId,
    receivers: [NodeId; 3],
    handles: [Option<Handle>; 3],
    mark: usize,
}

impl Crowd {
    fn new(preemption: Preemption, bits_per_s: u64) -> Self {
        Self::with(NodeConfig { preemption, ..NodeConfig::default() }, bits_per_s)
    }

    fn with(config: NodeConfig, bits_per_s: u64) -> Self {
        let mut topology = Topology::default();
        let sender = topology.node("S", Kind::Host);
        let [a, b] = ["A", "B"].map(|name| topology.node(name, Kind::Router));
        let receivers = ["R1", "R2", "R3"].map(|name| topology.node(name, Kind::Host));
        topology.link(sender, a, (0, 0));
        let middle = topology.link(a, b, (10, 50));
        topology.limit(middle, a, bits_per_s);
        for receiver in receivers {
            topology.link(b, receiver, (5, 5));
        }
        let options = Options { family: Family::V4, config, ..Options::default() };
        let mut net = Net::new(topology, options);
        for receiver in receivers {
            let session = net.session_to(receiver);
            net.send(sender, session, None);
        }
        net.run_ms(1_000);
        Self { net, sender, a, b, receivers, handles: [None; 3], mark: 0 }
    }

    fn session(&self, index: usize) -> Session {
        self.net.session_to(self.receivers[index])
    }

    fn ask(&mut self, index: usize, rate: u64, priority: Option<(u16, u16)>) {
        self.ask_as(index, rate, priority, Style::FixedFilter);
    }

    fn ask_as(&mut self, index: usize, rate: u64, priority: Option<(u16, u16)>, style: Style) {
        let priority = priority.map(|(preemption, defending)| Priority { preemption, defending });
        let flowspec = FlowSpec::ControlledLoad(Tspec::new(rate, 10_000, 64, 1_500));
        let request = ReceiverRequest {
            priority,
            style,
            flowspec: Some(flowspec),
            ..reserve_up_to(self.session(index), None)
        };
        self.handles[index] = Some(self.net.receive_as(self.receivers[index], request));
        self.net.run_ms(1_000);
    }

    /// What stands for each receiver on the link in the middle, in bytes per second.
    fn standing(&self) -> [Option<u64>; 3] {
        let topology = &self.net.topology;
        let interface = topology.interface(self.a, topology.between(self.a, self.b));
        let all = self.net.node(self.a).traffic();
        std::array::from_fn(|index| {
            let session = self.session(index);
            let mut found =
                all.iter().filter(|((of, on, _), _)| (*of, *on) == (session, interface));
            found.next().map(|(_, setting)| setting.flowspec.tspec().rate.to_integer())
        })
    }

    /// The errors that a receiver was told of, and their number.
    fn errors(&self, index: usize) -> Vec<(u8, u16)> {
        let notices = self.net.node(self.receivers[index]).notices().iter();
        let error = |event: &NoticeEvent| match event {
            NoticeEvent::Error { code, value, .. } => Some((*code, *value)),
            _ => None,
        };
        let mut errors: Vec<_> = notices.filter_map(|notice| error(&notice.event)).collect();
        errors.dedup();
        errors
    }

    /// Messages of a type that a node has sent since the mark.
    fn sent(&self, from: NodeId, kind: MessageType) -> Vec<Vec<u8>> {
        let crossings = self.net.log.crossings()[self.mark..].iter();
        let own = crossings.filter(|crossing| crossing.from == from);
        let bytes = own.map(|crossing| self.net.log.bytes(crossing).to_vec());
        bytes.filter(|bytes| bytes[1] == u8::from(kind)).collect()
    }

    fn mark(&mut self) {
        self.mark = self.net.log.crossings().len();
    }

    /// RESVERR with this code and value that a node has sent since the mark.
    fn errors_sent(&self, from: NodeId, (code, value): (u8, u16)) -> Vec<Vec<u8>> {
        let mut sent = self.sent(from, MessageType::ResvErr);
        sent.retain(|bytes| {
            let Ok(Message::ResvErr(error)) = Message::parse(bytes) else { panic!() };
            (error.error.code, error.error.value) == (code, value)
        });
        sent
    }
}

#[test]
fn a_request_of_higher_priority_reduces_what_stands() {
    let mut crowd = Crowd::new(Preemption::Reduce, 12 * WHOLE);
    crowd.ask(0, WHOLE, Some((1, 1)));
    crowd.net.run_ms(4 * R_MS);
    assert_eq!(crowd.standing(), [Some(WHOLE), None, None], "{}", crowd.net.story());
    crowd.mark();
    crowd.ask(1, WHOLE, Some((5, 7)));
    assert_eq!(crowd.standing(), [Some(HALF), Some(WHOLE), None], "{}", crowd.net.story());
    assert_eq!(crowd.errors(0), [REDUCED]);
    assert_eq!(crowd.errors(1), []);
    // One RESVERR, with who took it and what is left; no RESVTEAR upstream (RFC 4495 section 5).
    let told = crowd.errors_sent(crowd.a, REDUCED);
    assert_eq!(told.len(), 1);
    let Ok(Message::ResvErr(error)) = Message::parse(&told[0]) else { panic!() };
    assert!(error.error.flags.contains(ErrorFlags::IN_PLACE));
    assert_eq!(error.flowspec.unwrap().tspec().rate.to_integer(), HALF);
    let element = error.policy_data().find_map(|data| data.element(1)).unwrap();
    let by = PreemptionPri::parse(&element).unwrap();
    assert_eq!((u8::from(by.error), by.preemption, by.defending), (1, 5, 7));
    assert!(crowd.sent(crowd.a, MessageType::ResvTear).is_empty());
    // The receiver hears of who took it, too, and asks for what is left.
    let onward = crowd.errors_sent(crowd.b, REDUCED);
    let Ok(Message::ResvErr(error)) = Message::parse(&onward[0]) else { panic!() };
    assert!(error.policy_data().any(|data| data.element(1).is_some()));
    for (from, name) in [(crowd.receivers[0], "R1"), (crowd.a, "A")] {
        let last = crowd.sent(from, MessageType::Resv).into_iter().find(|bytes| {
            let Ok(Message::Resv(resv)) = Message::parse(bytes) else { panic!() };
            let rate = resv.flows().next().unwrap().flowspec.tspec().rate.to_integer();
            resv.session.key() == crowd.session(0) && rate == HALF
        });
        assert!(last.is_some(), "{name} asks for what is left");
    }
    // At rest nobody refuses or reduces anything more, and all pay as before.
    crowd.net.run_ms(4 * R_MS);
    crowd.mark();
    crowd.net.run_ms(20 * R_MS);
    assert_eq!(crowd.standing(), [Some(HALF), Some(WHOLE), None]);
    for node in [crowd.a, crowd.b] {
        assert!(crowd.sent(node, MessageType::ResvErr).is_empty(), "{}", crowd.net.story());
    }
    crowd.net.assert_metered(R_MS, &[0, 20, 10, -15, -15, 0]);
    crowd.net.assert_promise();
}

/// What is left of a reservation costs what is left, also before its receiver has heard of it.
#[test]
fn what_is_reduced_is_paid_for_as_what_is_left() {
    let mut crowd = Crowd::new(Preemption::Reduce, 12 * WHOLE);
    let middle = crowd.net.topology.between(crowd.a, crowd.b);
    crowd.net.set_tariff(crowd.a, middle, (0, 0), (1_000, 0));
    let by_rate = |rate: u64| i128::from(rate * 8 * 1_000 / 1_000_000);
    crowd.ask(0, WHOLE, Some((1, 1)));
    crowd.net.run_ms(4 * R_MS);
    assert_eq!(crowd.net.rates_over(1_000)[crowd.a], by_rate(WHOLE));
    crowd.ask(1, WHOLE, Some((5, 7)));
    let deaf = Weather { loss_permille: 1_000, ..Weather::FAIR };
    let to_first = crowd.net.topology.between(crowd.b, crowd.receivers[0]);
    crowd.net.set_weather_of(to_first, deaf);
    crowd.net.run_ms(500);
    assert_eq!(crowd.standing(), [Some(HALF), Some(WHOLE), None]);
    assert_eq!(crowd.net.rates_over(1_000)[crowd.a], by_rate(WHOLE) + by_rate(HALF));
    crowd.net.assert_promise();
}

#[test]
fn what_is_ended_is_paid_for_no_longer() {
    let mut crowd = Crowd::new(Preemption::End, 12 * WHOLE);
    crowd.ask(0, WHOLE, None);
    crowd.net.run_ms(4 * R_MS);
    crowd.net.assert_metered(R_MS, &[0, 10, 5, -15, 0, 0]);
    crowd.mark();
    crowd.ask(1, WHOLE, Some((5, 5)));
    assert_eq!(crowd.standing(), [None, Some(WHOLE), None], "{}", crowd.net.story());
    assert_eq!(crowd.errors_sent(crowd.a, ENDED).len(), 1);
    assert_eq!(crowd.sent(crowd.a, MessageType::ResvTear).len(), 1, "upstream");
    assert_eq!(crowd.errors(0)[0], ENDED);
    let outages = |node| crowd.net.node(node).engine().counters().outages.clone();
    assert_eq!(Vec::from_iter(outages(crowd.a)), [("preempted", 1)]);
    assert_eq!(Vec::from_iter(outages(crowd.b)), [("refused", 1)]);
    crowd.net.run_ms(8 * R_MS);
    assert_eq!(crowd.standing(), [None, Some(WHOLE), None]);
    assert_eq!(crowd.errors(0)[1..], [REFUSED], "it asks again, and finds no room");
    crowd.net.assert_metered(R_MS, &[0, 10, 5, 0, -15, 0]);
    crowd.net.assert_promise();
    // When there is room again, it is let in.
    let handle = crowd.handles[1].take().unwrap();
    crowd.net.close(crowd.receivers[1], handle);
    crowd.net.run_ms(8 * R_MS);
    assert_eq!(crowd.standing(), [Some(WHOLE), None, None], "{}", crowd.net.story());
    assert_eq!(crowd.sent(crowd.sender, MessageType::ResvErr).len(), 0);
}

#[test]
fn without_a_higher_priority_or_preemption_nobody_gives_way() {
    for (preemption, first, second) in [
        (Preemption::Off, None, Some((9, 9))),
        (Preemption::Reduce, None, None),
        (Preemption::Reduce, Some((1, 5)), Some((5, 9))),
        (Preemption::End, Some((6, 6)), Some((5, 9))),
    ] {
        let mut crowd = Crowd::new(preemption, 12 * WHOLE);
        crowd.ask(0, WHOLE, first);
        crowd.ask(1, WHOLE, second);
        assert_eq!(crowd.standing(), [Some(WHOLE), None, None], "{preemption:?} {first:?}");
        assert_eq!((crowd.errors(0), crowd.errors(1)), (vec![], vec![REFUSED]));
    }
}

/// Even all that is of lower priority together would not do.
#[test]
fn what_does_not_help_is_not_taken() {
    let mut crowd = Crowd::new(Preemption::End, 12 * WHOLE);
    crowd.ask(0, WHOLE, Some((9, 9)));
    crowd.ask(1, HALF, None);
    crowd.ask(2, WHOLE, Some((5, 5)));
    assert_eq!(crowd.standing(), [Some(WHOLE), Some(HALF), None]);
    assert_eq!((crowd.errors(1), crowd.errors(2)), (vec![], vec![REFUSED]));
}

/// The least defended goes first, the one that is reduced last, and no more than is needed.
#[test]
fn the_least_defended_give_way_and_one_is_reduced() {
    for (preemption, left) in
        [(Preemption::Reduce, [Some(HALF / 2), None]), (Preemption::End, [None, None])]
    {
        // Both stand; the third needs three quarters more than is free.
        let mut crowd = Crowd::new(preemption, 12 * WHOLE);
        crowd.ask(0, HALF, Some((3, 3)));
        crowd.ask(1, HALF, Some((2, 2)));
        crowd.ask(2, WHOLE + HALF / 2, Some((5, 5)));
        assert_eq!(crowd.standing(), [left[0], left[1], Some(WHOLE + HALF / 2)], "{preemption:?}");
        assert_eq!(crowd.errors(1)[0], ENDED);
        assert_eq!(crowd.errors(0)[0], if left[0].is_some() { REDUCED } else { ENDED });
    }
    // Of equals the largest, so that no other is touched.
    let mut crowd = Crowd::new(Preemption::Reduce, 12 * WHOLE);
    crowd.ask(0, HALF, None);
    crowd.ask(1, WHOLE, None);
    crowd.ask(2, HALF, Some((5, 5)));
    assert_eq!(crowd.standing(), [Some(HALF), Some(HALF), Some(HALF)]);
    assert_eq!((crowd.errors(0), crowd.errors(1)), (vec![], vec![REDUCED]));
}

/// A request that is not paid for takes nothing from anybody: S ── A ══ R, which receives twice.
#[test]
fn who_does_not_pay_takes_nothing() {
    let mut topology = Topology::default();
    let [s, r] = ["S", "R"].map(|name| topology.node(name, Kind::Host));
    let a = topology.node("A", Kind::Router);
    topology.link(s, a, (0, 0));
    let narrow = topology.link(a, r, (10, 50));
    topology.limit(narrow, a, 12 * WHOLE);
    let config = NodeConfig { preemption: Preemption::End, ..NodeConfig::default() };
    let mut net = Net::new(topology, Options { config, ..Options::default() });
    let first = net.session_to(r);
    let second = Session { destination_port: 5_001, ..first };
    for session in [first, second] {
        net.send(s, session, None);
    }
    net.run_ms(1_000);
    net.receive_as(r, reserve_up_to(first, None));
    net.run_ms(4 * R_MS);
    net.set_price(a, narrow, 40, true);
    // 10 is what it was quoted, and all that it pays.
    let priority = Some(Priority { preemption: 5, defending: 5 });
    net.receive_as(r, ReceiverRequest { priority, ..reserve_up_to(second, Some(10)) });
    net.run_ms(1_000);
    let standing: Vec<Session> = net.node(a).traffic().keys().map(|(of, ..)| *of).collect();
    assert_eq!(standing, [first], "{}", net.story());
    let told = |error: (u8, u16)| {
        net.node(a).engine().counters().resv_errors_sent.get(&error).copied().unwrap_or_default()
    };
    assert_eq!((told(ENDED), told((2, 4))), (0, 1), "{}", net.story());
}

/// If nobody hears of it, the old request goes on to be refused beyond what is left: nothing is
/// taken twice (RFC 4495 requirement 4).
#[test]
fn a_reduction_that_is_lost_takes_nothing_twice() {
    let mut crowd = Crowd::new(Preemption::Reduce, 12 * WHOLE);
    crowd.ask(0, WHOLE, None);
    crowd.net.run_ms(4 * R_MS);
    crowd.mark();
    let link = crowd.net.topology.between(crowd.b, crowd.receivers[0]);
    // What B passes on to R1 is lost.
    crowd.net.set_weather_of(link, Weather { loss_permille: 1_000, ..Weather::FAIR });
    crowd.ask(1, WHOLE, Some((5, 5)));
    crowd.net.set_weather_of(link, Weather::FAIR);
    for _ in 0..10 {
        crowd.net.run_ms(R_MS);
        assert_eq!(crowd.standing(), [Some(HALF), Some(WHOLE), None], "{}", crowd.net.story());
    }
    assert_eq!(crowd.errors_sent(crowd.a, REDUCED).len(), 1);
    assert!(!crowd.errors_sent(crowd.a, REFUSED).is_empty());
    crowd.net.assert_promise();
}

/// Shared reservations, and neighbours that refresh by number.
#[test]
fn shared_styles_and_refreshes_by_number_are_reduced_alike() {
    for (style, reducing) in [
        (Style::SharedExplicit, None),
        (Style::WildcardFilter, None),
        (Style::FixedFilter, Some(0)),
        (Style::WildcardFilter, Some(0)),
    ] {
        let config =
            NodeConfig { preemption: Preemption::Reduce, reducing, ..NodeConfig::default() };
        let mut crowd = Crowd::with(config, 12 * WHOLE);
        crowd.ask_as(0, WHOLE, Some((1, 1)), style);
        crowd.net.run_ms(4 * R_MS);
        crowd.ask_as(1, WHOLE, Some((5, 5)), style);
        crowd.net.run_ms(10 * R_MS);
        assert_eq!(crowd.standing(), [Some(HALF), Some(WHOLE), None], "{}", crowd.net.story());
        assert_eq!(crowd.errors(0), [REDUCED], "{style}");
        crowd.net.assert_metered(R_MS, &[0, 20, 10, -15, -15, 0]);
    }
}

/// One RESV asks for two senders, for one of them with a priority: the other one has none of it.
/// S1, S2 ── A ══ B ── R1 (wants S1, with a priority), R2 (wants S2), R3 (was there before).
#[test]
fn a_sender_s_priority_is_its_own() {
    let mut topology = Topology::default();
    let [s1, s2] = ["S1", "S2"].map(|name| topology.node(name, Kind::Host));
    let [a, b] = ["A", "B"].map(|name| topology.node(name, Kind::Router));
    let receivers = ["R1", "R2", "R3"].map(|name| topology.node(name, Kind::Host));
    for sender in [s1, s2] {
        topology.link(sender, a, (0, 0));
    }
    let middle = topology.link(a, b, (10, 50));
    topology.limit(middle, a, 20 * WHOLE);
    for receiver in receivers {
        topology.link(b, receiver, (5, 5));
    }
    let config = NodeConfig { preemption: Preemption::End, ..NodeConfig::default() };
    let mut net = Net::new(topology, Options { config, ..Options::default() });
    let session = lcm_tests::sim::group(Family::V4, 9);
    net.fix_members(session, [receivers[0], receivers[1]]);
    let third = net.session_to(receivers[2]);
    net.send(s1, third, None);
    for sender in [s1, s2] {
        net.send(sender, session, None);
    }
    net.run_ms(1_000);
    net.receive_as(receivers[2], reserve_up_to(third, None));
    net.run_ms(R_MS);
    let ask = |net: &mut Net, at: NodeId, sender: NodeId, priority| {
        let sender = Some(net.sender(sender));
        net.receive_as(at, ReceiverRequest { sender, priority, ..reserve_up_to(session, None) });
        net.run_ms(1_000);
    };
    ask(&mut net, receivers[0], s1, Some(Priority { preemption: 9, defending: 9 }));
    ask(&mut net, receivers[1], s2, None);
    net.run_ms(4 * R_MS);
    let interface = net.topology.interface(a, middle);
    let all = net.node(a).traffic();
    let standing = |of: Session, sender: NodeId| {
        let own = Some(net.sender(sender));
        all.contains_key(&(of, interface, own))
    };
    let stand = [standing(third, s1), standing(session, s1), standing(session, s2)];
    assert_eq!(stand, [true, true, false], "{}", net.story());
    let told = net.node(a).engine().counters().resv_errors_sent.clone();
    assert_eq!(told.get(&ENDED), None, "{told:?}");
    assert!(told.get(&REFUSED).is_some_and(|count| *count > 0), "{told:?}");
}
