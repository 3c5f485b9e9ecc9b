//! A router that goes out of service.

use lcm_daemon::engine::NoticeEvent;
use lcm_tests::sim::{
    Family, Kind, LinkId, Net, NodeConfig, NodeId, Options, Topology, group, reserve_up_to,
};
use rsvp_wire::object::Tspec;

/// (K + ½) · 1.5 R.
const LIFETIME: u64 = 157_500;

/// Whether an application on a node was told of code 01 (admission control failure).
fn refused(net: &Net, id: NodeId) -> bool {
    let refusal = |event: &NoticeEvent| match event {
        NoticeEvent::Error { code, .. } => *code == 1,
        _ => false,
    };
    net.node(id).notices().iter().any(|notice| refusal(&notice.event))
}

/// What stands is refreshed and paid for on and on; who comes is refused; when the last one has
/// left, the router is empty; and back in service it lets the refused one in.
#[test]
fn a_router_that_drains_lets_nothing_new_in_and_loses_nothing() {
    for family in [Family::V4, Family::V6] {
        let mut t = Topology::default();
        let s = t.node("S", Kind::Host);
        let [a, b] = ["A", "B"].map(|name| t.node(name, Kind::Router));
        let receivers = ["R1", "R2"].map(|name| t.node(name, Kind::Host));
        t.link(s, a, (0, 0));
        t.link(a, b, (100, 100));
        for r in receivers {
            t.link(b, r, (60, 60));
        }
        let mut net = Net::new(t, Options { family, ..Options::default() });
        let session = group(family, 1);
        net.fix_members(session, receivers);
        net.send(s, session, None);
        let first = net.receive_as(receivers[0], reserve_up_to(session, None));
        net.run_ms(10_000);
        net.input(b, |engine, _| engine.drain(true));
        net.receive_as(receivers[1], reserve_up_to(session, None));
        net.run_ms(2 * LIFETIME);
        assert!(refused(&net, receivers[1]) && !refused(&net, receivers[0]), "{family:?}");
        let mut expected = vec![0; 5];
        (expected[a], expected[b], expected[receivers[0]]) = (100, 60, -160);
        net.assert_metered(10_000, &expected);

        net.close(receivers[0], first);
        net.run_ms(1_000);
        assert_eq!(net.node(b).engine().sizes().2, 0, "{family:?}: empty");
        assert_eq!(net.node(b).engine().drains(), Some(None));

        net.input(b, |engine, _| engine.drain(false));
        net.run_ms(LIFETIME);
        let mut expected = vec![0; 5];
        (expected[a], expected[b], expected[receivers[1]]) = (100, 60, -160);
        net.assert_metered(10_000, &expected);
        net.assert_promise();
    }
}

/// At a price: what stands keeps its own, also through refreshes; who comes pays more; and back in
/// service all pay the same again.
#[test]
fn a_router_that_drains_at_a_price_is_dearer_for_whoever_comes() {
    let mut t = Topology::default();
    let s = t.node("S", Kind::Host);
    let [a, b] = ["A", "B"].map(|name| t.node(name, Kind::Router));
    let r = t.node("R", Kind::Host);
    t.link(s, a, (0, 0));
    t.link(a, b, (100, 100));
    t.link(b, r, (60, 60));
    let mut net = Net::new(t, Options::default());
    let sessions = [group(Family::V4, 1), group(Family::V4, 2)];
    for session in sessions {
        net.fix_members(session, [r]);
        net.send(s, session, None);
    }
    net.receive_as(r, reserve_up_to(sessions[0], None));
    net.run_ms(60_000);
    net.assert_metered(10_000, &[0, 100, 60, -160]);
    let out_of_range = net.input(b, |engine, now| engine.set_drain(now, Some(Some(99))));
    assert!(out_of_range.unwrap_err().to_string().contains("price_percent = 99"));
    net.input(b, |engine, now| engine.set_drain(now, Some(Some(300)))).unwrap();
    assert_eq!(net.node(b).engine().drains(), Some(Some(300)));
    net.run_ms(2 * LIFETIME);
    net.assert_metered(10_000, &[0, 100, 60, -160]);
    // 60 becomes 180.
    net.receive_as(r, reserve_up_to(sessions[1], None));
    net.run_ms(60_000);
    net.assert_metered(10_000, &[0, 200, 240, -440]);
    net.run_ms(2 * LIFETIME);
    net.assert_metered(10_000, &[0, 200, 240, -440]);
    net.input(b, |engine, now| engine.set_drain(now, None)).unwrap();
    net.run_ms(60_000);
    net.assert_metered(10_000, &[0, 200, 120, -320]);
    net.assert_promise();
}

/// 1 Mbit/s.
const SENT: Tspec = Tspec::new(125_000, 10_000, 64, 1500);
/// What it costs on a link that is priced by rate.
const MBIT: i128 = 1_000;

/// Two receivers behind one interface of A, which prices by rate; then A drains at thrice the price.
fn behind_one_interface() -> (Net, [NodeId; 3], LinkId) {
    let mut t = Topology::default();
    let s = t.node("S", Kind::Host);
    let a = t.node("A", Kind::Router);
    let hub = t.node("P", Kind::Plain);
    let receivers = ["R1", "R2"].map(|name| t.node(name, Kind::Host));
    t.link(s, a, (0, 0));
    let out = t.link(a, hub, (0, 0));
    for r in receivers {
        t.link(hub, r, (0, 0));
    }
    let mut net = Net::new(t, Options::default());
    net.set_tariff(a, out, (0, 0), (1_000, 0));
    let session = group(net.family(), 1);
    net.fix_members(session, receivers);
    net.send_traffic(s, session, SENT, None);
    for r in receivers {
        net.receive_as(r, reserve_up_to(session, None));
    }
    net.run_ms(60_000);
    net.assert_metered(10_000, &[0, MBIT, 0, -MBIT / 2, -MBIT / 2]);
    net.input(a, |engine, now| engine.set_drain(now, Some(Some(300)))).unwrap();
    net.run_ms(60_000);
    (net, [s, receivers[0], receivers[1]], out)
}

/// What two hops share by halves stays whole, and is not halved again with each look at it; and who
/// was let in at a high price goes on paying that.
#[test]
fn a_price_that_is_shared_stands_while_a_router_drains() {
    let (mut net, [s, r, _], out) = behind_one_interface();
    for price in [1_000, 2_000, 1_000] {
        // Each has all prices looked at.
        net.set_price(1, 0, price, false);
        net.run_ms(40_000);
    }
    net.assert_metered(10_000, &[0, MBIT, 0, -MBIT / 2, -MBIT / 2]);
    let session = group(net.family(), 2);
    net.fix_members(session, [r]);
    net.send_traffic(s, session, SENT, None);
    net.receive_as(r, reserve_up_to(session, None));
    net.run_ms(200_000);
    net.assert_metered(10_000, &[0, 4 * MBIT, 0, -MBIT / 2 - 3 * MBIT, -MBIT / 2]);
    net.set_tariff(1, out, (0, 0), (900, 0));
    net.run_ms(60_000);
    net.assert_metered(10_000, &[0, 4 * MBIT, 0, -MBIT / 2 - 3 * MBIT, -MBIT / 2]);
    net.assert_promise();
}

/// What a foreign scheme charges is in the price already, and does not come on top of it again.
#[test]
fn r038_a_gateway_that_drains_at_a_price_charges_the_foreign_part_once() {
    for per_mbit in [None, Some(40)] {
        let mut t = Topology::default();
        let s = t.node("S", Kind::Ignorant);
        let gateway = t.node("G", Kind::Router);
        let r = t.node("R", Kind::Host);
        t.link(s, gateway, (0, 0));
        let out = t.link(gateway, r, (40, 120));
        let border = Some((gateway, s, (9, 10), Some(33)));
        let config = NodeConfig { border, ..NodeConfig::default() };
        let mut net = Net::new(t, Options { config, ..Options::default() });
        if let Some(per_mbit) = per_mbit {
            net.set_tariff(gateway, out, (0, 0), (per_mbit, 0));
        }
        let sessions = [group(net.family(), 1), group(net.family(), 2)];
        for session in sessions {
            net.fix_members(session, [r]);
            net.send_traffic(s, session, SENT, None);
        }
        net.receive_as(r, reserve_up_to(sessions[0], None));
        net.run_ms(60_000);
        let epoch = |net: &Net| net.log.last_dcpe(out, gateway, net.sender(s)).unwrap().epoch;
        let before = epoch(&net);
        net.run_ms(200_000);
        assert_eq!(epoch(&net), before, "{per_mbit:?}: refreshes change nothing");
        net.assert_metered(10_000, &[0, 69, -69]);
        net.input(gateway, |engine, now| engine.set_drain(now, Some(Some(300)))).unwrap();
        for price in [1, 2] {
            net.set_price(gateway, 0, price, false);
            net.run_ms(60_000);
        }
        net.assert_metered(10_000, &[0, 69, -69]);
        net.receive_as(r, reserve_up_to(sessions[1], None));
        net.run_ms(200_000);
        net.assert_metered(10_000, &[0, 69 + 149, -69 - 149]);
        net.assert_promise();
    }
}
