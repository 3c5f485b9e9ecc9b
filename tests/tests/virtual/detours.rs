//! Neighbours that share their state with somebody whom they cannot see: another way back, a
//! previous hop that the data has left, another sender of a shared reservation.

use lcm_daemon::engine::ReceiverRequest;
use lcm_tests::sim::{Family, Kind, Net, NodeId, Options, Topology, Weather, group, reserve_up_to};
use rsvp_wire::object::{Session, Style};

/// (K + ½) · 1.5 R.
const LIFETIME: u64 = 157_500;
/// A day, by which a wall clock goes back.
const DAY_S: i64 = -86_400;

fn receive(net: &mut Net, id: NodeId, session: Session, style: Style) {
    let request = ReceiverRequest { style, ..reserve_up_to(session, None) };
    net.receive_as(id, request);
}

/// A receiver dies, and comes back with a clock that went back, when another sender has appeared
/// whose payment keeps the reservation alive.
#[test]
fn r044_each_sender_of_a_wildcard_reservation_can_be_paid_again_by_a_clock_that_went_back() {
    for family in [Family::V4, Family::V6] {
        let mut t = Topology::default();
        let [s1, s2] = ["S1", "S2"].map(|name| t.node(name, Kind::Host));
        let a = t.node("A", Kind::Router);
        let r = t.node("R", Kind::Host);
        for sender in [s1, s2] {
            t.link(sender, a, (0, 0));
        }
        t.link(a, r, (120, 120));
        let mut net = Net::new(t, Options { family, ..Options::default() });
        let session = group(family, 1);
        net.fix_members(session, [r]);
        net.send(s1, session, None);
        receive(&mut net, r, session, Style::WildcardFilter);
        net.run_ms(60_000);
        net.kill(r);
        net.set_wall_clock(r, DAY_S);
        net.start(r);
        net.send(s2, session, None);
        receive(&mut net, r, session, Style::WildcardFilter);
        net.run_ms(3 * LIFETIME);
        let paid = |sender: NodeId| net.log.last_ucpe(2, r, net.sender(sender)).unwrap().payment;
        assert_eq!([s1, s2].map(paid), [60, 60], "{family:?}");
        let mut expected = vec![0; 4];
        (expected[a], expected[r]) = (120, -120);
        net.assert_metered(100_000, &expected);
        net.assert_promise();
    }
}

/// A receiver comes back with a clock that went back, and for one of two senders it pays again only when
/// that has become cheap enough, after its reservation lived by the other one for longer than
/// state does: by then no number of its former life is in the way.
#[test]
fn r044_a_sender_not_paid_for_keeps_no_numbers_while_another_one_is() {
    for family in [Family::V4, Family::V6] {
        let mut t = Topology::default();
        let [s1, s2] = ["S1", "S2"].map(|name| t.node(name, Kind::Host));
        let b = t.node("B", Kind::Router);
        let a = t.node("A", Kind::Router);
        let r = t.node("R", Kind::Host);
        t.link(s1, b, (0, 0));
        let dear = t.link(b, a, (500, 500));
        t.link(s2, a, (0, 0));
        t.link(a, r, (120, 120));
        let mut net = Net::new(t, Options { family, ..Options::default() });
        let session = group(family, 1);
        net.fix_members(session, [r]);
        net.send(s1, session, None);
        let pay_up_to = |net: &mut Net, most| {
            let style = Style::WildcardFilter;
            net.receive_as(r, ReceiverRequest { style, ..reserve_up_to(session, most) })
        };
        pay_up_to(&mut net, None);
        net.run_ms(60_000);
        net.kill(r);
        net.set_wall_clock(r, DAY_S);
        net.start(r);
        net.send(s2, session, None);
        pay_up_to(&mut net, Some(300));
        net.run_ms(3 * LIFETIME);
        net.set_price(b, dear, 100, false);
        net.run_ms(60_000);
        let paid = |sender: NodeId| net.log.last_ucpe(3, r, net.sender(sender)).unwrap().payment;
        assert_eq!([s1, s2].map(paid), [160, 60], "{family:?}");
        let counters = net.node(a).engine().counters();
        assert_eq!(counters.dropped.get("stale_payment"), None, "{family:?}");
        assert_eq!(counters.expired.get("payer"), Some(&1), "{family:?}");
        net.assert_promise();
    }
}

/// Two ways of the same length, of which the data takes the one and what is unicast the other.
///
/// ```text
///            ┌─ P ─┐
/// S ──── A ──┤     ├── B ──── R
///            └─ Q ─┘
/// ```
fn square(family: Family, swapped: bool) -> (Net, [NodeId; 4]) {
    let mut t = Topology::default();
    let s = t.node("S", Kind::Host);
    let a = t.node("A", Kind::Router);
    let ways = ["P", "Q"].map(|name| t.node(name, Kind::Plain));
    let b = t.node("B", Kind::Router);
    let r = t.node("R", Kind::Host);
    t.link(s, a, (0, 0));
    for way in ways {
        t.link(a, way, (100, 100));
    }
    let [p, q] = if swapped { [ways[1], ways[0]] } else { ways };
    t.link(p, b, (0, 0));
    t.link(q, b, (0, 0));
    t.link(b, r, (60, 60));
    (Net::new(t, Options { family, ..Options::default() }), [s, a, b, r])
}

/// What was refused must be heard of: nothing else tells a router whose clock went back how to pay.
#[test]
fn r100_a_refusal_may_come_another_way_than_the_reservation_went() {
    for (family, swapped) in [(Family::V4, false), (Family::V4, true), (Family::V6, true)] {
        let (mut net, [s, a, b, r]) = square(family, swapped);
        let session = group(family, 1);
        net.send(s, session, None);
        net.receive(r, session);
        net.run_ms(60_000);
        net.kill(b);
        net.set_wall_clock(b, DAY_S);
        net.run_ms(2 * LIFETIME);
        net.start(b);
        net.run_ms(2 * LIFETIME);
        let mut expected = vec![0; 6];
        (expected[a], expected[b], expected[r]) = (100, 60, -160);
        net.assert_metered(100_000, &expected);
        net.assert_promise();
    }
}

/// A router that the data has left speaks until its state ends, and here each time that it is
/// believed its price changes, which it says at once.
///
/// ```text
/// S1 ─┐   ┌────── P ─── R
///     A ──┤      │
/// S2 ─┘   └── C ─┘
/// ```
#[test]
fn r102_previous_hops_behind_one_interface_do_not_take_turns() {
    for family in [Family::V4, Family::V6] {
        let mut t = Topology::default();
        let [s1, s2] = ["S1", "S2"].map(|name| t.node(name, Kind::Host));
        let a = t.node("A", Kind::Ignorant);
        let c = t.node("C", Kind::Router);
        let p = t.node("P", Kind::Plain);
        let r = t.node("R", Kind::Host);
        for sender in [s1, s2] {
            t.link(sender, a, (0, 0));
        }
        let direct = t.link(a, p, (0, 0));
        t.link(a, c, (0, 0));
        t.link(c, p, (600, 600));
        t.link(p, r, (0, 0));
        let mut net = Net::new(t, Options { family, ..Options::default() });
        let session = group(family, 1);
        net.fix_members(session, [r]);
        net.set_link(direct, false);
        for sender in [s1, s2] {
            net.send(sender, session, None);
        }
        receive(&mut net, r, session, Style::SharedExplicit);
        net.run_ms(60_000);
        let paid = |sender: NodeId| net.log.last_ucpe(5, r, net.sender(sender)).unwrap().payment;
        assert_eq!([s1, s2].map(paid), [300, 300]);
        net.set_link(direct, true);
        let before = net.log.messages();
        net.run_ms(2 * LIFETIME);
        let messages = net.log.messages() - before;
        // 21 refreshes at most of 2 PATHs and a RESV over 5 links, and as much again.
        assert!(messages < 630, "{family:?}: {messages} messages");
        let mut expected = vec![0; 6];
        expected.iter_mut().for_each(|rate| *rate = 0);
        net.assert_metered(100_000, &expected);
        net.assert_promise();
    }
}

/// A router that unicast data has left, and that was not told so, refreshes over another interface
/// what it knows of the senders. It is believed at most once between two refreshes of the right
/// one: each of the two changes its prices when it gains or loses a reservation, and says so at
/// once.
///
/// ```text
/// S1 ──┐
///      A ──────── B ──── R
/// S2 ──┘└── C ──┘
/// ```
#[test]
fn r102_a_router_that_unicast_data_has_left_does_not_take_turns() {
    for family in [Family::V4, Family::V6] {
        let mut t = Topology::default();
        let senders = ["S1", "S2"].map(|name| t.node(name, Kind::Host));
        let [a, b, c] = ["A", "B", "C"].map(|name| t.node(name, Kind::Router));
        let r = t.node("R", Kind::Host);
        for s in senders {
            t.link(s, a, (0, 0));
        }
        let direct = t.link(a, b, (300, 300));
        let detour = t.link(a, c, (0, 0));
        t.link(c, b, (600, 600));
        t.link(b, r, (60, 60));
        let mut net = Net::new(t, Options { family, ..Options::default() });
        let session = net.session_to(r);
        net.set_link(direct, false);
        for s in senders {
            net.send(s, session, None);
        }
        receive(&mut net, r, session, Style::SharedExplicit);
        net.run_ms(60_000);
        let paid = |sender: NodeId| net.log.last_ucpe(5, r, net.sender(sender)).unwrap().payment;
        assert_eq!(senders.map(paid), [330, 330], "{family:?}");
        // C does not hear that the data goes another way.
        net.set_weather_of(detour, Weather::storm(1_000));
        net.set_link(direct, true);
        let before = net.log.messages();
        for second in 0..2 * LIFETIME / 1_000 {
            net.run_ms(1_000);
            let messages = net.log.messages() - before;
            // 21 refreshes at most of 2 PATHs and a RESV over 6 links, and as much again.
            assert!(messages < 756, "{family:?}: {messages} messages in {second} s");
        }
        net.set_weather_of(detour, Weather::steady(1_000));
        let mut expected = vec![0; 6];
        (expected[a], expected[b], expected[r]) = (300, 60, -360);
        net.assert_metered(100_000, &expected);
        net.assert_promise();
    }
}
